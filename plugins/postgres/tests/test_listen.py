"""Notifications: heard from the moment of entering, and what may have been missed is said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import psycopg
import pytest
from services import postgres
from services.proxy import proxy

from covet_kernel.contracts import SQL, SqlError, SqlUnavailableError
from covet_kernel.testing import cancel_at_every_await, run_kernel
from covet_postgres import Gap, Notification, PostgresConfig, _listening, listen, notify
from covet_postgres._database import PostgresDatabase
from covet_postgres._plugin import opened
from covet_sqlite import Sqlite

Opener = Callable[..., AbstractAsyncContextManager[PostgresDatabase]]
PATIENCE = 60
"""Seconds after which something is taken to hang."""


async def heard(listener: AsyncIterator[Any], many: int) -> list[tuple[str, str]]:
    """Channels and payloads of so many notifications."""
    with anyio.fail_after(PATIENCE):
        items = [await anext(listener) for _ in range(many)]
    assert all(isinstance(item, Notification) for item in items), items
    return [(item.channel, item.payload) for item in items]


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENCE):
        while not true():
            await anyio.sleep(0.01)


async def test_what_is_sent_is_heard_in_order(open_db: Opener) -> None:
    async with open_db() as db:
        async with listen(db, "Books", 'odd "name"; --') as listener:
            await notify(db, "Books", "1")
            await notify(db, "books", "another's")
            await notify(db, 'odd "name"; --', "\u00e9\U0001f4da'")
            await notify(db, "Books")
            assert await heard(listener, 3) == [
                ("Books", "1"),
                ('odd "name"; --', "\u00e9\U0001f4da'"),
                ("Books", ""),
            ]
            assert db.listening.connected
        await until(lambda: not db.listening.connected)
        assert db.listening.listeners == 0


async def test_a_transactions_notifications_come_with_its_commit(open_db: Opener) -> None:
    async with open_db() as db, listen(db, "news") as listener:
        async with db.transaction() as session:
            await notify(session, "news", "committed")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(notify, db, "news", "at once")
        with pytest.raises(LookupError):
            async with db.transaction() as session:
                await notify(session, "news", "rolled back")
                raise LookupError
        await notify(db, "news", "last")
        assert await heard(listener, 3) == [
            ("news", "at once"),
            ("news", "committed"),
            ("news", "last"),
        ]


async def test_listeners_share_one_connection(open_db: Opener) -> None:
    async with open_db(lane_size=0) as db:
        await db.fetch_value("SELECT 1")
        before = set(db._links)
        async with listen(db, "a") as first, listen(db, "a", "b") as second:
            others = [link for link in db._links if not link.lost and link not in before]
            assert len(others) == 1
            await notify(db, "a", "1")
            await notify(db, "b", "2")
            assert await heard(second, 2) == [("a", "1"), ("b", "2")]
            async with listen(db, "b") as third:
                await notify(db, "b", "3")
                assert await heard(third, 1) == [("b", "3")]
            await notify(db, "a", "4")
            assert await heard(first, 2) == [("a", "1"), ("a", "4")]
            assert await heard(second, 2) == [("b", "3"), ("a", "4")]


async def test_a_lost_connection_is_replaced_and_said(open_db: Opener, url: str) -> None:
    def kill() -> None:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )

    async with open_db() as db, listen(db, "news") as listener:
        await notify(db, "news", "before")
        assert await heard(listener, 1) == [("news", "before")]
        for _ in range(3):
            await anyio.to_thread.run_sync(kill)
            with anyio.fail_after(PATIENCE):
                assert await anext(listener) == Gap("reconnected")
            # From here on nothing is missed.
            await notify(db, "news", "behind")
            assert await heard(listener, 1) == [("news", "behind")]


async def test_while_the_server_is_away_a_listener_waits_and_a_new_one_is_told() -> None:
    with postgres.own_server() as server:
        async with opened(PostgresConfig(url=server.url, lane_size=0), "the test") as db:
            async with listen(db, "news") as listener:
                await anyio.to_thread.run_sync(server.stop)
                await until(lambda: not db.listening.connected)
                with anyio.fail_after(PATIENCE), pytest.raises(SqlUnavailableError):
                    async with listen(db, "other"):
                        pass
                server.start()  # here: it ends with the thread that starts it
                with anyio.fail_after(PATIENCE):
                    assert await anext(listener) == Gap("reconnected")
                await notify(db, "news", "again")
                assert await heard(listener, 1) == [("news", "again")]


async def test_a_silent_server_is_noticed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_listening, "PING", 0.05)
    port = int(url.rpartition("/")[0].rpartition(":")[2])
    async with proxy(port) as between:
        through = PostgresConfig(
            url=url.replace(f":{port}/", f":{between.port}/"),
            statement_timeout=0.3,
            cleanup_timeout=0.3,
            connect_timeout=0.5,
            lane_size=0,
        )
        async with opened(through, "the test") as db, listen(db, "news") as listener:
            between.silent = True
            await until(lambda: not db.listening.connected)
            between.silent = False
            await between.cut()
            with anyio.fail_after(PATIENCE):
                assert await anext(listener) == Gap("reconnected")


async def test_who_reads_too_late_keeps_the_newest_and_is_told(open_db: Opener) -> None:
    async with open_db() as db:
        async with listen(db, "news", buffer=3) as slow, listen(db, "news") as quick:
            for number in range(10):
                await notify(db, "news", str(number))
            assert len(await heard(quick, 10)) == 10
            assert await anext(slow) == Gap("overflow")
            assert await heard(slow, 3) == [("news", "7"), ("news", "8"), ("news", "9")]
            await notify(db, "news", "10")
            assert await heard(slow, 1) == [("news", "10")]


async def test_it_ends_with_the_database(open_db: Opener) -> None:
    items: list[object] = []
    inside = anyio.Event()

    async def read(db: PostgresDatabase) -> None:
        async with listen(db, "news") as listener:
            inside.set()
            async for item in listener:
                items.append(item)  # noqa: PERF401 - they are looked at meanwhile
            items.append("ended")

    async with anyio.create_task_group() as tasks:
        async with open_db() as db:
            tasks.start_soon(read, db)
            await inside.wait()
            await notify(db, "news", "1")
            await until(lambda: bool(items))
    assert items[-1] == "ended"
    with pytest.raises(SqlUnavailableError):
        async with listen(db, "news"):
            pass


async def test_cancelled_anywhere_nothing_is_left(open_db: Opener) -> None:
    async with open_db() as db:

        async def scenario() -> None:
            async with listen(db, "a", "b") as listener:
                await notify(db, "b", "1")
                assert await heard(listener, 1) == [("b", "1")]

        async def check() -> None:
            assert db.listening.listeners == 0
            await scenario()
            await until(lambda: not db.listening._running)
            assert not db.listening.connected

        assert await cancel_at_every_await(scenario, check=check) >= 3
        assert db.counts.discarded == 0


async def test_what_cannot_be_is_refused(open_db: Opener) -> None:
    async with open_db() as db:
        for name in ("", "a\0b", "x" * 64, "\u00e9" * 32):
            with pytest.raises(SqlError) as caught:
                listen(db, "good", name)
            assert caught.value.sqlstate == "42602"
            with pytest.raises(SqlError) as caught:
                await notify(db, name)
            assert caught.value.sqlstate == "42602"
        with pytest.raises(SqlError):
            listen(db)
        with pytest.raises(SqlError):
            listen(db, "news", buffer=0)
        with pytest.raises(SqlError) as caught:
            await notify(db, "news", "x" * 9000)
        assert caught.value.sqlstate == "22023"
    async with open_db(pgbouncer=True) as db:
        with pytest.raises(SqlError, match="pooler"):
            listen(db, "news")
    async with run_kernel({"sqlite": Sqlite}, {"sqlite": {"path": ":memory:"}}) as kernel:
        with pytest.raises(SqlError, match="covet-postgres"):
            listen(kernel.require(SQL), "news")
        with pytest.raises(SqlError, match="no channels"):
            await notify(kernel.require(SQL), "news")
