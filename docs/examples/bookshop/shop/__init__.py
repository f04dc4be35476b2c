"""A bookshop: books, authors, stock and orders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import covet_http as http
from covet_kernel import Context, Plugin, PluginConfig
from covet_kernel.contracts import SQL, Operation
from covet_migrations import SCHEMA, Migrations
from covet_operations import operations_of
from shop import books, covers, orders, reports, ticker, versions
from shop.covers import COVERS, open_covers
from shop.dialects import DIALECT, dialect_of
from shop.seed import stock_shop

FRONT = Path(__file__).with_name("front")
MIGRATIONS = Path(__file__).with_name("migrations")


class ShopConfig(PluginConfig):
    """The table ``[plugins.shop]``. Paths begin beside ``covet.toml``.

    Attributes:
        catalogue: What an empty shop is stocked with, a CSV.
        covers: The folder of the books' covers; created if it is missing.
    """

    catalogue: Path = Path("books.csv")
    covers: Path = Path("covers")


class Shop(Plugin[ShopConfig]):
    """The application is a plugin: it needs a database with its tables and offers operations."""

    requires = (SQL, SCHEMA)
    provides = (COVERS, DIALECT)
    implies = ("operations",)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(COVERS, await open_covers(ctx.directory / self.config.covers))
        db = ctx.require(SQL)
        ctx.provide(DIALECT, dialect := dialect_of(db))
        stocked = await stock_shop(db, dialect, ctx.directory / self.config.catalogue)
        if stocked:
            ctx.log.info("a new shop, stocked with %d titles", stocked)
        yield

    def covet_migrations(self) -> Iterable[Migrations]:
        yield Migrations(name="shop", path=MIGRATIONS)

    def covet_operations(self) -> Iterable[Operation]:
        for module in (books, covers, orders, reports, ticker):
            yield from operations_of(module)
        yield from http.static_folder("/front", FRONT)

    def covet_http_fixed(self) -> Iterable[http.Fixed]:
        yield http.redirect("/", "/front/", status=307)

    def covet_http_version_changes(self) -> Iterable[http.VersionChange]:
        return http.version_changes_of(versions)
