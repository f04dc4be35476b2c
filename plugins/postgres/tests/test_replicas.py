"""What only reads goes to replicas, everything else to the primary, and a call sees what it wrote."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from math import inf
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st
from services import postgres, postgres_cluster
from services.postgres_cluster import Cluster
from services.process import free_port
from services.proxy import proxy

from covet_kernel import ConfigurationError
from covet_kernel.contracts import Binding, Call, Operation, SqlError, SqlUnavailableError
from covet_kernel.testing import cancel_at_every_await
from covet_postgres import Postgres, PostgresConfig
from covet_postgres._config import Replica
from covet_postgres._plugin import opened
from covet_postgres._position import position
from covet_postgres._replicas import ReplicatedDatabase
from covet_postgres._server import Server
from covet_postgres._watch import Watch
from covet_postgres._written import WRITTEN

Alive: Any = SimpleNamespace(lost=False)
Opener = Callable[..., AbstractAsyncContextManager[ReplicatedDatabase]]
PORT = "SELECT inet_server_port()"
COUNT = "SELECT count(*) FROM t"
INSERT = "INSERT INTO t (a) VALUES (?)"
PATIENCE = 30


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A primary and two replicas, all of which are up and replay after each test."""
    with postgres_cluster.cluster(2) as one:
        yield one


@pytest.fixture
def open_db(cluster: Cluster) -> Iterator[Opener]:
    """Opens an empty database with a table ``t`` for a block."""

    @asynccontextmanager
    async def open_one(**config: Any) -> AsyncIterator[ReplicatedDatabase]:
        config = {**cluster.config, "url": url, **config}
        async with opened(PostgresConfig.model_validate(config), "the test") as database:
            assert isinstance(database, ReplicatedDatabase)
            await until(lambda: len(usable(database)) == len(database.watch.readers))
            yield database

    with cluster.database("CREATE TABLE t (id SERIAL PRIMARY KEY, a INTEGER UNIQUE)") as url:
        yield open_one


