"""COPY in and out: from everything, in bounded memory, and whatever ends it the connection is whole."""

from __future__ import annotations

import io
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import psycopg
import pytest
from services.proxy import proxy

from covet_kernel.contracts import SQL, SqlError, SqlIntegrityError, SqlUnavailableError
from covet_kernel.testing import cancel_at_every_await, run_kernel
from covet_postgres import PostgresConfig, copy_in, copy_out, copy_rows
from covet_postgres._database import PostgresDatabase
from covet_postgres._plugin import opened
from covet_sqlite import Sqlite

Opener = Callable[..., AbstractAsyncContextManager[PostgresDatabase]]
PATIENCE = 60
"""Seconds after which something is taken to hang."""
IN = "COPY t (id, a) FROM STDIN"
OUT = "COPY (SELECT id, a FROM t ORDER BY id) TO STDOUT"
ROWS = 20_000
DATA = b"".join(b"%d\t%d\n" % (number, number) for number in range(ROWS))


async def pieces(size: int = 10_000) -> AsyncIterator[bytes]:
    for at in range(0, len(DATA), size):
        yield DATA[at : at + size]


def file(folder: Path) -> Path:
    path = folder / "data"
    path.write_bytes(DATA)
    return path


SOURCES: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda _: DATA,
    "bytearray": lambda _: bytearray(DATA),
    "memoryview": lambda _: memoryview(DATA),
    "path": file,
    "open file": lambda folder: file(folder).open("rb"),
    "file in memory": lambda _: io.BytesIO(DATA),
    "async iterator": lambda _: pieces(),
    "tiny pieces": lambda _: pieces(7),
    "list": lambda _: [DATA[:5], DATA[5:]],
}


@pytest.mark.parametrize("name", SOURCES)
async def test_every_source_is_stored_whole(open_db: Opener, tmp_path: Path, name: str) -> None:
    async with open_db() as db:
        source = SOURCES[name](tmp_path)
        assert await copy_in(db, IN, source) == ROWS
        if isinstance(source, io.IOBase):
            assert not source.closed
            source.close()
        async with aclosing(copy_out(db, OUT)) as chunks:
            got = [chunk async for chunk in chunks]
        assert b"".join(got) == DATA
        assert all(chunk.endswith(b"\n") for chunk in got)
        assert (db.pool.in_use, db.counts.discarded) == (0, 0)


async def test_formats_are_the_statements(open_db: Opener) -> None:
    async with open_db() as db:
        data = b"a;id\n5;1\n;2\n"
        options = "WITH (FORMAT csv, HEADER true, DELIMITER ';')"
        assert await copy_in(db, f"copy t (a, id) from stdin {options}", data) == 2
        out = f"COPY (SELECT a, id FROM t ORDER BY id) TO STDOUT {options}"
        assert b"".join([chunk async for chunk in copy_out(db, out)]) == data
        await db.execute("CREATE TABLE u (LIKE t)")
        binary = [chunk async for chunk in copy_out(db, "COPY t TO STDOUT (FORMAT binary)")]
        assert await copy_in(db, "COPY u FROM STDIN (FORMAT binary)", binary) == 2
        assert await db.fetch_all("SELECT * FROM u") == await db.fetch_all("SELECT * FROM t")
        assert await copy_in(db, IN, b"") == 0


async def test_rows_of_values(open_db: Opener) -> None:
    import datetime as dt
    from decimal import Decimal
    from uuid import UUID

    rows: list[tuple[Any, ...]] = [
        (1, "plain", 1.5, Decimal("0.10"), True, b"\x00\\\n", dt.date(2024, 2, 29), UUID(int=7)),
        (2, "tab\tline\nreturn\rback\\slash\\N \\. \u00e9\U0001f4da", -0.0, None, False, b"", None, None),
        (None, "", None, Decimal("NaN"), None, None, None, None),
        (2**62, "\\N", 1e300, Decimal("1" + "0" * 40), True, b"\xff" * 300, dt.date.max, UUID(int=0)),
    ]  # fmt: skip
    more: list[Any] = [
        [1, None, 3],
        {"k": ['"', "\\", None]},
        dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    ]
    async with open_db() as db:
        await db.execute(
            'CREATE TABLE "Odd ""name""" (n BIGINT, "t t" TEXT, f FLOAT8, d NUMERIC, b BOOLEAN,'
            " y BYTEA, day DATE, u UUID, l INTEGER[], j JSONB, at TIMESTAMPTZ)"
        )
        columns = ["n", "t t", "f", "d", "b", "y", "day", "u"]
        table = 'Odd "name"'
        assert await copy_rows(db, table, columns, rows) == 4
        got = await db.fetch_all('SELECT n, "t t", f, d, b, y, day, u FROM "Odd ""name"""')
        assert [repr(tuple(row.values())) for row in got] == [repr(row) for row in rows]

        async def later() -> AsyncIterator[list[Any]]:
            for _ in range(700):
                yield more

        await db.execute('DELETE FROM "Odd ""name"""')
        async with db.transaction() as session:
            assert await copy_rows(session, ("public", table), ["l", "j", "at"], later()) == 700
        assert await db.fetch_one(f'SELECT l, j, at FROM "{table.replace(chr(34), chr(34) * 2)}" LIMIT 1') == {
            "l": more[0], "j": more[1], "at": more[2],
        }  # fmt: skip


