"""A bookshop: books, authors, stock and orders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from covet_kernel import Context, Plugin, PluginConfig
from covet_kernel.contracts import SQL, Operation
from covet_operations import operations_of
from shop import books, orders
from shop.seed import open_shop


class ShopConfig(PluginConfig):
    """The table ``[plugins.shop]``.

    Attributes:
        catalogue: What an empty shop is stocked with, a CSV beside ``covet.toml``.
    """

    catalogue: Path = Path("books.csv")


class Shop(Plugin[ShopConfig]):
    """The application is a plugin: it needs a database and offers operations."""

    requires = (SQL,)
    implies = ("operations",)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        stocked = await open_shop(ctx.require(SQL), ctx.directory / self.config.catalogue)
        if stocked:
            ctx.log.info("a new shop, stocked with %d titles", stocked)
        yield

    def covet_operations(self) -> Iterable[Operation]:
        return (*operations_of(books), *operations_of(orders))
