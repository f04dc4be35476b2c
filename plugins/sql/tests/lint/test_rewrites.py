"""Rewrites give the same rows, on SQLite and whatever is in its tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_sql.lint import Rewrite, Schema, Source, examine, examine_repeats
from covet_sql.lint._schema import Column

pytestmark = pytest.mark.once

NUMBERS = st.integers(-3, 9)
ROWS = st.lists(st.tuples(NUMBERS, st.none() | NUMBERS), max_size=12)
SCHEMA = Schema(
    {
        "t": {
            "id": Column("integer", nullable=False, key=True),
            "a": Column("integer", nullable=False, key=False),
            "b": Column("integer", nullable=True, key=False),
        },
        "u": {"c": Column("integer", nullable=True, key=False)},
    }
)


def database(rows: Sequence[tuple[int, int | None]], others: Sequence[int | None] = ()) -> Any:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER)")
    db.execute("CREATE TABLE u (c INTEGER)")
    db.executemany("INSERT INTO t (a, b) VALUES (?, ?)", rows)
    db.executemany("INSERT INTO u VALUES (?)", [(each,) for each in others])
    return closing(db)


def rewrite(rule: str, text: str, schema: Schema = SCHEMA) -> Rewrite:
    (found,) = [each for each in examine(Source(text), "sqlite", schema) if each.rule == rule]
    assert found.rewrite is not None
    assert found.rewrite.text != text
    again = examine(Source(found.rewrite.text), "sqlite", schema)
    assert rule not in {each.rule for each in again}
    return found.rewrite


def rows(db: Any, text: str, params: Any = ()) -> list[Any]:
    found: list[Any] = db.execute(text, params).fetchall()
    return sorted(found, key=repr)


@given(ROWS)
def test_named_columns(data: Any) -> None:
    for text in ("SELECT * FROM t", "SELECT t.*, c FROM t JOIN u ON t.a = u.c"):
        made = rewrite("select-star", text)
        assert made.same == ""
        with database(data, [1, 2, None]) as db:
            assert rows(db, made.text) == rows(db, text)


@given(
    ROWS,
    NUMBERS,
    st.sampled_from(["=", "<", "<=", ">", ">=", "<>"]),
    st.integers(0, 4),
    st.booleans(),
    st.booleans(),
)
def test_arithmetic_is_moved(
    data: Any, value: int, compare: str, by: int, plus: bool, mirrored: bool
) -> None:
    made, against = f"a {'+' if plus else '-'} {by}", str(abs(value))
    sides = (against, made) if mirrored else (made, against)
    text = f"SELECT id FROM t WHERE b IS NULL OR {sides[0]} {compare} {sides[1]} LIMIT 99"
    found = rewrite("function-on-column", text)
    with database(data) as db:
        assert rows(db, found.text) == rows(db, text)


@given(
    st.lists(st.datetimes(datetime(2024, 2, 27), datetime(2024, 3, 2))),  # noqa: DTZ001
    st.dates(datetime(2024, 2, 27).date(), datetime(2024, 3, 2).date()),  # noqa: DTZ001
    st.sampled_from(["seconds", "microseconds"]),
    st.sampled_from(["T", " "]),
)
def test_a_day_becomes_a_range(times: Any, day: Any, spec: str, between: str) -> None:
    text = f"SELECT at FROM s WHERE date(at) = '{day}' LIMIT 99"
    found = rewrite("function-on-column", text)
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE s (at TEXT)")
        db.executemany(
            "INSERT INTO s VALUES (?)", [(each.isoformat(between, spec),) for each in times]
        )
        assert rows(db, found.text) == rows(db, text)


NOT_IN = [
    "SELECT id FROM t WHERE t.a NOT IN (SELECT c FROM u) LIMIT 99",
    "SELECT id FROM t AS x WHERE x.a > 1 AND NOT x.a IN (SELECT c FROM u WHERE c > 2) LIMIT 99",
    "SELECT id FROM t WHERE a NOT IN (SELECT t2.a FROM t AS t2 WHERE t2.b > 1) LIMIT 99",
]


@given(ROWS, st.lists(NUMBERS), st.sampled_from(NOT_IN))
def test_what_does_not_exist(data: Any, others: list[int], text: str) -> None:
    found = rewrite("not-in-nullable", text, Schema())
    assert found.same == "where neither side is NULL"
    with database(data, others) as db:
        assert rows(db, found.text) == rows(db, text)


def test_with_a_null_it_is_what_was_meant() -> None:
    found = rewrite("not-in-nullable", NOT_IN[0])
    with database([(1, 1), (2, 2)], [1, None]) as db:
        assert (rows(db, NOT_IN[0]), rows(db, found.text)) == ([], [(2,)])


@given(ROWS, st.integers(1, 4), st.integers(1, 9), st.booleans(), st.booleans())
def test_pages_by_key(data: Any, size: int, skipped: int, down: bool, two: bool) -> None:
    way = " DESC" if down else ""
    order = f"a{way}, id{way}" if two else f"id{way}"
    text = f"SELECT id, a FROM t WHERE a <> 3 ORDER BY {order} LIMIT {size} OFFSET {skipped}"
    found = rewrite("offset-paging", text)
    with database(data) as db:
        before = db.execute(
            f"SELECT id, a FROM t WHERE a <> 3 ORDER BY {order} LIMIT {skipped}"
        ).fetchall()
        if len(before) == skipped:
            last = {"last_id": before[-1][0], "last_a": before[-1][1]}
            names = {name: last[name] for name in last if f":{name}" in found.text}
            assert db.execute(found.text, names).fetchall() == db.execute(text).fetchall()


@given(st.lists(st.integers(-5, 20).map(str) | st.sampled_from(["x", "05", ""])), st.integers(0, 9))
def test_numbers_in_quotes(values: list[str], number: int) -> None:
    schema = Schema({"t": {"a": Column("text", nullable=True, key=False)}})
    text = f"SELECT a FROM t WHERE a = {number} LIMIT 99"
    found = rewrite("implicit-cast", text, schema)
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (a TEXT)")
        db.executemany("INSERT INTO t VALUES (?)", [(each,) for each in values])
        assert rows(db, found.text) == rows(db, text)


@given(ROWS, st.sets(NUMBERS, min_size=1, max_size=5), st.sampled_from(["id, a", "id", "*"]))
def test_all_at_once(data: Any, wanted: set[int], columns: str) -> None:
    text = f"SELECT {columns} FROM t WHERE (a = :a) AND b > 1"
    issued = [{"most": 20, "shape": "s", "text": text, "issuer": "shop.search"}]
    (found,) = examine_repeats(issued, "sqlite")
    assert found.rewrite is not None
    names = {f"a_{place}": value for place, value in enumerate(wanted)}
    at_once = found.rewrite.text.replace(":a_list", ", ".join(f":{name}" for name in names))
    with database(data) as db:
        one_by_one = [row for value in wanted for row in rows(db, text, {"a": value})]
        width = len(one_by_one[0]) if one_by_one else 9
        together = [row[:width] for row in rows(db, at_once, names)]
        assert sorted(together, key=repr) == sorted(one_by_one, key=repr)


REPEATED = [
    ("INSERT INTO t VALUES (?)", "execute_many"),
    ("UPDATE t SET a = ? WHERE id = ?", "one statement"),
    ("SELECT a FROM t WHERE id = ? LIMIT 1", "join"),
    ("SELECT count(*) FROM t WHERE a = ?", "join"),
    ("SELECT a FROM t WHERE id = ? AND b = ?", "join"),
    ("SELECT a FROM t WHERE id = ? OR b = 1", "join"),
    ("SELECT a FROM t WHERE id > ?", "join"),
    ("SELECT a FROM t WHERE ((", "once for all values"),
]


@pytest.mark.parametrize(("text", "instead"), REPEATED)
def test_what_cannot_be_rewritten_is_told_in_words(text: str, instead: str) -> None:
    issued = [{"most": 10, "shape": "s", "text": text, "issuer": "shop.search"}]
    (found,) = examine_repeats(issued, "sqlite", repeats=10)
    assert instead in found.instead
    assert found.rewrite is None
    assert examine_repeats(issued, "sqlite", repeats=11) == []
