"""Plans, of both databases in the same words."""

from __future__ import annotations

from typing import Any

import pytest

from covet_kernel.contracts import SqlError
from covet_sql.lint import Schema, Source, examine_plan
from covet_sql.plan import Placeholders, Plan, Step, analyzed, explained
from covet_sql.plan._mysql import _step as mysql_step


async def fill(db: Any) -> None:
    await db.execute("CREATE TABLE books (id INTEGER PRIMARY KEY, author VARCHAR(40), data TEXT)")
    rows = [(n, f"author {n % 50}", "x" * 100) for n in range(3000)]
    await db.execute_many("INSERT INTO books VALUES (?, ?, ?)", rows)
    await db.fetch_all("ANALYZE TABLE books" if db.dialect == "mysql" else "ANALYZE books")


async def test_whole_tables_and_indexes_are_told_apart(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        for text in ("author = :author", "author = ?"):
            plan = await explained(db, f"SELECT id FROM books WHERE {text}")
            (scan,) = [step for step in plan.all() if step.table]
            assert (scan.table, scan.reads_all, scan.index) == ("books", True, "")
        plan = await explained(db, "SELECT author FROM books WHERE id = :id AND :id > 3")
        assert not any(step.reads_all for step in plan.all())
        plan = await explained(db, "SELECT author FROM books WHERE author > ? LIMIT ?")
        assert any(step.reads_all for step in plan.all())
        await db.execute("CREATE INDEX by_author ON books (author)")
        plan = await explained(db, "SELECT data FROM books WHERE author = ?")
        assert "by_author" in {step.index for step in plan.all()}
        assert any("by_author" in line for line in plan.lines())


async def test_what_is_run_for_its_plan_is_undone(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        text = "DELETE FROM books WHERE author = :author"
        with pytest.raises(SqlError) as caught:
            await analyzed(db, text, {"author": "author 1"})
        assert caught.value.sqlstate == "25006"
        plan = await analyzed(db, text, {"author": "author 1"}, writes=True)
        assert plan.seconds is not None
        assert await db.fetch_value("SELECT count(*) FROM books") == 3000
        read = await analyzed(db, "SELECT id FROM books WHERE author = ?", ("author 1",))
        assert read.seconds is not None
        with pytest.raises(SqlError):
            await explained(db, "SELECT nonsense")
        assert await db.fetch_value("SELECT count(*) FROM books") == 3000


async def test_no_value_is_in_a_plan_that_is_asked_without(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        for _ in range(2):  # the second one finds the connection as it was
            plan = await explained(db, "SELECT id FROM books WHERE author = :a AND id IN (:b, :c)")
            assert plan.lines()
            assert "NULL" not in " ".join(plan.lines())


class Other:
    dialect = "oracle"


async def test_of_other_databases_no_plans_are_known() -> None:
    other: Any = Other()
    with pytest.raises(SqlError, match="oracle"):
        await explained(other, "SELECT 1")


def test_placeholders() -> None:
    named = Placeholders("SELECT :a, :b, :a, data ? 'k' FROM t")
    assert (named.numbered, named.names) == ("SELECT $1, $2, $1, data ?? 'k' FROM t", ("a", "b"))
    assert named.filled(None) == {"a": None, "b": None}
    marked = Placeholders("SELECT ?, '?', data ?? ?")
    assert (marked.numbered, marked.count) == ("SELECT $1, '?', data ?? $2", 2)
    assert marked.filled(None) == [None, None]


def test_mysql_tables_are_read() -> None:
    whole = mysql_step(
        {
            "type": "ALL",
            "table": "books",
            "key": None,
            "rows": 5000,
            "Extra": "Using where; Using filesort",
        }
    )
    assert (whole.table, whole.reads_all, whole.sorts, whole.expected) == (
        "books",
        True,
        True,
        5000,
    )
    known = mysql_step({"type": "ref", "table": "b", "key": "by_author", "rows": 1, "Extra": None})
    assert (known.index, known.reads_all) == ("by_author", False)
    assert known.line == "ref on b using by_author (1 rows expected)"


def findings(
    text: str, *steps: Step, dialect: str = "postgresql", **sizes: float
) -> dict[str, Any]:
    found = examine_plan(Source(text), Plan(dialect, steps), Schema(sizes=sizes))
    return {each.rule: each for each in found}


def scan(**fields: Any) -> Step:
    return Step("Seq Scan", "Seq Scan on books", table="books", reads_all=True, **fields)


TEXT = "SELECT id FROM books AS b WHERE b.price > 3 AND b.author = :author"


def test_a_scan_that_throws_most_away() -> None:
    found = findings(TEXT, scan(rows=10, removed=4990, condition="(author = 'x')"))
    assert found["sequential-scan"].rewrite.text == "CREATE INDEX ON books(author, price)"
    assert not findings(TEXT, scan(rows=10, removed=90))
    assert not findings(TEXT, scan(rows=4990, removed=10))
    assert findings(TEXT, scan(expected=10, condition="c"), books=5000)
    assert not findings(TEXT, scan(expected=4990, condition="c"), books=5000)
    assert not findings(TEXT, scan(expected=10), books=5000)
    assert not findings(TEXT, scan(expected=10, condition="c"), books=50)
    named = Step("SCAN", "SCAN b", table="b", reads_all=True)
    found = findings(TEXT, named, dialect="sqlite", books=5000)
    assert "CREATE INDEX ix_books_author_price ON books" in found["sequential-scan"].rewrite.text
    assert not findings("SELECT id FROM books AS b", named, dialect="sqlite", books=5000)


def test_casts_that_nobody_wrote() -> None:
    step = scan(rows=10, removed=4990, condition="((isbn)::numeric = 7.5)")
    found = findings("SELECT id FROM books WHERE isbn = :isbn", step)
    assert "to numeric" in found["implicit-cast"].why
    assert "implicit-cast" not in findings("SELECT id FROM books WHERE isbn::numeric = 7", step)


def test_sorts() -> None:
    text = "SELECT id FROM books ORDER BY title, id DESC LIMIT 10"
    spilled = findings(text, Step("Sort", "Sort", sorts=True, rows=10, spilled=4 << 20))
    assert "4096 KiB" in spilled["spilled-sort"].why
    sort = findings(text, Step("Sort", "Sort", sorts=True, rows=5000))
    assert sort["sort"].rewrite.text == "CREATE INDEX ix_books_title_id ON books (title, id DESC)"
    assert not findings(text, Step("Sort", "Sort", sorts=True, rows=10))
