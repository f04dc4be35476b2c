"""The work on covet: plain operations, as a user writes them."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from work import MESSAGE, PAUSE, Item, Order

import covet_http as http
from covet_kernel import Context, Plugin
from covet_kernel.contracts import Operation
from covet_operations import operations_of


@http.get("/text", media_type="text/plain")
def text() -> str:
    return "hello"


@http.get("/text-async", media_type="text/plain")
async def text_async() -> str:
    return "hello"


@http.get("/json")
def json() -> dict[str, str]:
    return MESSAGE


@http.get("/json-async")
async def json_async() -> dict[str, str]:
    return MESSAGE


@http.get("/json-timer")
async def json_timer() -> dict[str, str]:
    await anyio.sleep(PAUSE)
    return MESSAGE


@http.get("/json-reply")
async def json_reply() -> dict[str, str]:
    await checkpoint()
    return MESSAGE


@http.get("/items/{id}")
def item(id: int, q: str = "", limit: int = 10) -> Item:
    return Item(id=id, q=q, limit=limit)


@http.get("/items-async/{id}")
async def item_async(id: int, q: str = "", limit: int = 10) -> Item:
    return Item(id=id, q=q, limit=limit)


@http.post("/orders")
def order(order: Order) -> Order:
    return order


@http.post("/orders-async")
async def order_async(order: Order) -> Order:
    return order


class Bench(Plugin[None]):
    """What needs a plugin: the fixed answer, and a look at the engine's counters."""

    requires = (http.HTTP_SERVER,)
    meters: Any = None

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self.meters = getattr(ctx.require(http.HTTP_SERVER), "meters", None)
        yield

    def covet_http_fixed(self) -> Iterable[http.Fixed]:
        return [
            http.fixed(
                "/native", b'{"message":"hello"}', content_type="application/json", etag=False
            )
        ]

    def covet_operations(self) -> Sequence[Operation]:
        return operations_of(self)

    @http.get("/service")
    def service(self) -> list[int]:
        """Answers by service time, as the engine counts them; empty without an engine."""
        if self.meters is None:
            return []
        return [self.meters.element("service", i) for i in range(96)]

    @http.get("/turns")
    def turns(self) -> dict[str, int]:
        """How often Python called the library."""
        names = ("requests", "native", "polls", "submits")
        return {} if self.meters is None else {name: self.meters.total(name) for name in names}
