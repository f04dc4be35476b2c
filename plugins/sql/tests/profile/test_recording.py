"""Who asks for what, how often in one call."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from operations_testbed.plain import Plain, PlainCall, by_document, plain

from covet_kernel import Context, Plugin, Serving
from covet_kernel.contracts import SQL, Operation, SqlDatabase
from covet_kernel.testing import run_kernel
from covet_operations import OPERATIONS, Endpoint, Operations, operation, operations_of
from covet_sql import Sql
from covet_sql.profile import Entry, Recording, issued_by, read_report
from covet_sqlite import Sqlite

TEXT = "SELECT title FROM books WHERE id = :id"


async def test_a_block_is_one_call(observing: Any) -> None:
    async with observing(record=True) as db:
        await db.execute("CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT)")
        for many in (3, 5):
            with issued_by("shop.search"):
                for number in range(many):
                    await db.fetch_all(TEXT, {"id": number})
        await db.fetch_all(TEXT, {"id": 7})
        issued = {each["issuer"]: each for each in db.recording.report()}
    search = issued["shop.search"]
    assert (search["calls"], search["statements"], search["most"]) == (2, 8, 5)
    assert search["text"] == TEXT
    elsewhere = next(
        each
        for name, each in issued.items()
        if "test_recording.py" in name and each["text"] == TEXT
    )
    assert (elsewhere["calls"], elsewhere["statements"], elsewhere["most"]) == (0, 1, 0)


def test_it_is_bounded() -> None:
    recording = Recording(limit=2)
    for number in range(5):
        with issued_by(f"operation {number}"):
            recording.note(Entry("SELECT ?"), 0.1, "SELECT 1")
    assert len(recording.issued) == 2
    assert recording.dropped == 3
    with issued_by("operation 0"):
        for number in range(2000):
            recording.note(Entry(f"SELECT {number}"), 0.1, "SELECT 1")
            recording.note(Entry("SELECT ?"), 0.1, "SELECT 1")
    assert max(each.most for each in recording.issued.values()) == 2000


class Shop(Plugin[None]):
    requires = (OPERATIONS, SQL)
    endpoints: tuple[Endpoint[Plain], ...] = ()

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        await ctx.require(SQL).execute("CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT)")
        pipeline = ctx.require(OPERATIONS)

        def begin(serving: Serving) -> None:
            Shop.endpoints = pipeline.compile(serving, Plain, by_document)

        ctx.compile(begin)
        yield

    @operation(transaction="write")
    @plain("restock")
    async def restock(self, db: SqlDatabase) -> int:
        for number in range(12):
            await db.fetch_value("SELECT title FROM books WHERE id = ?", (number,))
        return 12

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)


async def test_statements_of_an_operation_have_its_name(tmp_path: Path) -> None:
    tables: dict[str, Any] = {
        "sql": {"record": True, "report": "report.json", "report_interval": 0.01},
        "sqlite": {},
    }
    plugins = {"operations": Operations, "sql": Sql, "sqlite": Sqlite, "shop": Shop}
    path = tmp_path / "report.json"
    async with run_kernel(plugins, tables, directory=tmp_path):
        (endpoint,) = Shop.endpoints
        for _ in range(2):
            assert await endpoint.run(PlainCall(endpoint)) == b"12"
        with anyio.fail_after(10):
            while not path.exists():
                await anyio.sleep(0.01)
        assert json.loads(path.read_text("utf-8"))["databases"]["sqlite"]["dialect"] == "sqlite"
    assert path.stat().st_mode & 0o077 == 0
    assert [each for each in os.listdir(tmp_path) if "report" in each] == ["report.json"]
    report = read_report(path)["sqlite"]
    found = {each["shape"]: each for each in report["issued"] if each["issuer"] == "Shop.restock"}
    title = found["SELECT title FROM books WHERE id = ?"]
    assert (title["calls"], title["statements"], title["most"]) == (2, 24, 12)
    assert found["COMMIT"]["calls"] == 2


async def test_a_report_that_cannot_be_written_is_said(tmp_path: Path, caplog: Any) -> None:
    tables: dict[str, Any] = {"sql": {"report": "none/report.json"}, "sqlite": {}}
    async with run_kernel({"sql": Sql, "sqlite": Sqlite}, tables, directory=tmp_path):
        pass
    assert "cannot be written" in caplog.text
