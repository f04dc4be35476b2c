"""What each rule finds, and what it leaves alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_sql.lint import LEVELS, RULES, Schema, Source, examine, render, worst
from covet_sql.lint._schema import Column

pytestmark = pytest.mark.once

ID = "id = :id"
SCHEMA = Schema(
    {
        "books": {
            "isbn": Column("text", nullable=False, key=True),
            "title": Column("varchar(80)", nullable=True, key=False),
            "author": Column("integer", nullable=True, key=False),
        },
        "authors": {"id": Column("integer", nullable=False, key=True)},
    }
)

FOUND = [
    ("every-row", "DELETE FROM t"),
    ("every-row", "UPDATE t SET a = 1"),
    ("every-row", "WITH x AS (SELECT 1) DELETE FROM t"),
    ("unreadable", "SELECT a FROM t WHERE (("),
    ("select-star", f"SELECT * FROM t WHERE {ID}"),
    ("select-star", f"SELECT u.* FROM t JOIN u ON t.a = u.a WHERE t.{ID} AND u.{ID} LIMIT 1"),
    ("select-star", "SELECT a FROM (SELECT * FROM t) AS x LIMIT 1"),
    ("no-limit", "SELECT a FROM t"),
    ("no-limit", "SELECT a FROM t WHERE b = 1 OR id = 1"),
    ("no-limit", "SELECT a, count(*) FROM t GROUP BY a"),
    ("no-limit", "SELECT a, sum(b) OVER (ORDER BY a) FROM t"),
    ("leading-wildcard", "SELECT a FROM t WHERE b LIKE '%x' LIMIT 1"),
    ("leading-wildcard", "SELECT a FROM t WHERE NOT b LIKE '_x' LIMIT 1"),
    ("leading-wildcard", "DELETE FROM t WHERE b LIKE '%x%'"),
    ("function-on-column", "SELECT a FROM t WHERE lower(b) = :b LIMIT 1"),
    ("function-on-column", "SELECT a FROM t WHERE b + 1 = 5 LIMIT 1"),
    ("function-on-column", "SELECT a FROM t WHERE 5 > b - 1 LIMIT 1"),
    ("function-on-column", "SELECT a FROM t WHERE CAST(b AS TEXT) IN ('1', '2') LIMIT 1"),
    ("function-on-column", "SELECT a FROM t WHERE substr(b, 1, 2) BETWEEN 'a' AND 'b' LIMIT 1"),
    ("not-in-nullable", "SELECT a FROM t WHERE a NOT IN (SELECT b FROM u) LIMIT 1"),
    ("not-in-nullable", "DELETE FROM t WHERE NOT (a IN (SELECT b FROM u))"),
    ("offset-paging", "SELECT a FROM t ORDER BY a LIMIT 10 OFFSET 20"),
    ("offset-paging", "SELECT a FROM t ORDER BY a LIMIT :n OFFSET :m"),
    ("cartesian-join", "SELECT t.a FROM t, u LIMIT 1"),
    ("cartesian-join", "SELECT t.a FROM t, u, v WHERE t.a = u.a LIMIT 1"),
    ("cartesian-join", "SELECT t.a FROM t JOIN u ON u.a = 1 LIMIT 1"),
    ("cartesian-join", "SELECT t.a FROM t JOIN u ON u.a = t.a JOIN v ON v.b = 1 LIMIT 1"),
    ("cross-join", "SELECT t.a FROM t CROSS JOIN u LIMIT 1"),
]
FINE = [
    f"SELECT a, b FROM t WHERE {ID}",
    "SELECT count(*) FROM t",
    "SELECT a FROM t ORDER BY a LIMIT 10",
    "SELECT a FROM t ORDER BY a LIMIT 10 OFFSET 0",
    "SELECT a FROM t WHERE EXISTS (SELECT * FROM u WHERE u.a = t.a) LIMIT 1",
    "SELECT a FROM t WHERE b LIKE 'x%' AND c LIKE :c LIMIT 1",
    "SELECT a FROM t WHERE b = lower(:b) AND c < 5 + :c LIMIT 1",
    "SELECT a FROM t WHERE b + c = 1 LIMIT 1",
    "SELECT a FROM t GROUP BY a HAVING count(*) > 1 LIMIT 1",
    "SELECT a FROM t WHERE a IN (SELECT b FROM u) LIMIT 1",
    "SELECT a FROM t WHERE a NOT IN (SELECT b FROM u WHERE NOT b IS NULL) LIMIT 1",
    "SELECT a FROM t WHERE a NOT IN (1, 2) LIMIT 1",
    "SELECT t.a FROM t JOIN u ON t.a = u.a LIMIT 1",
    "SELECT t.a FROM t JOIN u USING (a) LIMIT 1",
    "SELECT t.a FROM t NATURAL JOIN u LIMIT 1",
    "SELECT t.a FROM t, u WHERE t.a = u.a LIMIT 1",
    "SELECT t.a FROM t, u WHERE a = b LIMIT 1",
    "SELECT t.a FROM t CROSS JOIN u WHERE t.a = u.a LIMIT 1",
    "SELECT t.a FROM t, json_each(t.b) LIMIT 1",
    "UPDATE t SET a = 1 WHERE b = 2",
    "DELETE FROM t WHERE b = 2",
    "INSERT INTO t (a) VALUES (:a)",
    "CREATE TABLE t (a INTEGER)",
    "SELECT 1",
]


@pytest.mark.parametrize(("rule", "text"), FOUND)
def test_found(rule: str, text: str) -> None:
    for dialect in ("sqlite", "postgresql"):
        assert rule in {each.rule for each in examine(Source(text), dialect)}


@pytest.mark.parametrize("text", FINE)
def test_left_alone(text: str) -> None:
    for dialect in ("sqlite", "postgresql"):
        assert [each.rule for each in examine(Source(text), dialect)] == []


def rules(text: str, rows: float | None = None) -> set[str]:
    return {each.rule for each in examine(Source(text, rows=rows), "sqlite", SCHEMA)}


def test_what_the_schema_tells() -> None:
    assert rules("SELECT title FROM books WHERE isbn = :isbn") == set()
    assert rules("SELECT title FROM books WHERE id = :id") == {"no-limit"}
    assert rules("SELECT title FROM books WHERE title = 5 LIMIT 1") == {"implicit-cast"}
    assert rules("SELECT b.title FROM books b WHERE 5 = b.title LIMIT 1") == {"implicit-cast"}
    assert rules("SELECT title FROM books WHERE author = 5 LIMIT 1") == set()
    listed = "SELECT title FROM books WHERE author NOT IN (SELECT {} FROM {}) LIMIT 1"
    assert rules(listed.format("id", "authors")) == set()
    assert rules(listed.format("author", "books")) == {"not-in-nullable"}


def test_how_many_rows_it_gave_counts() -> None:
    text = "SELECT title FROM books"
    assert rules(text, rows=3) == set()
    (found,) = examine(Source(text, rows=5000), "sqlite")
    assert (found.level, "5000 rows each time" in found.why) == ("warning", True)
    (found,) = examine(Source(text, rows=500), "sqlite")
    assert found.level == "info"


def test_every_rule_is_in_the_table_and_has_been_found() -> None:
    elsewhere = {"implicit-cast", "n-plus-one", "sequential-scan", "spilled-sort", "sort"}
    assert {rule for rule, _ in FOUND} | elsewhere == set(RULES)
    assert worst([]) == -1
    assert worst(examine(Source("DELETE FROM t"), "sqlite")) == LEVELS.index("error")


def test_it_is_shown() -> None:
    source = Source("SELECT a FROM t WHERE b + 1 = 5 LIMIT 1", "shop.py:3")
    text = render(examine(source, "sqlite"))
    assert text == (
        "shop.py:3:\n"
        "    SELECT a FROM t WHERE b + 1 = 5 LIMIT 1\n"
        "  warning function-on-column: an index of the column does not serve a comparison with"
        " something made of it\n"
        "    instead: compare b itself, or make an index of b + 1\n"
        "      SELECT a FROM t WHERE b = 4 LIMIT 1\n"
        "      (the same where the column has whole numbers)\n"
    )


@given(st.text(max_size=60), st.sampled_from(["sqlite", "postgresql", "mysql"]))
def test_no_text_is_too_odd(text: str, dialect: str) -> None:
    examine(Source(text), dialect, SCHEMA)


WORDS = ["SELECT", "*", "a", "FROM", "t", "u", ",", "WHERE", "=", "1", "NOT", "IN", "(", ")", "+",
         "OFFSET", "LIMIT", "ORDER BY", "DELETE", "LIKE", "'%a'", ":p", "?", "AND", "JOIN", "ON"]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join))
def test_no_statement_is_too_odd(text: str) -> None:
    examine(Source(text), "sqlite", SCHEMA)
