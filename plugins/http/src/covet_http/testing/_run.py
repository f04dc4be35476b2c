"""Services to test, in memory: made of given operations and plugins, on the server of choice."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from covet_http._plugin import Http, choose_server, unusable
from covet_http.testing._client import Client, ClientOptions, client_of
from covet_kernel import Plugin, installed
from covet_kernel.contracts import Operation
from covet_kernel.testing import run_kernel
from covet_operations import Operations, Provider, operations_of, providers_of

_GROUP = "covet.http_servers"


@asynccontextmanager
async def run_service(
    *sources: Any,
    server: str = "auto",
    config: Mapping[str, Mapping[str, Any]] | None = None,
    plugins: Mapping[str, type[Plugin[Any]]] | None = None,
    directory: Path | None = None,
    kernel: Mapping[str, Any] | None = None,
    client: ClientOptions | None = None,
) -> AsyncIterator[Client]:
    """Run a service around the block and give a client of it. Not even its own sockets are opened.

    Args:
        sources: Its operations and providers: decorated functions, modules (or their names), plugin
            classes.
        server: The id of the server plugin, whose parser is used; ``"auto"`` as in ``[plugins.http]``.
        config: Tables by instance name, ``"http"`` among them.
        plugins: More classes, by id.
        directory: Where relative paths in configurations start.
        kernel: The ``kernel`` table.
        client: See `ClientOptions`.

    Raises:
        ExceptionGroup: What failed to assemble, start, run or stop.
    """
    declaring, modules = _split(sources)
    chosen = choose_server(server, installed(_GROUP))
    classes: dict[str, type[Plugin[Any]]] = {
        "operations": Operations,
        chosen: installed(_GROUP)[chosen][0].load(),
        "http": _Unbound,
        **declaring,
        **(plugins or {}),
    }
    app = {"modules": modules} if modules else {}
    tables = dict(config or {})
    tables["http"] = {"linger": 0.0, "server": chosen, **tables.get("http", {})}
    async with (
        run_kernel(classes, tables, directory=directory, kernel=kernel or {}, app=app) as running,
        client_of(running, **(client or {})) as found,
    ):
        yield found


class _Unbound(Http):
    """Listens nowhere."""

    async def _bind(self) -> list[socket.socket]:
        return []


def _split(sources: Iterable[Any]) -> tuple[dict[str, type[Plugin[Any]]], list[str]]:
    """Plugin classes by id, and the names of modules."""
    classes: dict[str, type[Plugin[Any]]] = {}
    modules: list[str] = []
    functions: dict[str, Any] = {}
    for each in sources:
        if isinstance(each, ModuleType | str):
            modules.append(each if isinstance(each, str) else each.__name__)
        elif isinstance(each, FunctionType):
            functions[f"{each.__name__}_{len(functions)}"] = staticmethod(each)
        elif isinstance(each, type) and issubclass(each, Plugin):
            classes[f"source-{len(classes)}"] = each
        else:
            raise TypeError(f"{each!r} is no operation, module or plugin class")
    if functions:
        holder = type("tested", (), functions)()
        declared, made = operations_of(holder), providers_of(holder)
        known = {each.handler for each in declared} | {each.make for each in made}
        for function in functions.values():
            if function.__func__ not in known:
                raise TypeError(f"{function.__func__!r} is neither an operation nor a provider")

        class Tested(Plugin[None]):
            def covet_operations(self) -> Iterable[Operation]:
                return declared

            def covet_providers(self) -> Iterable[Provider]:
                return made

        classes["tested"] = Tested
    return classes, modules


def usable_servers() -> list[str]:
    """The ids of the HTTP servers that are installed and can run here."""
    found = installed(_GROUP)
    return [name for name in found if not unusable(found[name])]
