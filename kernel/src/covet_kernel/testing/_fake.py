"""A plugin made on the spot, to stand in for one that a test does not want to start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio

from covet_kernel import Context, Plugin, Serving
from covet_kernel.contracts import Capability

Step = Callable[[Context], Coroutine[Any, Any, Any]]


def fake_plugin(
    *,
    requires: Sequence[Capability[Any]] = (),
    provides: Mapping[Capability[Any], Any] | None = None,
    start: Step | None = None,
    run: Step | None = None,
    stop: Step | None = None,
    compile: Callable[[Serving], None] | None = None,
    serve: Callable[[Serving], Awaitable[None]] | None = None,
    journal: list[str] | None = None,
    config: type[Any] | None = None,
    **members: Any,
) -> type[Plugin[Any]]:
    """A plugin class that hands out ready values and does what it is told to.

    Args:
        requires: Capabilities it requires.
        provides: Values it provides.
        start: Awaited before anything is provided.
        run: Runs in a task of its own while the plugin is up, and is cancelled when it stops.
        stop: Awaited when it stops, even if it is cancelled.
        compile: Given to ``ctx.compile``.
        serve: Given to ``ctx.serve``.
        journal: Where it notes ``"<name> starts"``, ``"<name> up"``, ``"<name> stops"`` and
            ``"<name> down"``, the last one whatever happens.
        config: The class of its configuration.
        members: More members of the class, such as ``covet_operations`` or ``wants``.
    """
    values = dict(provides or {})
    notes = journal if journal is not None else []

    @asynccontextmanager
    async def covet_lifespan(self: Plugin[Any], ctx: Context) -> AsyncIterator[None]:
        notes.append(f"{ctx.name} starts")
        try:
            if start:
                await start(ctx)
            for token, value in values.items():
                ctx.provide(token, value)
            if compile:
                ctx.compile(compile)
            if serve:
                ctx.serve(serve)
            async with AsyncExitStack() as stack:
                if run:
                    tasks = await stack.enter_async_context(anyio.create_task_group())
                    stack.callback(tasks.cancel_scope.cancel)
                    tasks.start_soon(run, ctx)
                notes.append(f"{ctx.name} up")
                try:
                    yield
                finally:
                    notes.append(f"{ctx.name} stops")
                    if stop:
                        await stop(ctx)
        finally:
            notes.append(f"{ctx.name} down")

    namespace = {
        "requires": tuple(requires),
        "provides": tuple(values),
        "config_type": config,
        "covet_lifespan": covet_lifespan,
        **members,
    }
    return type("FakePlugin", (Plugin,), namespace)
