"""The service of `graphql_shop`, served, and asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import graphql_shop

from covet_graphql import Graphql
from covet_http import HTTP, Http
from covet_http.testing import Client, run_service
from covet_kernel import Plugin, installed
from covet_kernel.contracts import Operation
from covet_kernel.testing import run_kernel
from covet_operations import Operations, operations_of


@asynccontextmanager
async def serving(
    *more: Any,
    server: str = "auto",
    plugins: Mapping[str, type[Plugin[Any]]] | None = None,
    operations: tuple[Any, ...] = graphql_shop.ALL,
    **config: Any,
) -> AsyncIterator[Client]:
    """Serve the shop's operations, or others, with this configuration of the plugin."""
    async with run_service(
        *operations,
        *more,
        server=server,
        plugins={"graphql": Graphql, **(plugins or {})},
        config={"graphql": config},
    ) as client:
        yield client


async def ask(
    client: Client, query: str, headers: Mapping[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """Ask by POST, as older clients do: every answer is a success."""
    answer = await client.post("/graphql", json={"query": query, **more}, headers=headers or {})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


async def until(holds: Callable[[], bool]) -> None:
    """Return when something is so; what makes it so runs meanwhile."""
    with anyio.fail_after(20):
        while not holds():
            await anyio.sleep(0.001)


def plugin_of(*operations: Any) -> type[Plugin[None]]:
    """A plugin that declares these operations."""

    class Shop(Plugin[None]):
        def covet_operations(self) -> Iterable[Operation]:
            held = {each.__name__: staticmethod(each) for each in operations}
            return operations_of(type("Held", (), held)())

    return Shop


@asynccontextmanager
async def listening(
    server: str, *more: Any, http: Mapping[str, Any] | None = None, **config: Any
) -> AsyncIterator[str]:
    """Serve the shop, and more operations, on a free port; gives the URL."""
    classes: dict[str, type[Plugin[Any]]] = {
        "operations": Operations,
        server: installed("covet.http_servers")[server][0].load(),
        "http": Http,
        "graphql": Graphql,
        "shop": plugin_of(*graphql_shop.ALL, *more),
    }
    options = {"port": 0, "server": server, "linger": 0.01, **(http or {})}
    async with run_kernel(classes, {"http": options, "graphql": config}) as kernel:
        yield kernel.require(HTTP).urls[0]