@pytest.fixture
def paused(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """Has the replicas replay nothing more, until the test is over."""

    def pause() -> None:
        for each in cluster.replicas:
            each.pause()

    try:
        yield pause
    finally:
        resume(cluster)


def resume(cluster: Cluster) -> None:
    for each in cluster.replicas:
        each.resume()


async def until(true: Callable[[], bool]) -> None:
    """Return when it is true."""
    with anyio.fail_after(PATIENCE):
        while not true():
            await anyio.sleep(0.01)


def usable(db: ReplicatedDatabase) -> list[Server]:
    """The replicas that reads go to."""
    return [server for server in db.watch.readers if db.watch.usable(server)]


async def elsewhere(work: Callable[[], Awaitable[Any]]) -> Any:
    """What it gives to a call that has written nothing."""
    token = WRITTEN.set(None)
    try:
        return await work()
    finally:
        WRITTEN.reset(token)


async def ports(db: ReplicatedDatabase, many: int = 20) -> set[int]:
    """Where reads of somebody who has written nothing are run."""
    return {await elsewhere(lambda: db.fetch_value(PORT)) for _ in range(many)}


# Which server


async def test_reads_go_to_replicas_and_the_rest_to_the_primary(
    open_db: Opener, cluster: Cluster
) -> None:
    replicas = {each.port for each in cluster.replicas}
    async with open_db() as db:
        assert await ports(db) == replicas
        async with db.transaction(read_only=True, isolation="repeatable read") as session:
            assert await session.fetch_value(PORT) in replicas
            assert await session.fetch_value("SHOW transaction_read_only") == "on"
            assert await session.fetch_value("SHOW transaction_isolation") == "repeatable read"
        async with aclosing(db.stream("SELECT inet_server_port() AS port")) as rows:
            assert (await anext(rows))["port"] in replicas
        assert sum(each.reads for each in db.watch.readers) == 22
        primary = cluster.primary.port
        assert await db.fetch_value("SELECT inet_server_port() FROM t FOR UPDATE") is None
        insert = "INSERT INTO t (a) VALUES (inet_server_port()) RETURNING a"
        assert await db.fetch_value(insert) == primary
        async with db.transaction() as session:
            assert await session.fetch_value(PORT) == primary
        # A replica has no such transactions.
        async with db.transaction(read_only=True, isolation="serializable") as session:
            assert await session.fetch_value(PORT) == primary
        assert await db.execute("DELETE FROM t") == 1
        await db.check()
        assert sum(each.reads for each in db.watch.readers) == 22
        assert db.missed == 0


async def test_a_replica_has_its_weights_share_of_the_reads(
    open_db: Opener, cluster: Cluster
) -> None:
    light, heavy = (f"postgres://127.0.0.1:{each.port}" for each in cluster.replicas)
    async with open_db(replicas=[light, {"url": heavy, "weight": 3}]) as db:
        await ports(db, 40)
        assert [each.reads for each in db.watch.readers] == [10, 30]
    async with open_db(replicas=[light, {"url": heavy, "weight": 0}]) as db:
        assert await ports(db) == {cluster.replicas[0].port}


async def test_the_one_that_is_less_busy_is_asked(open_db: Opener, cluster: Cluster) -> None:
    async with open_db() as db:
        first, second = db.watch.readers
        first.reading = 1
        await ports(db, 10)
        assert (first.reads, second.reads) == (0, 10)
        first.reading = 0


async def test_what_a_replica_cannot_do_the_primary_does(open_db: Opener, cluster: Cluster) -> None:
    async with open_db() as db:
        await db.execute(
            "CREATE FUNCTION put(n integer) RETURNS integer LANGUAGE sql AS"
            " 'INSERT INTO t (a) VALUES (n) RETURNING a'"
        )
        for number in range(1, 4):
            # It is proven to read as far as its words go, and what it writes is read behind it.
            assert await db.fetch_value("SELECT put(?)", (number,)) == number
            assert await db.fetch_value(COUNT) == number
        assert len(await db.fetch_value("SELECT CAST(txid_current() AS text)")) > 0
        with pytest.raises(SqlError) as caught:
            await db.fetch_value("SELECT nothing FROM t")
        assert caught.value.sqlstate == "42703"
        with pytest.raises(SqlError) as caught:
            await db.fetch_value("SELECT ?", (1, 2))
        assert caught.value.sqlstate == "07001"
        with pytest.raises(SqlError):
            async with aclosing(
                db.stream("SELECT 1 / (3 - n) FROM generate_series(1, 9) n")
            ) as rows:
                async for _ in rows:
                    pass
        assert len(usable(db)) == 2


async def test_what_ran_too_long_is_not_run_again(open_db: Opener) -> None:
    async with open_db(statement_timeout=0.3, lane_patience=0.1) as db:
        slow = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"
        await db.fetch_value(COUNT)
        before = db.counts.statements
        with pytest.raises(SqlError) as caught:
            await db.fetch_value(slow)
        assert caught.value.sqlstate == "57014"
        assert db.counts.statements == before


# Reading what was written


async def test_all_that_is_written_is_read_behind_it(open_db: Opener) -> None:
    async with open_db(replica_patience=20.0) as db:
        for number in range(1, 31, 3):
            await db.execute(INSERT, (number,))
            assert await db.fetch_value(COUNT) == number
            async with db.transaction() as session:
                await session.execute(INSERT, (number + 1,))
            assert await db.fetch_value(COUNT) == number + 1
            await db.execute_many(INSERT, [(number + 2,)])
            async with db.transaction(read_only=True) as session:
                assert await session.fetch_value(COUNT) == number + 2
            async with aclosing(db.stream("SELECT a FROM t")) as rows:
                assert len([row async for row in rows]) == number + 2
        assert db.missed == 0
        assert sum(each.failed for each in db.watch.readers) == 0
        assert sum(each.reads for each in db.watch.readers) == 40


async def test_the_first_read_sees_what_anyone_has_made_before(
    open_db: Opener, paused: Callable[[], None]
) -> None:
    async with open_db(max_lag=inf) as db, open_db() as other:
        paused()
        await other.execute("CREATE TABLE late (a INTEGER)")
        async with db.transaction(read_only=True) as session:
            assert await session.fetch_value("SELECT count(*) FROM late") == 0
        assert db.missed == 1


async def test_on_paused_replicas_a_call_sees_its_writes_and_others_what_was(
    open_db: Opener, cluster: Cluster, paused: Callable[[], None]
) -> None:
    async with open_db(max_lag=inf) as db:
        assert await db.fetch_value(COUNT) == 0
        # A replica that is late has not heard of the table yet.
        missed = db.missed
        paused()
        for number in range(1, 4):
            await db.execute(INSERT, (number,))
            assert await db.fetch_value(COUNT) == number
            assert await elsewhere(lambda: db.fetch_value(COUNT)) == 0
            async with db.transaction(read_only=True) as session:
                assert await session.fetch_value(COUNT) == number
            assert len([row async for row in db.stream("SELECT a FROM t")]) == number
        assert db.missed == missed + 9
        resume(cluster)
        with anyio.fail_after(PATIENCE):
            while await elsewhere(lambda: db.fetch_value(COUNT)) < 3:
                await anyio.sleep(0.01)
        await until(lambda: db.watch.pick(db._log.of_call().position) is not None)  # type: ignore[union-attr]
        assert await db.fetch_value(PORT) != cluster.primary.port


async def test_what_a_branch_has_written_is_read_behind_its_second_phase(
    open_db: Opener, paused: Callable[[], None]
) -> None:
    async with open_db(max_lag=inf) as db:
        paused()
        async with db.transaction(branch="replicated") as session:
            await session.execute(INSERT, (1,))
            assert await session.prepare()
        assert await db.fetch_value(COUNT) == 1
        async with db.transaction(branch="left") as session:
            await session.execute(INSERT, (2,))
            assert await session.prepare()
            session.leave()
        assert [each.name for each in await db.prepared()] == ["left"]
        assert await db.end_prepared("left", commit=True)
        assert not await db.end_prepared("left", commit=True)
        # Whoever ends what others have written has no part in it; its connection is as good as ever.
        assert db.pool.in_use == 0
        assert all(each.usable for each in db.pool.idle)
        async with db.transaction(read_only=True, branch="reader") as session:
            assert await session.fetch_value(COUNT) == 2
            assert not await session.prepare()
        with pytest.raises(SqlError, match="cannot be the name of a branch"):
            async with db.transaction(branch="'"):
                pass


async def test_a_read_waits_for_a_replica_that_is_about_to_have_the_write(
    open_db: Opener, cluster: Cluster, paused: Callable[[], None]
) -> None:
    seen: list[Any] = []
    async with open_db(replica_patience=PATIENCE) as db:
        paused()
        await db.execute(INSERT, (1,))

        async def read() -> None:
            seen.append(await db.fetch_one("SELECT a, inet_server_port() AS port FROM t"))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(read)
            await until(lambda: sum(each.seekers for each in db.watch.readers) == 5)
            resume(cluster)
        assert [row["a"] for row in seen] == [1] * 5
        assert cluster.primary.port not in {row["port"] for row in seen}
        # One asks for all of them, and then nobody.
        await until(lambda: not any(each.following for each in db.watch.readers))


async def test_a_call_waits_in_vain_once_for_each_write(
    open_db: Opener, paused: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []
    async with open_db() as db:
        reached = db.watch.reached

        async def wait(server: Server, needed: int) -> bool:
            waited.append(needed)
            return await reached(server, needed)

        monkeypatch.setattr(db.watch, "reached", wait)
        paused()
        for number in range(1, 3):
            await db.execute(INSERT, (number,))
            for _ in range(5):
                assert await db.fetch_value(COUNT) == number
            assert len(waited) == number


async def test_what_one_task_of_a_call_writes_the_others_read(
    open_db: Opener, paused: Callable[[], None]
) -> None:
    async with open_db() as db:
        assert await db.fetch_value(COUNT) == 0
        paused()
        (interceptor,) = Postgres(
            PostgresConfig.model_validate({"replicas": ["postgres://h"]})
        ).covet_interceptors()
        operation, binding = Operation(name="a", handler=len), Binding(protocol="x", address="y")
        layer = interceptor.bind(operation, binding)
        assert layer is not None
        assert layer.before is not None
        layer.before(Call(operation, binding))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(db.execute, INSERT, (1,))
        assert await db.fetch_value(COUNT) == 1
        # The next call does not wait for it.
        layer.before(Call(operation, binding))
        assert await db.fetch_value(COUNT) == 0
    assert not list(Postgres(PostgresConfig()).covet_interceptors())


async def test_a_write_that_fails_leaves_reads_on_the_replicas(
    open_db: Opener, cluster: Cluster, paused: Callable[[], None]
) -> None:
    async with open_db() as db:
        await db.execute(INSERT, (1,))
        log = db._log.of_call()
        assert log is not None
        before = log.position
        with pytest.raises(SqlError):
            await db.execute(INSERT, (1,))
        with pytest.raises(LookupError):
            async with db.transaction() as session:
                await session.execute(INSERT, (2,))
                raise LookupError
        async with db.transaction(read_only=True, isolation="serializable"):
            pass
        assert (log.position, log.unknown) == (before, False)
        # Connections that were refused something are as good as new.
        assert db.counts.discarded == 0
        assert db.counts.cancelled == 0


async def test_after_a_write_whose_end_is_unknown_reads_see_what_became_of_it(
    open_db: Opener, paused: Callable[[], None]
) -> None:
    async with open_db() as db:
        paused()
        with anyio.move_on_after(0.1) as scope:
            await db.execute("INSERT INTO t (a) SELECT 1 FROM pg_sleep(600)")
        assert scope.cancelled_caught
        log = db._log.of_call()
        assert log is not None
        assert log.unknown
        # Somebody else's write, in the place of one that was committed after all.
        await elsewhere(lambda: db.execute(INSERT, (2,)))
        assert await db.fetch_value(COUNT) == 1
        assert not log.unknown


# How the replicas are


@pytest.mark.once
async def test_a_replica_that_lags_is_left_alone_until_it_has_caught_up(
    open_db: Opener, cluster: Cluster
) -> None:
    slow, good = cluster.replicas
    async with open_db(max_lag=0.5) as db:
        slow.pause()
        try:
            await db.execute(INSERT, (1,))
            await until(lambda: [each.where for each in usable(db)] == [f"127.0.0.1:{good.port}"])
            assert await ports(db) == {good.port}
            good.pause()
            await db.execute(INSERT, (2,))
            await until(lambda: usable(db) == [])
            # However stale, what it may not be is older than that.
            assert await elsewhere(lambda: db.fetch_value(COUNT)) == 2
            assert await ports(db) == {cluster.primary.port}
            assert db.missed > 0
        finally:
            resume(cluster)
        await until(lambda: len(usable(db)) == 2)
        assert cluster.primary.port not in await ports(db)


@pytest.mark.once
async def test_where_nothing_is_written_nobody_lags(open_db: Opener, cluster: Cluster) -> None:
    async with open_db(max_lag=0.5) as db:
        for _ in range(40):
            await anyio.sleep(0.025)
        await until(lambda: len(usable(db)) == 2)
        assert all(db.watch.lag(each) < PATIENCE for each in db.watch.readers)


@pytest.mark.once
async def test_a_killed_replica_costs_no_read(open_db: Opener, cluster: Cluster) -> None:
    victim, other = cluster.replicas
    done = 0
    over = False

    async def read(db: ReplicatedDatabase, number: int) -> None:
        nonlocal done
        while not over:
            if number % 3 == 0:
                rows = [row["n"] async for row in db.stream("SELECT 7 AS n")]
                assert rows == [7]
            elif number % 3 == 1:
                assert await db.fetch_value("SELECT CAST(? AS integer)", (number,)) == number
            else:
                # Too long for the shared connections, so that it is killed in the middle.
                await db.fetch_value("SELECT count(*) FROM generate_series(1, 300000)")
            done += 1

    async with open_db(lane_patience=0.02) as db:
        async with anyio.create_task_group() as tasks:
            for number in range(9):
                tasks.start_soon(read, db, number)
            await until(lambda: done > 50)
            await anyio.to_thread.run_sync(postgres_cluster.kill, victim)
            before = done
            await until(lambda: done > before + 50)
            over = True
        await until(lambda: len(usable(db)) == 1)
        assert await ports(db) == {other.port}
        victim.start()  # here: it ends with the thread that starts it
        await until(lambda: len(usable(db)) == 2)
        with anyio.fail_after(PATIENCE):
            while await ports(db, 2) != {victim.port, other.port}:
                await anyio.sleep(0.01)


async def test_what_was_begun_on_a_replica_that_is_lost_is_an_error(
    open_db: Opener, cluster: Cluster
) -> None:
    async with open_db(lane_size=0) as db:

        async def cut() -> None:
            for server in db.watch.readers:
                assert server.reader is not None
                server.reader.give_up("it is cut")

        with pytest.raises(SqlUnavailableError):
            async with db.transaction(read_only=True) as session:
                assert await session.fetch_value("SELECT 1") == 1
                await cut()
                await session.fetch_value("SELECT 1")
        await until(lambda: len(usable(db)) == 2)
        with pytest.raises(SqlUnavailableError):
            async with aclosing(db.stream("SELECT generate_series(1, 100) AS n")) as rows:
                assert await anext(rows) == {"n": 1}
                await cut()
                async for _ in rows:
                    pass
        await until(lambda: len(usable(db)) == 2)
        with pytest.raises(LookupError):
            async with db.transaction(read_only=True):
                raise LookupError
        assert all(each.reading == 0 for each in db.watch.readers)


@pytest.mark.once
async def test_a_silent_replica_is_left_alone(
    open_db: Opener, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covet_postgres._watch.PATIENCE", 0.25)
    first, second = cluster.replicas
    async with proxy(first.port) as between:
        through = f"postgres://127.0.0.1:{between.port}"
        replicas = [through, f"postgres://127.0.0.1:{second.port}"]
        async with open_db(replicas=replicas, connect_timeout=1.0) as db:
            assert await ports(db) == {first.port, second.port}
            between.silent = True
            with anyio.fail_after(PATIENCE):
                # The first ones may wait until it is known.
                for _ in range(30):
                    assert await db.fetch_value("SELECT 5") == 5
            await until(lambda: len(usable(db)) == 1)
            assert await ports(db) == {second.port}
            between.silent = False
            await between.cut()
            await until(lambda: len(usable(db)) == 2)


@pytest.mark.once
async def test_a_server_of_another_cluster_is_never_read_from(
    open_db: Opener, cluster: Cluster
) -> None:
    [good, _] = cluster.config["replicas"]
    stranger = postgres.server_url()
    async with open_db() as db:
        assert not db.watch.failovers
    config = {**cluster.config, "replicas": [stranger, good]}
    async with opened(PostgresConfig.model_validate(config), "the test") as other:
        assert isinstance(other, ReplicatedDatabase)
        await until(lambda: len(usable(other)) == 1)
        assert other.watch.readers[0].problem == "it belongs to another cluster"
        assert await ports(other) == {cluster.replicas[0].port}
        with pytest.raises(SqlUnavailableError, match="another cluster"):
            await other.check_replica(other.watch.readers[0])
        await other.check_replica(other.watch.readers[1])


async def test_it_starts_without_its_replicas(open_db: Opener, cluster: Cluster) -> None:
    gone = f"postgres://127.0.0.1:{free_port()}"
    config = {**cluster.config, "replicas": [gone]}
    async with opened(PostgresConfig.model_validate(config), "the test") as db:
        assert isinstance(db, ReplicatedDatabase)
        assert await ports(db, 3) == {cluster.primary.port}
        assert db.missed == 3


# What is configured


@pytest.mark.parametrize(
    ("replicas", "problem"),
    [
        (["mysql://h/x"], "number 1: it does not begin"),
        (["postgres://h", "postgres://a,b/x"], "number 2: it does not name one host"),
        (["postgres:///x"], "number 1: it does not name one host"),
        (["postgres://h", "postgres://h:5432"], "number 2: h:5432 is there twice"),
    ],
)
async def test_wrong_replicas_are_refused(replicas: list[str], problem: str) -> None:
    config = PostgresConfig.model_validate({"replicas": replicas})
    with pytest.raises(ConfigurationError, match=problem):
        async with opened(config, "the test"):
            pass


async def test_a_replica_that_lets_nobody_in_is_found_at_the_start(cluster: Cluster) -> None:
    replica = f"postgres://127.0.0.1:{cluster.replicas[0].port}/nowhere"
    config = PostgresConfig.model_validate({"url": cluster.primary.url, "replicas": [replica]})
    with pytest.raises(ConfigurationError, match="no such database"):
        async with opened(config, "the test"):
            pass


async def test_a_database_of_replicas_alone_is_refused(cluster: Cluster) -> None:
    first, second = (each.url for each in cluster.replicas)
    config = PostgresConfig.model_validate({"url": first, "replicas": [second]})
    with pytest.raises(ConfigurationError, match="it is in recovery"):
        async with opened(config, "the test"):
            pass


async def test_all_servers_may_be_named_everywhere(cluster: Cluster) -> None:
    servers = [cluster.primary, *cluster.replicas]
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in reversed(servers))
    config = {
        "url": f"postgres://postgres@{hosts}/postgres?target_session_attrs=read-write",
        "replicas": [f"postgres://127.0.0.1:{each.port}" for each in servers],
    }
    async with opened(PostgresConfig.model_validate(config), "the test") as db:
        assert isinstance(db, ReplicatedDatabase)
        assert len(db.watch.servers) == len(db.watch.readers) == 3
        assert db.watch.primary is db.watch.servers[2]
        await until(lambda: len(usable(db)) == 2)
        assert await ports(db) == {each.port for each in cluster.replicas}
        assert await db.fetch_value("SELECT inet_server_port() FROM pg_sleep(0)") == servers[0].port


# Cancelled


async def read(db: ReplicatedDatabase) -> object:
    return await db.fetch_all("SELECT generate_series(1, 50) AS n")


async def write_and_read(db: ReplicatedDatabase) -> object:
    await db.execute("UPDATE t SET a = a + 0 WHERE a > ?", (0,))
    return await db.fetch_value(COUNT)


async def transact_and_read(db: ReplicatedDatabase) -> object:
    async with db.transaction() as session:
        await session.execute("UPDATE t SET a = a + 0")
    async with db.transaction(read_only=True) as session:
        return await session.fetch_value(COUNT)


async def stream(db: ReplicatedDatabase) -> object:
    async with aclosing(db.stream("SELECT generate_series(1, 40) AS n")) as rows:
        return [row async for row in rows]


@pytest.mark.parametrize("call", [read, write_and_read, transact_and_read, stream])
# bad input 73
async def test_cancelled_anywhere_the_next_one_gets_its_own(
    open_db: Opener, call: Callable[[ReplicatedDatabase], Awaitable[object]]
) -> None:
    async with open_db(pool_size=1, lane_size=1, replica_patience=5.0) as db:
        await db.execute_many(INSERT, [(1,), (2,)])
        number = 0

        async def run() -> None:
            # A new text each time, so that it is also cancelled while it is being prepared.
            db._statements.clear()
            for each in (db, *db._readers.values()):
                for link in each._links:
                    link.forget_all()
            await elsewhere(lambda: call(db))

        async def check() -> None:
            nonlocal number
            number += 1
            with anyio.fail_after(PATIENCE):
                for _ in range(2):
                    got = await db.fetch_value("SELECT CAST(? AS integer)", (number,))
                    assert got == number
                assert await db.fetch_value("SELECT a FROM t WHERE a = 1 FOR UPDATE") == 1
                async with db.transaction(read_only=True) as session:
                    assert await session.fetch_value(COUNT) == 2
            assert db.pool.in_use == 0
            for server, reader in db._readers.items():
                assert (server.reading, server.seekers, reader.pool.in_use) == (0, 0, 0)

        assert await cancel_at_every_await(run, check=check) >= 2
        assert db.counts.discarded == 0
        assert all(reader.counts.discarded == 0 for reader in db._readers.values())


# Seen from outside


async def test_each_replica_has_its_numbers_and_a_check_if_it_is_required(
    open_db: Opener, cluster: Cluster
) -> None:
    from covet_kernel.testing import run_kernel

    first, second = cluster.config["replicas"]
    config = {**cluster.config, "replicas": [{"url": first, "required": True}, second]}
    plugin: list[Postgres] = []

    class Seen(Postgres):
        def __init__(self, config: PostgresConfig) -> None:
            super().__init__(config)
            plugin.append(self)

    async with run_kernel({"postgres": Seen}, {"postgres": config}):
        names = [f"127.0.0.1:{each.port}" for each in cluster.replicas]
        checks = {check.name: check for check in plugin[0].covet_health_checks()}
        assert list(checks) == ["postgres.query", f"postgres.replica.{names[0]}"]
        await until(lambda: len(usable(plugin[0]._replicated)) == 2)  # type: ignore[arg-type]
        for check in checks.values():
            await check.check()
        read = {
            (metric.name, *labels): value
            for metric in plugin[0].covet_metrics()
            for labels, value in metric.read()
        }
        for name in names:
            assert read["postgres.replica.usable", "postgres", name] == 1
            assert 0 <= read["postgres.replica.lag", "postgres", name] < PATIENCE
            assert read["postgres.replica.reads", "postgres", name] == 0
            assert read["postgres.replica.reading", "postgres", name] == 0
            assert read["postgres.replica.failed", "postgres", name] == 0
        assert read["postgres.missed", "postgres"] == 0
        assert read["postgres.failovers", "postgres"] == 0


def test_replicas_can_be_said_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "covet.toml").write_text("[plugins.postgres]\n")
    tables = (
        """[{url = "postgres://a:secret@b", weight = 2, password = "secret"}, "postgres://c"]"""
    )
    ran = subprocess.run(
        [sys.executable, "-m", "covet_cli", "config", "show"],
        env={**os.environ, "COVET_PLUGINS__POSTGRES__REPLICAS": tables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = (line for line in ran.stdout.splitlines() if "postgres.replicas" in line)
    assert '"weight": 2.0' in line
    assert '"url": "postgres://c"' in line
    assert "secret" not in line
    config = PostgresConfig.model_validate({"replicas": ["postgres://a", {"url": "postgres://b"}]})
    assert [each.url for each in config.replicas] == ["postgres://a", "postgres://b"]
    assert "postgres://" not in repr(config.replicas)


@pytest.mark.once
def test_the_how_to_prints_what_it_says(cluster: Cluster, tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "how-to" / "read-from-replicas.md"
    text = page.read_text("utf-8")
    program = re.search(r"```python\n(# file: stock.py\n.*?)```", text, re.DOTALL)
    expected = re.search(r"```text\n(.*?)```", text, re.DOTALL)
    assert program is not None
    assert expected is not None
    with cluster.database() as url:
        urls = {
            "PRIMARY_URL": url,
            "REPLICA_URL": f"postgres://127.0.0.1:{cluster.replicas[0].port}",
        }
        ran = subprocess.run(
            [sys.executable, "-c", program[1]],
            env={**os.environ, **urls},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (ran.stdout, ran.stderr) == (expected[1], "")


# What needs no server


@given(st.integers(0, 2**64 - 1), st.sampled_from([4096, 8192, 65536]))
def test_a_position_is_a_number_and_never_behind_a_header(number: int, block: int) -> None:
    got = position(f"{number >> 32:X}/{number & 0xFFFFFFFF:X}", block)
    assert got == number - (number % block if number % block in (24, 40) else 0)


@given(st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0, 10.0]), min_size=1, max_size=5), st.data())
def test_only_replicas_that_may_are_picked_each_by_its_weight(
    weights: list[float], data: st.DataObject
) -> None:
    servers = [
        Server(f"h:{n}", {}, Replica(url="postgres://h", weight=w)) for n, w in enumerate(weights)
    ]
    watch = Watch(servers, None, None, None, connect_timeout=1, max_lag=60)  # type: ignore[arg-type]
    usable = []
    for server in servers:
        server.problem = data.draw(st.sampled_from(["", "", "it is down"]))
        server.role = data.draw(st.sampled_from(["standby", "standby", "primary"]))
        server.fresh = monotonic() - data.draw(st.sampled_from([0, 0, 1000]))
        server.replayed = data.draw(st.sampled_from([7, 7, 3]))
        server.link = data.draw(st.sampled_from([Alive, Alive, None]))
        if server.follows and server.fresh > monotonic() - 60 and server.replayed >= 5:
            usable.append(server)
    picked: Counter[Server | None] = Counter()
    for _ in range(200):
        picked[watch.pick(5)] += 1
    assert set(picked) <= set(usable or [None])
    total = sum(server.weight for server in usable)
    for server in usable:
        assert abs(picked[server] - 200 * server.weight / total) <= len(usable) + 1