async def test_random_texts_come_back(open_db: Opener) -> None:
    chance = random.Random(3)
    alphabet = "\\\t\n\r\x01\x7f N.'\"\u00a0\u2028\U0010ffff"
    texts = ["".join(chance.choices(alphabet, k=chance.randrange(12))) for _ in range(2000)]
    async with open_db() as db:
        await db.execute("CREATE TABLE u (id INTEGER, x TEXT)")
        rows = ((number, text) for number, text in enumerate(texts))
        assert await copy_rows(db, "u", ["id", "x"], rows) == len(texts)
        got = await db.fetch_all("SELECT x FROM u ORDER BY id")
        assert [row["x"] for row in got] == texts


@pytest.mark.parametrize(
    ("row", "sqlstate"),
    [
        ((1,), "07001"),
        ((1, 2, 3), "07001"),
        ("12", "07001"),
        ((1, b"x"), "07006"),
        ((1, "a\0b"), "22021"),
        ((1, "\ud800"), "22021"),
        ((1, {"a"}), "22P02"),
        ((2**31, 1), "22003"),
    ],
)
async def test_a_row_that_does_not_fit_stores_nothing(
    open_db: Opener, row: Any, sqlstate: str
) -> None:
    async with open_db() as db:
        rows = [(number, number) for number in range(1000)]
        with pytest.raises(SqlError) as caught:
            await copy_rows(db, "t", ["id", "a"], [*rows, row])
        assert caught.value.sqlstate == sqlstate
        assert await db.fetch_value("SELECT count(*) FROM t") == 0
        assert db.counts.discarded == 0


async def test_what_the_server_refuses_stores_nothing(open_db: Opener) -> None:
    async with open_db() as db:
        for sql, data, sqlstate in (
            (IN, b"1\tx\n", "22P02"),
            (IN, b"1\n", "22P04"),
            ("COPY nowhere FROM STDIN", b"", "42P01"),
            ("COPY t FROM STDIN (FORMAT nothing)", b"", "22023"),
        ):
            with pytest.raises(SqlError) as caught:
                await copy_in(db, sql, data)
            assert caught.value.sqlstate == sqlstate
        with pytest.raises(SqlIntegrityError):
            await copy_in(db, IN, b"1\t1\n2\t1\n" + DATA)
        with pytest.raises(SqlError) as caught:
            async for _ in copy_out(db, "COPY (SELECT 1 / 0) TO STDOUT"):
                pass
        assert caught.value.sqlstate == "22012"
        assert await db.fetch_value("SELECT count(*) FROM t") == 0
        assert (db.pool.in_use, db.counts.discarded) == (0, 0)


async def test_only_its_own_statements_are_taken(open_db: Opener) -> None:
    async with open_db() as db:
        for sql in ("SELECT 1", OUT, "COPY t FROM '/etc/passwd'", IN + " WHERE id = ?", ""):
            with pytest.raises(SqlError) as caught:
                await copy_in(db, sql, DATA)
            assert caught.value.sqlstate == "42601"
        for sql in (
            "SELECT 1",
            IN,
            "COPY t TO '/srv/x'",
            "COPY (SELECT 'TO STDOUT') TO PROGRAM 'x'",
        ):
            with pytest.raises(SqlError) as caught:
                await anext(copy_out(db, sql))
            assert caught.value.sqlstate == "42601"
        with pytest.raises(SqlError):
            await copy_in(db, IN + "; DELETE FROM t", b"1\t1\n")
        for names in ([], ["id", ""], ["a\0"], ["nothing"], ['a" = 1; --']):
            with pytest.raises(SqlError):
                await copy_rows(db, "t", names, [(1, 1)])
        assert await copy_in(db, IN, b"1\t1\n") == 1
        assert db.counts.discarded == 0
        stdout = "COPY (SELECT 'from stdin' AS a, id FROM t) TO STDOUT"
        assert b"".join([chunk async for chunk in copy_out(db, stdout)]) == b"from stdin\t1\n"


