"""A database whose disk is full, that is read-only, slow, or killed under load: errors, and no lost row."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import suppress

import anyio
import pytest
from services.durable import MADE, Durable, DurablePostgres, durable
from services.proxy import proxy
from services.transfers import TABLES, Transfers

from covet_kernel.contracts import SqlDatabase, SqlError, SqlUnavailableError

pytestmark = pytest.mark.once
PATIENCE = 60


@pytest.fixture(scope="module", params=MADE)
def subject(request: pytest.FixtureRequest) -> Iterator[Durable]:
    with durable(request.param) as one:
        yield one


async def until_it_writes(database: SqlDatabase, statement: str) -> None:
    with anyio.fail_after(PATIENCE):
        while True:
            with suppress(SqlUnavailableError):
                await database.execute(statement)
                return
            await anyio.sleep(0.05)


async def test_its_disk_is_full(subject: Durable) -> None:
    subject.run("DROP TABLE IF EXISTS letters", "CREATE TABLE letters (id INTEGER, text TEXT)")
    stored = 0
    async with subject.opened() as database:
        with subject.disk.full(), anyio.fail_after(PATIENCE), pytest.raises(SqlError) as caught:
            # There may be room in what the files hold already, but not for all of these.
            for stored in range(1000):
                await database.execute(
                    "INSERT INTO letters VALUES (?, ?)", (stored, random.randbytes(3000).hex())
                )
        # One server says so and goes on, another dies of it.
        assert caught.value.sqlstate == "53100" or isinstance(caught.value, SqlUnavailableError)
        if isinstance(caught.value, SqlUnavailableError):
            subject.server.stop()
            subject.server.start()
        await until_it_writes(database, f"INSERT INTO letters VALUES ({stored}, 'after')")
        rows = await database.fetch_all("SELECT id FROM letters ORDER BY id")
        assert [row["id"] for row in rows] == list(range(stored + 1))


async def test_it_is_read_only(subject: Durable) -> None:
    postgresql = isinstance(subject, DurablePostgres)
    subject.run("DROP TABLE IF EXISTS notes", "CREATE TABLE notes (id INTEGER)")
    async with subject.opened() as database:
        await database.execute("INSERT INTO notes VALUES (1)")
        subject.run(
            *(
                ("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
                if postgresql
                else ("SET GLOBAL read_only = ON",)
            )
        )
        try:
            with anyio.fail_after(PATIENCE):
                while True:  # a reload takes a moment
                    try:
                        await database.execute("INSERT INTO notes VALUES (2)")
                    except SqlError as error:
                        assert error.sqlstate == "25006", error
                        break
                with pytest.raises(SqlError) as caught:
                    async with database.transaction() as session:
                        assert await session.fetch_value("SELECT 3") == 3
                        await session.execute("INSERT INTO notes VALUES (3)")
                assert caught.value.sqlstate == "25006"
                assert await database.fetch_value("SELECT id FROM notes WHERE id = 1") == 1
        finally:
            subject.run(
                *(
                    ("SET default_transaction_read_only = off", "ALTER SYSTEM RESET ALL")
                    if postgresql
                    else ("SET GLOBAL read_only = OFF",)
                ),
                *(("SELECT pg_reload_conf()",) if postgresql else ()),
            )
        with anyio.fail_after(PATIENCE):
            while True:
                with suppress(SqlError):
                    await database.execute("INSERT INTO notes VALUES (4)")
                    break
                await anyio.sleep(0.05)
        assert await database.fetch_value("SELECT count(*) FROM notes WHERE id = 3") == 0


async def test_it_is_slow(subject: Durable) -> None:
    chance = random.Random(7)
    async with proxy(subject.server.port) as between:
        between.delay = 0.02
        async with subject.opened(between.port, pool_size=3) as database:
            answered = 0

            async def ask(number: int) -> None:
                nonlocal answered
                with anyio.move_on_after(chance.choice([0.0, 0.01, 0.05, 0.2, PATIENCE])) as scope:
                    async with database.transaction() as session:
                        got = await session.fetch_all(
                            "SELECT CAST(? AS CHAR(8)) AS n", (str(number),)
                        )
                        assert [row["n"].strip() for row in got] == [str(number)]
                        answered += 1
                if not scope.cancelled_caught:
                    got = await database.fetch_all("SELECT CAST(? AS CHAR(8)) AS n", (str(number),))
                    assert [row["n"].strip() for row in got] == [str(number)]

            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as tasks:
                    for number in range(60):
                        tasks.start_soon(ask, number)
            assert answered
            assert await database.fetch_value("SELECT 1") == 1


async def test_killed_under_load_it_loses_nothing_it_acknowledged(subject: Durable) -> None:
    subject.run("DROP TABLE IF EXISTS accounts", "DROP TABLE IF EXISTS moves", *TABLES)
    transfers = Transfers(5)
    async with subject.opened(pool_size=4, acquire_timeout=2.0) as database:
        async with anyio.create_task_group() as tasks:
            for task in range(8):
                tasks.start_soon(transfers.work, task, database)
            for _ in range(2):
                enough = len(transfers.happened) + 50
                with anyio.fail_after(PATIENCE):
                    while len(transfers.happened) < enough:
                        await anyio.sleep(0.01)
                        transfers.cancel_one()
                subject.server.stop(signal.SIGKILL)
                refused = transfers.refused
                with anyio.fail_after(PATIENCE):
                    while transfers.refused < refused + 8:
                        await anyio.sleep(0.01)
                subject.server.start()  # here: it ends with the thread that starts it
            tasks.cancel_scope.cancel()
        await until_it_writes(database, "INSERT INTO moves (id) VALUES (-1)")
        await transfers.check(database)
