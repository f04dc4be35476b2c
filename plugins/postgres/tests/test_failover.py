"""The primary is lost, a replica is promoted: writes go on there, and nothing acknowledged is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import psycopg
import pytest
from services import postgres_cluster
from services.postgres_cluster import Cluster

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SqlError, SqlUnavailableError
from covet_postgres import PostgresConfig
from covet_postgres._plugin import opened
from covet_postgres._replicas import ReplicatedDatabase

pytestmark = pytest.mark.once

PATIENCE = 60
PORT = "SELECT inet_server_port() FROM pg_sleep(0)"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A primary whose commits wait until a replica has them, and that replica."""
    with postgres_cluster.cluster(1, ("synchronous_standby_names", "*")) as one:
        with psycopg.connect(one.primary.url, autocommit=True) as admin:
            admin.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        yield one


@asynccontextmanager
async def at(cluster: Cluster, **config: Any) -> AsyncIterator[ReplicatedDatabase]:
    config = {**cluster.config, "max_lag": 1.0, "cleanup_timeout": 2.0, **config}
    async with opened(PostgresConfig.model_validate(config), "the test") as database:
        assert isinstance(database, ReplicatedDatabase)
        yield database


async def until_it_writes(db: ReplicatedDatabase, port: int) -> None:
    """Return when changes go to the server at that port; until then they are refused as they should."""
    with anyio.fail_after(PATIENCE):
        while True:
            try:
                if await db.fetch_value(PORT) == port:
                    return
            except SqlUnavailableError:
                pass
            await anyio.sleep(0.01)


async def test_a_promoted_replica_takes_over_and_has_all_that_was_acknowledged(
    cluster: Cluster,
) -> None:
    acknowledged: set[int] = set()
    attempted: set[int] = set()
    errors: list[SqlError] = []
    over = False
    (replica,) = cluster.replicas

    async def write(db: ReplicatedDatabase, number: int) -> None:
        while not over:
            number += 8
            attempted.add(number)
            try:
                if number % 16 < 8:
                    await db.execute("INSERT INTO t VALUES (?)", (number,))
                else:
                    async with db.transaction() as session:
                        await session.execute("INSERT INTO t VALUES (?)", (number,))
            except SqlError as error:
                errors.append(error)
                await anyio.sleep(0.01)
            else:
                acknowledged.add(number)

    async with at(cluster) as db:
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(write, db, number)
            while len(acknowledged) < 100:
                await anyio.sleep(0.01)
            await anyio.to_thread.run_sync(postgres_cluster.kill, cluster.primary)
            while not errors:
                await anyio.sleep(0.01)
            # How far behind the replica is, nobody can say after a while: it is not read from then.
            with anyio.fail_after(PATIENCE):
                while db.watch.usable(db.watch.readers[0]):
                    await anyio.sleep(0.01)
            for refused in (db.check, lambda: db.fetch_value("SELECT count(*) FROM t")):
                with pytest.raises(SqlUnavailableError):
                    await refused()
            before = len(acknowledged)
            await anyio.to_thread.run_sync(replica.promote)
            with anyio.fail_after(PATIENCE):
                while len(acknowledged) < before + 100:
                    await anyio.sleep(0.01)
            over = True
        assert {type(error) for error in errors} <= {SqlUnavailableError} | set(
            SqlUnavailableError.__subclasses__()
        )
        stored = {row["a"] for row in await db.fetch_all("SELECT a FROM t")}
        assert acknowledged <= stored <= attempted
        assert await db.fetch_value(PORT) == replica.port
        assert db.watch.failovers == 1
        await db.check()
        # It is no replica any more; reads are the primary's as well.
        assert await db.fetch_value("SELECT inet_server_port()") == replica.port
        assert not db.watch.usable(db.watch.readers[0])

        # The old primary comes back and takes itself for one: it is never written to again.
        cluster.primary.start()  # here: it ends with the thread that starts it
        with anyio.fail_after(PATIENCE):
            while "another has been promoted" not in db.watch.servers[0].problem:
                await anyio.sleep(0.01)
        assert await db.fetch_value(PORT) == replica.port
    # Nor is it by who starts now, though its URL is the first.
    async with at(cluster) as db:
        assert await db.fetch_value(PORT) == replica.port
    # And whoever starts finds the primary when the server of the URL is gone.
    await anyio.to_thread.run_sync(postgres_cluster.kill, cluster.primary)
    async with at(cluster) as db:
        assert await db.fetch_value(PORT) == replica.port
    await anyio.to_thread.run_sync(postgres_cluster.kill, replica)
    with pytest.raises(ConfigurationError, match=f"127.0.0.1:{cluster.primary.port}"):
        async with at(cluster):
            pass


async def test_a_promotion_beside_a_living_primary_ends_what_is_under_way_there(
    cluster: Cluster,
) -> None:
    (replica,) = cluster.replicas
    errors: list[SqlError] = []
    with psycopg.connect(cluster.primary.url, autocommit=True) as admin:
        # It would wait for ever for the replica that left it.
        admin.execute("ALTER ROLE postgres SET synchronous_commit = local")

    async def sleep(db: ReplicatedDatabase) -> None:
        try:
            await db.execute("SELECT pg_sleep(600)")
        except SqlUnavailableError as error:
            errors.append(error)

    async with at(cluster, pool_size=2) as db:
        assert await db.fetch_value(PORT) == cluster.primary.port
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleep, db)
            while not db.pool.in_use:
                await anyio.sleep(0.01)
            with pytest.raises(SqlUnavailableError):
                async with db.transaction() as session:
                    await session.execute("INSERT INTO t VALUES (1)")
                    with anyio.fail_after(PATIENCE):
                        await anyio.to_thread.run_sync(replica.promote)
                        while not db.watch.failovers:
                            await anyio.sleep(0.01)
                    await session.execute("INSERT INTO t VALUES (2)")
        assert "is the primary now" in str(errors[0])
        await until_it_writes(db, replica.port)
        assert await db.fetch_value("SELECT count(*) FROM t") == 0
