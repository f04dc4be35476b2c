"""The application: the bookshop's operations, declared once, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import anyio
from operations_testbed import shop
from operations_testbed.asgi import Route
from operations_testbed.database import SCHEMA
from operations_testbed.framed import framed
from operations_testbed.shop import PROBE, Probe
from operations_testbed.topic import topic

import covet_http as http
from covet_http import HttpBinding
from covet_kernel import Context, Plugin, PluginConfig
from covet_kernel.contracts import SQL, Binding, Operation, SqlDatabase
from covet_operations import operation, operations_of


class ShopConfig(PluginConfig):
    """The table ``[plugins.shop]``.

    Attributes:
        edition: What a reload changes.
    """

    edition: int = 1


class Shop(Plugin[ShopConfig]):
    """Five operations of a plain module, and one that tells which instance has answered."""

    requires = (SQL,)
    provides = (PROBE,)
    implies = ("operations",)

    def __init__(self, config: ShopConfig) -> None:
        super().__init__(config)
        self._open = False

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        await _stock(ctx.require(SQL))
        ctx.provide(PROBE, Probe())
        self._open = True
        try:
            yield
        finally:
            self._open = False

    @operation(name="shop.edition")
    @http.get("/edition")
    @topic("edition")
    @framed("edition")
    async def edition(self) -> int:
        """A call ends in the phase it began in: the plugin does not stop under it."""
        assert self._open
        await anyio.sleep(0.001)
        assert self._open
        return self.config.edition

    def covet_operations(self) -> Iterable[Operation]:
        for each in operations_of(shop):
            yield each.replaced(bindings=tuple(map(_over_http, each.bindings)))
        yield from operations_of(self)


def _over_http(binding: Binding) -> Binding:
    """The same route, for the real transport; topics and frames stay as they are."""
    if not isinstance(binding, Route):
        return binding
    return HttpBinding(
        protocol="http", address=binding.address, method=binding.method, path=binding.path
    )


async def _stock(db: SqlDatabase) -> None:
    if await db.fetch_value("select count(*) from sqlite_schema where name = 'books'"):
        return
    async with db.transaction() as session:
        for statement in SCHEMA.split(";"):
            if statement.strip():
                await session.execute(statement)