@pytest.mark.parametrize("source", ["text", ["text"], [1], io.StringIO])
async def test_a_source_of_something_else_is_refused(open_db: Opener, source: Any) -> None:
    source = io.StringIO("text") if source is io.StringIO else source
    async with open_db() as db:
        with pytest.raises(SqlError, match="takes bytes") as caught:
            await copy_in(db, IN, source)
        assert caught.value.sqlstate == "07006"
        assert db.counts.discarded == 0


async def test_other_databases_have_none() -> None:
    async with run_kernel({"sqlite": Sqlite}, {"sqlite": {"path": ":memory:"}}) as kernel:
        db = kernel.require(SQL)
        with pytest.raises(SqlError, match="covet-postgres"):
            await copy_in(db, IN, DATA)
        with pytest.raises(SqlError, match="covet-postgres"):
            await copy_rows(db, "t", ["a"], [])
        with pytest.raises(SqlError, match="covet-postgres"):
            await anext(copy_out(db, OUT))


async def test_within_a_transaction_it_is_part_of_it(open_db: Opener) -> None:
    async with open_db() as db:
        with pytest.raises(LookupError):
            async with db.transaction() as session:
                assert await copy_in(session, IN, DATA) == ROWS
                assert await session.fetch_value("SELECT count(*) FROM t") == ROWS
                raise LookupError
        async with db.transaction() as session:
            with pytest.raises(SqlError):
                async with session.transaction():
                    await copy_in(session, IN, b"nothing\n")
            await copy_in(session, IN, b"7\t7\n")
        assert await db.fetch_all("SELECT id FROM t") == [{"id": 7}]


async def test_nothing_else_is_sent_in_the_middle(open_db: Opener) -> None:
    async with open_db() as db:
        async with db.transaction() as session:
            await session.execute("INSERT INTO t (id) VALUES (-1)")

            async def asks() -> AsyncIterator[bytes]:
                yield b"1\t1\n"
                await session.fetch_value("SELECT 1")

            for use in (
                lambda: copy_in(session, IN, asks()),
                lambda: copy_in(session, IN, (row async for row in copy_out(session, OUT))),
            ):
                with pytest.raises(SqlError, match="COPY is under way") as caught:
                    async with session.transaction():
                        await use()
                assert caught.value.sqlstate == "55006"
        assert await db.fetch_all("SELECT id FROM t") == [{"id": -1}]
        assert db.counts.discarded == 0


async def test_a_source_that_raises_stores_nothing(open_db: Opener) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield DATA
        raise LookupError

    async with open_db(pool_size=1) as db:
        for _ in range(3):
            with pytest.raises(LookupError):
                await copy_in(db, IN, breaks())
        assert await db.fetch_value("SELECT count(*) FROM t") == 0
        assert db.counts.discarded == 0
        assert await copy_in(db, IN, DATA) == ROWS


async def test_closed_early_the_server_stops(open_db: Opener) -> None:
    async with open_db(pool_size=1) as db:
        endless = "COPY (SELECT generate_series(1, 1000000000), repeat('x', 1000)) TO STDOUT"
        for _ in range(3):
            async with aclosing(copy_out(db, endless)) as chunks:
                assert (await anext(chunks)).startswith(b"1\txxx")
            assert await db.execute("UPDATE t SET a = a") == 0
        assert db.counts.discarded == 0
        assert db.counts.cancelled == 3


async def test_a_slow_reader_keeps_the_server_waiting(open_db: Opener) -> None:
    async with open_db() as db:
        much = "COPY (SELECT generate_series(1, 1000000000), repeat('x', 1000)) TO STDOUT"
        async with aclosing(copy_out(db, much)) as chunks:
            await anext(chunks)
            blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"
            with anyio.fail_after(PATIENCE):
                while not await db.fetch_value(blocked):
                    await anyio.sleep(0.01)


