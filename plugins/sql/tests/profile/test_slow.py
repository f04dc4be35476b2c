"""What is slow is in the log with who asked for it and its plan, rarely enough to be read."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

from covet_kernel.contracts import SqlError
from covet_sql.profile import Entry, Plans, SlowLog
from covet_sql.profile._slow import KEPT, QUEUE

CREATE = "CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT)"


async def test_a_slow_statement_is_logged_with_its_plan(
    observing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "covet.sql.slow")
    text = "SELECT id FROM books WHERE title = :title"
    async with observing(slow=60.0) as db:
        await db.execute(CREATE)
        db.profile.slow = 1e-9
        await db.fetch_all(text, {"title": "s3cr3t"})
        await db.fetch_all(text, {"title": "s3cr3t"})
        entry = db.profile.entry(text)
        with anyio.fail_after(10):
            while not entry.plan:
                await anyio.sleep(0.01)
    slow, plan = [each.getMessage() for each in caplog.records if "title" in each.getMessage()]
    assert "SELECT id FROM books WHERE title = ?" in slow
    assert "test_slow.py" in slow
    assert "books" in plan
    assert any(word in entry.plan[0] for word in ("SCAN", "Seq Scan", "ALL"))
    assert "s3cr3t" not in caplog.text
    assert entry.report()["plan"] == list(entry.plan)


async def test_without_plans_nothing_is_asked(
    observing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with observing(slow=1e-9, slow_plans=False) as db:
        await db.execute(CREATE)
        await db.fetch_all("SELECT id FROM books")
        assert "SELECT id FROM books" in caplog.text
        assert db.profile.entry("SELECT id FROM books").plan == ()


async def test_what_has_no_plan_is_no_trouble(
    observing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "covet.sql.slow")
    async with observing(slow=60.0) as db:
        db.profile.slow = 1e-9
        with pytest.raises(SqlError):
            await db.fetch_all("SELECT id FROM nowhere WHERE id = ?", (1,))
        with anyio.fail_after(10):
            while "has no plan" not in caplog.text:
                await anyio.sleep(0.01)
        assert await db.fetch_value("SELECT 1") == 1


async def test_it_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    database: Any = None
    plans = Plans()
    log = SlowLog("sqlite", database)
    log.plans = plans
    for number in range(3 * KEPT):
        log.note(Entry(f"SELECT {number}"), 1.0, 0.5, 3, f"SELECT {number}")
    assert len(log.last) == KEPT
    assert log.last[-1]["shape"] == f"SELECT {3 * KEPT - 1}"
    same = Entry("SELECT 1")
    before = len(caplog.records)
    for _ in range(10):
        log.note(same, 1.0, 0.5, 3, "SELECT 1")
    assert len(caplog.records) == before + 1
    assert plans._send.statistics().current_buffer_used == QUEUE
    plans.close()
    log.note(Entry("SELECT 2"), 1.0, 0.5, 3, "SELECT 2")  # after it has stopped
