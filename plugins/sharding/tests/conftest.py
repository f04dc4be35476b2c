"""Two shards of each kind, empty, open for a block inside the test so that leaks count."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from services import mariadb, postgres
from services.databases import PLUGINS

from covet_kernel.contracts import SqlDatabase
from covet_kernel.testing import run_kernel
from covet_operations import Operations
from covet_sharding import SHARDS, Sharding, Shards

ORDERS = (
    "CREATE TABLE orders (id BIGINT PRIMARY KEY, customer BIGINT NOT NULL, copies INTEGER NOT NULL)"
)
PARTS = (
    "CREATE TABLE parts (shelf VARCHAR(20) NOT NULL, number INTEGER NOT NULL, customer BIGINT NOT NULL,"
    " note VARCHAR(200), PRIMARY KEY (shelf, number))"
)
TABLES = [
    {"name": "orders", "key": "customer"},
    {"name": "parts", "key": "customer", "primary_key": ["shelf", "number"]},
]


class Cluster:
    """Shards ``a`` and ``b``; the map is on ``a``.

    Attributes:
        dialect: Theirs.
        tables: Their tables of the configuration, by instance name.
    """

    def __init__(self, kind: str, folder: Path, urls: Mapping[str, str]) -> None:
        self.kind = kind
        self.folder = folder
        self.tables: dict[str, Any] = {
            f"{kind}/{name}": {"url": url, "pool_size": 16} if url else {"path": f"{name}.db"}
            for name, url in urls.items()
        }

    def config(self, **sharding: Any) -> dict[str, Any]:
        """Tables of a service that has them."""
        own = {"shards": ["a", "b"], "home": "a", "buckets": 16, "tables": TABLES, **sharding}
        return {**self.tables, "sharding": own}

    @asynccontextmanager
    async def __call__(self, **sharding: Any) -> AsyncIterator[Shards]:
        """The shards in a kernel of their own, as of one process of several."""
        classes = {self.kind: PLUGINS[self.kind], "sharding": Sharding, "operations": Operations}
        async with run_kernel(classes, self.config(**sharding), directory=self.folder) as kernel:
            yield kernel.require(SHARDS)

    @asynccontextmanager
    async def with_tables(self, **sharding: Any) -> AsyncIterator[Shards]:
        """The same, with tables for orders and their parts."""
        async with self(**sharding) as shards:
            for name in shards.names:
                await shards.shard(name).execute(ORDERS)
                await shards.shard(name).execute(PARTS)
            yield shards


async def count(database: SqlDatabase, table: str = "orders") -> int:
    """How many rows there are."""
    found: int = await database.fetch_value(f"SELECT count(*) FROM {table}")
    return found


@pytest.fixture(scope="session")
def postgres_urls() -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(postgres.fresh_database()) for name in "ab"}


@pytest.fixture(scope="session")
def mariadb_urls() -> Iterator[dict[str, str]]:
    mariadb.skip_without_mariadb()
    urls = {
        name: mariadb.with_database(mariadb.server_url(), f"covet_shard_{name}") for name in "ab"
    }
    yield urls
    for name in urls:
        mariadb.run(mariadb.server_url(), f"DROP DATABASE IF EXISTS covet_shard_{name}")


@pytest.fixture(
    params=[
        "sqlite",
        *(pytest.param(name, marks=pytest.mark.once) for name in ("postgres", "mysql")),
    ]
)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Cluster:
    """Two shards of each kind."""
    return _cluster(request.param, request, tmp_path)


@pytest.fixture
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Cluster:
    """Two shards in files, for what does not depend on the database."""
    return _cluster("sqlite", request, tmp_path)


@pytest.fixture
def cluster_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Cluster]:
    """Two shards of a kind that is named."""
    return lambda kind: _cluster(kind, request, tmp_path)


def _cluster(kind: str, request: pytest.FixtureRequest, folder: Path) -> Cluster:
    if kind == "sqlite":
        return Cluster(kind, folder, {"a": "", "b": ""})
    if kind == "postgres":
        urls = request.getfixturevalue("postgres_urls")
        for url in urls.values():
            with psycopg.connect(url, autocommit=True) as admin:
                admin.execute("DROP SCHEMA public CASCADE")
                admin.execute("CREATE SCHEMA public")
        return Cluster(kind, folder, urls)
    urls = request.getfixturevalue("mariadb_urls")
    for name in urls:
        mariadb.run(
            mariadb.server_url(),
            f"DROP DATABASE IF EXISTS covet_shard_{name}",
            f"CREATE DATABASE covet_shard_{name} CHARACTER SET utf8mb4",
        )
    return Cluster(kind, folder, urls)