async def test_a_slow_server_keeps_the_source_waiting(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute(
            "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$"
        )
        await db.execute("CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION hold()")
        drawn = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal drawn
            while True:
                drawn += len(DATA)
                yield DATA

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(copy_in, db, IN, endless())
            with anyio.fail_after(PATIENCE):
                while not await db.fetch_value(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                ):
                    await anyio.sleep(0.01)
                last = -1
                while drawn != last:
                    last = drawn
                    await anyio.sleep(0.2)
            # What fits into the sockets' buffers, and no more.
            assert drawn < 1 << 26
            tasks.cancel_scope.cancel()
        assert db.pool.in_use == 0
        assert await db.fetch_value("SELECT count(*) FROM t") == 0


async def test_the_limit_is_not_that_of_a_statement(open_db: Opener) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"1\t1\n"
        await anyio.sleep(0.6)
        yield b"2\t2\n"

    async with open_db(statement_timeout=0.2) as db, db.transaction() as session:
        assert await copy_in(session, IN, slow()) == 2
        async for _ in copy_out(session, OUT):
            await anyio.sleep(0.3)
        assert await session.fetch_value("SHOW statement_timeout") == "200ms"


async def from_bytes(db: PostgresDatabase) -> object:
    return await copy_in(db, IN, DATA)


async def from_iterator(db: PostgresDatabase) -> object:
    async with db.transaction() as session:
        return await copy_in(session, IN, pieces(60_000))


async def from_rows(db: PostgresDatabase) -> object:
    return await copy_rows(db, "t", ["id", "a"], ((n, n) for n in range(1200)))


async def out(db: PostgresDatabase) -> object:
    numbers = "COPY (SELECT generate_series(1, 30000)) TO STDOUT"
    async with aclosing(copy_out(db, numbers)) as chunks:
        return [chunk async for chunk in chunks]


@pytest.mark.parametrize("call", [from_bytes, from_iterator, from_rows, out])
# bad input 73
async def test_cancelled_anywhere_the_next_one_gets_its_own(
    open_db: Opener, call: Callable[[PostgresDatabase], Awaitable[object]]
) -> None:
    async with open_db(pool_size=1, lane_size=1) as db:
        number = 0

        async def check() -> None:
            nonlocal number
            number += 1
            with anyio.fail_after(PATIENCE):
                stored = await db.fetch_value("SELECT count(*) FROM t WHERE id >= 0")
                assert stored in (0, 1200, ROWS)
                await db.execute("DELETE FROM t")
                async with db.transaction() as session:
                    got = await session.fetch_value("SELECT CAST(? AS integer)", (number,))
                    assert got == number
                    assert await session.fetch_value("SHOW statement_timeout") == "30s"
            assert db.pool.in_use == 0

        assert await cancel_at_every_await(lambda: call(db), check=check) >= 4
        assert db.counts.discarded == 0


async def test_ended_in_the_middle_it_is_an_error_in_time(open_db: Opener, url: str) -> None:
    def kill(pid: int) -> None:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", (pid,))

    async def killed(pid: int) -> AsyncIterator[bytes]:
        yield DATA
        await anyio.to_thread.run_sync(kill, pid)
        while True:
            yield b"-1\t-1\n"
            await anyio.lowlevel.checkpoint()

    own = "SELECT pg_backend_pid()"
    async with open_db() as db:
        with anyio.fail_after(PATIENCE):
            with pytest.raises(SqlUnavailableError):
                async with db.transaction() as session:
                    await copy_in(session, IN, killed(await session.fetch_value(own)))
            with pytest.raises(SqlUnavailableError):
                async with db.transaction() as session:
                    pid = await session.fetch_value(own)
                    much = "COPY (SELECT generate_series(1, 10000000), repeat('x', 1000)) TO STDOUT"
                    async for _ in copy_out(session, much):
                        await anyio.to_thread.run_sync(kill, pid)
        assert db.pool.in_use == 0
        assert await db.fetch_value("SELECT count(*) FROM t") == 0


def cuts() -> Iterator[int]:
    chance = random.Random(7)
    for _ in range(30):
        yield chance.choice((1, 100, 400, 600, 900, 2000, 50_000)) + chance.randrange(200)


async def test_cut_at_any_byte_all_is_stored_or_nothing(url: str) -> None:
    port = int(url.rpartition("/")[0].rpartition(":")[2])
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE TABLE t (id INTEGER, a INTEGER)")
    done = 0
    async with proxy(port) as between:
        through = PostgresConfig(
            url=url.replace(f":{port}/", f":{between.port}/"),
            cleanup_timeout=1.0,
            connect_timeout=2.0,
            lane_size=0,
        )
        async with opened(through, "the test") as db:
            for cut in cuts():
                between.cut_after = cut
                with anyio.fail_after(PATIENCE):
                    try:
                        await copy_in(db, IN, DATA)
                        done += 1
                        async for _ in copy_out(db, OUT):
                            pass
                    except SqlError as error:
                        assert isinstance(error, SqlUnavailableError), repr(error)
                assert db.pool.in_use == 0
            between.cut_after = None
    with psycopg.connect(url) as admin:
        (stored,) = admin.execute("SELECT count(*) FROM t").fetchone() or (None,)
    assert stored is not None
    assert stored % ROWS == 0
    assert stored >= done * ROWS
