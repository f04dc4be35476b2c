"""``python -m covet_engine shop:app``: serve an ASGI application, such as FastAPI's, from a terminal."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import anyio

from covet_engine import EngineConfig, StartupFailedError, serve_asgi
from covet_http import Application, ServerOptions, TlsConfig
from covet_kernel import ConfigurationError

log = logging.getLogger("covet.engine")

_BACKLOG = 2048


class UsageError(Exception):
    """What was asked for cannot be done."""


def arguments(words: Sequence[str] | None) -> Namespace:
    """The command line."""
    parser = ArgumentParser(
        prog="python -m covet_engine",
        description="Serve an ASGI application on covet's native engine.",
    )
    parser.add_argument("application", help="where it is: module:name, such as shop.main:app")
    parser.add_argument("--host", default="127.0.0.1", help="address or name to listen on")
    parser.add_argument("--port", type=int, default=8000, help="0 lets the system choose")
    parser.add_argument(
        "--backend", choices=["asyncio", "uvloop", "trio"], default="asyncio", help="event loop"
    )
    parser.add_argument("--factory", action="store_true", help="name is a function that makes it")
    parser.add_argument("--access-log", action="store_true", help="one line per request")
    parser.add_argument(
        "--ssl-certfile",
        "--certificate",
        dest="certificate",
        metavar="FILE",
        help="speak TLS with this certificate (PEM)",
    )
    parser.add_argument(
        "--ssl-keyfile",
        "--key",
        dest="key",
        metavar="FILE",
        help="the certificate's key, unless that is in the same file; SSL_KEY_PASSWORD opens it",
    )
    parser.add_argument(
        "--ssl-ca-certs",
        "--client-ca",
        dest="client_ca",
        metavar="FILE",
        help="take only clients with a certificate that one of these has signed",
    )
    parser.add_argument(
        "--stop-timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="for answers under way when it is told to stop",
    )
    return parser.parse_args(words)


def find(address: str, *, factory: bool = False) -> Application:
    """The application at ``module:name``.

    Raises:
        UsageError: There is none.
    """
    module_name, _, name = address.partition(":")
    if not module_name or not name:
        raise UsageError(f"{address!r} is not of the form module:name")
    sys.path.insert(0, os.getcwd())
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise UsageError(f"there is no module {error.name!r}") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{module_name} has no {name!r}")
        found = getattr(found, part)
    if factory:
        if not callable(found):
            raise UsageError(f"{address} is no function")
        found = found()
    if not callable(found):
        raise UsageError(f"{address} is no ASGI application: it cannot be called")
    application: Application = found
    return application


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets at every address of a host, on one port.

    Raises:
        UsageError: That is not possible.
    """
    bound: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, address in dict.fromkeys(
            (family, address[:2]) for family, _, _, _, address in found
        ):
            at = (address[0], bound[0].getsockname()[1] if bound else port)
            made = socket.create_server(at, family=family, backlog=_BACKLOG)
            made.setblocking(False)
            bound.append(made)
    except (OSError, OverflowError) as error:
        for each in bound:
            each.close()
        raise UsageError(f"cannot listen on {host}:{port}: {error}") from None
    return bound


def url(bound: socket.socket, scheme: str = "http") -> str:
    """Where a socket listens."""
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def tls_of(given: Namespace) -> TlsConfig | None:
    """What the options amount to for TLS.

    Raises:
        UsageError: Some of them make no sense without others.
    """
    if given.certificate:
        names = ("certificate", "key", "client_ca")
        told = {name: getattr(given, name) for name in names}
        return TlsConfig(**told, password=os.environ.get("SSL_KEY_PASSWORD"))
    if given.key or given.client_ca:
        raise UsageError("there is no TLS without --ssl-certfile")
    return None


async def run(
    application: Application,
    sockets: Sequence[socket.socket],
    given: Namespace,
    tls: TlsConfig | None,
) -> int:
    """Serve until told to stop; a second signal cuts what is not answered.

    Returns:
        The exit code.
    """
    scheme = "http" if tls is None else "https"
    urls = ", ".join(url(each, scheme) for each in sockets)
    stop = anyio.Event()
    forced = False
    failure = ""

    async def listen() -> None:
        nonlocal forced
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                if stop.is_set():
                    forced = True
                    tasks.cancel_scope.cancel()
                stop.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        serving = serve_asgi(
            application,
            sockets,
            config=EngineConfig(access_log=given.access_log),
            options=ServerOptions(tls=tls),
            stop_timeout=given.stop_timeout,
        )
        try:
            async with serving:
                log.info("listening on %s (%s)", urls, given.backend)
                await stop.wait()
                log.info("stopping")
        except (ConfigurationError, StartupFailedError) as error:
            failure = str(error)
        tasks.cancel_scope.cancel()
    if failure:
        raise UsageError(f"the application cannot be served: {failure}")
    return int(forced)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    given = arguments(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    uvloop = given.backend == "uvloop"
    try:
        if not find_spec(given.backend):
            raise UsageError(f"{given.backend} is not installed: pip install {given.backend}")
        tls = tls_of(given)
        application = find(given.application, factory=given.factory)
        return anyio.run(
            run,
            application,
            bind(given.host, given.port),
            given,
            tls,
            backend="asyncio" if uvloop else given.backend,
            backend_options={"use_uvloop": True} if uvloop else {},
        )
    except UsageError as error:
        print(f"covet_engine: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
