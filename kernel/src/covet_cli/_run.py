"""``covet run``: serve until a signal says stop."""

from __future__ import annotations

import gc
import logging
import signal
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from time import perf_counter

import anyio

from covet_cli._settings import load_settings
from covet_kernel import Assembly, ConfigurationError, Kernel, assemble, flatten

log = logging.getLogger("covet")
STOPS = [signal.SIGTERM, signal.SIGINT]
RELOADS = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []


def configure_run(parser: ArgumentParser) -> None:
    """The arguments of ``covet run``."""
    parser.add_argument(
        "--backend", choices=("asyncio", "trio"), default="asyncio", help="event loop (asyncio)"
    )
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="(info)"
    )


def run(args: Namespace, assembly: Assembly) -> int:
    """Start, serve, drain and stop; failures are raised as one group."""
    if not assembly.nodes:
        place = str(args.config or assembly.settings.directory)
        raise ConfigurationError.of("COVET-RUN-NOTHING", place=place)
    logging.basicConfig(
        level=args.log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    if not find_spec(args.backend):
        raise ConfigurationError.of("COVET-BACKEND-MISSING", backend=args.backend)
    anyio.run(_serve, args, assembly, backend=args.backend)
    return 0


async def _serve(args: Namespace, assembly: Assembly) -> None:
    kernel, begun = Kernel(assembly), perf_counter()
    with anyio.open_signal_receiver(*STOPS, *RELOADS) as signals:
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:

                async def watch() -> None:
                    stopping = False
                    async for number in signals:
                        if number in RELOADS:
                            tasks.start_soon(_reload, args, kernel)
                        elif not stopping:
                            log.info("%s: draining", signal.Signals(number).name)
                            stopping = True
                            scope.cancel()
                        else:
                            # What even this cannot end, the third signal ends, whichever it is.
                            for each in STOPS:
                                signal.signal(each, signal.SIG_DFL)
                            log.warning("%s again: forced to stop", signal.Signals(number).name)
                            kernel.force()

                tasks.start_soon(watch)
                try:
                    async with kernel.running():
                        took, names = 1e3 * (perf_counter() - begun), ", ".join(assembly.nodes)
                        log.info("running on %s after %.0f ms: %s", args.backend, took, names)
                        gc.freeze()
                        gc.enable()
                        await anyio.sleep_forever()
                finally:
                    tasks.cancel_scope.cancel()
    log.info("stopped")


async def _reload(args: Namespace, kernel: Kernel) -> None:
    try:
        changed = await kernel.reload(assemble(load_settings(args)))
        log.info("reloaded: %s", ", ".join(changed) or "nothing has changed")
    except Exception as error:
        for leaf in flatten(error):
            # What is wrong in a configuration says so itself; a traceback would only hide it.
            cause = None if isinstance(leaf, ConfigurationError) else leaf.__cause__
            log.error("not reloaded: %s", leaf, exc_info=cause)
