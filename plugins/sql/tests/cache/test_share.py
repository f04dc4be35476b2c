"""What one process writes, another no longer answers from what it has kept."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from services import postgres

from covet_kernel.contracts import SQL, Params, SqlUnavailableError
from covet_kernel.testing import run_kernel
from covet_postgres import Postgres
from covet_sql import Sql
from covet_sql.cache import cached, share
from covet_sql.cache._catalogue import Catalogue
from covet_sql.profile import ObservedDatabase, Profile

TEXT = "SELECT n FROM books"
ANOTHER = "SELECT n FROM authors"


class Message:
    def __init__(self, payload: str) -> None:
        self.payload = payload


class Server:
    """Where several databases hear each other."""

    dialect = "postgresql"

    def __init__(self) -> None:
        self.rows = 0
        self.sent: list[str] = []
        self.ears: list[Any] = []
        self.down = False

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        await anyio.lowlevel.checkpoint()
        if self.down:
            raise SqlUnavailableError("gone", sqlstate="08006")
        if "pg_notify" in sql:
            values: Any = params
            self.sent.append(values[1])
            for ear in self.ears:
                ear.send_nowait(Message(values[1]))
        return self.rows

    async def fetch_all(self, sql: str, params: Params = ()) -> list[dict[str, Any]]:
        if "pg_constraint" in sql:
            return []
        return [{"name": name, "plain": True, "opaque": False} for name in ("books", "authors")]

    async def execute(self, sql: str, params: Params = ()) -> int:
        self.rows += 1
        return 1

    @asynccontextmanager
    async def listen(self, channels: tuple[str, ...], buffer: int) -> AsyncIterator[Any]:
        if self.down:
            raise SqlUnavailableError("gone", sqlstate="08006")
        send, receive = anyio.create_memory_object_stream[Any](buffer)
        self.ears.append(send)
        with send, receive:
            try:
                yield receive
            finally:
                self.ears.remove(send)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("covet_sql.cache._share.AGAIN", 0.01)


def process(server: Server) -> ObservedDatabase:
    inner: Any = server
    return ObservedDatabase("postgres", inner, Profile("postgresql"))


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.002)


async def test_writes_are_heard_by_the_others() -> None:
    server = Server()
    one, other = process(server), process(server)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(share, one)
        tasks.start_soon(share, other)
        await until(lambda: len(server.ears) == 2)
        await cached(other, seconds=60).fetch_value(TEXT)
        await cached(other, seconds=60).fetch_value(ANOTHER)
        assert other.cache is not None
        await one.execute("DELETE FROM books")
        await until(lambda: other.cache is not None and len(other.cache) == 1)
        assert await cached(other, seconds=60).fetch_value(TEXT) == 1
        assert await cached(other, seconds=60).fetch_value(ANOTHER) == 0
        assert [json.loads(each)[1] for each in server.sent] == [["books"]]
        # Its own messages mean nothing new to it.
        await cached(one, seconds=60).fetch_value(TEXT)
        hits = one.cache.hits if one.cache else -1
        await cached(one, seconds=60).fetch_value(TEXT)
        assert one.cache is not None
        assert one.cache.hits == hits + 1
        tasks.cancel_scope.cancel()
    assert one.cache.on_write is None


async def test_what_may_have_been_missed_is_dropped() -> None:
    server = Server()
    db = process(server)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(share, db)
        await until(lambda: server.ears)
        for odd in (object(), Message("["), Message("7"), Message("[1, 2]"), Message("[" * 99_999)):
            await cached(db, seconds=60).fetch_value(TEXT)
            assert db.cache is not None
            assert len(db.cache) == 1
            server.ears[0].send_nowait(odd)
            await until(lambda: db.cache is not None and len(db.cache) == 0)
        tasks.cancel_scope.cancel()


async def test_a_database_that_is_down_is_tried_again() -> None:
    server = Server()
    server.down = True
    db = process(server)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(share, db)
        await anyio.sleep(0.03)
        assert not server.ears
        await db.execute("DELETE FROM books")
        await anyio.sleep(0.03)
        server.down = False
        await until(lambda: server.ears and server.sent)
        tasks.cancel_scope.cancel()
    assert [json.loads(each)[1] for each in server.sent] == [["books"]]


async def test_very_many_tables_are_all_of_them() -> None:
    server = Server()
    db = process(server)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(share, db)
        await until(lambda: server.ears)
        assert db.cache is not None
        names = [f"a_table_with_a_long_name_{n}" for n in range(500)]
        db.cache._catalogue = Catalogue(frozenset(names))
        db.cache.invalidate(names)
        await until(lambda: server.sent)
        tasks.cancel_scope.cancel()
    assert [json.loads(each)[1] for each in server.sent] == [["*"]]


async def test_two_services_on_one_postgresql(tmp_path: Path) -> None:
    plugins: dict[str, Any] = {"postgres": Postgres, "sql": Sql}
    with postgres.database() as url:
        tables = {"postgres": {"url": url}, "sql": {"cache_shared": True}}
        async with (
            run_kernel(plugins, tables, directory=tmp_path) as first,
            run_kernel(plugins, tables, directory=tmp_path) as second,
        ):
            one, other = first.require(SQL), second.require(SQL)
            assert isinstance(other, ObservedDatabase)
            await one.execute("CREATE TABLE books (n INTEGER)")
            kept = cached(other, seconds=600)
            for expected in range(3):
                with anyio.fail_after(20):
                    while await kept.fetch_value("SELECT count(*) FROM books") != expected:
                        await anyio.sleep(0.005)
                async with one.transaction() as session:
                    await session.execute("INSERT INTO books VALUES (1)")
            # Once the last message has come, nothing more is dropped.
            with anyio.fail_after(20):
                while other.cache is None or not other.cache.hits:
                    assert await kept.fetch_value("SELECT count(*) FROM books") in (2, 3)
                    await anyio.sleep(0.005)


async def test_with_other_databases_there_is_nothing_to_hear() -> None:
    inner: Any = type("Other", (), {"dialect": "sqlite"})()
    await share(ObservedDatabase("sqlite", inner, Profile("sqlite")))
