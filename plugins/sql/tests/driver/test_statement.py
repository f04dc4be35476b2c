"""Which characters of a text are parameters, and which values answer them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_kernel.contracts import SqlError
from covet_sql.driver import Statement, Statements


def read(text: str) -> Statement:
    return Statement(text, lambda number: f"${number}")


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("a = ? AND b = ?", "a = $1 AND b = $2"),
        ("a = :x OR b = :y OR c = :x", "a = $1 OR b = $2 OR c = $1"),
        ("(:x)::text, a::int, ARRAY[1]::int[]", "($1)::text, a::int, ARRAY[1]::int[]"),
        ("a[1:2], a[lo:hi], a[:lo], b :=1", "a[1:2], a[lo:hi], a[$1], b :=1"),
        ("'?', ':x', 'it''s ?', ?", "'?', ':x', 'it''s ?', $1"),
        (r"E'\'?', e'\\', ?", r"E'\'?', e'\\', $1"),
        (r"'\', ?", r"'\', $1"),
        ("E'a'\n '\\'?', ?", "E'a'\n '\\'?', $1"),
        ('"?" "a""?" ?', '"?" "a""?" $1'),
        ("$$?$$ $a$ $$ ? $a$ ?", "$$?$$ $a$ $$ ? $a$ $1"),
        ("a$b$ ? c$b$", "a$b$ $1 c$b$"),
        ("-- ? 'a\n?", "-- ? 'a\n$1"),
        ("/* ? /* ' */ ? */ ?", "/* ? /* ' */ ? */ $1"),
        ("a ?? 'b' AND c = ?", "a ? 'b' AND c = $1"),
        ("a ? 'b' AND c = :c", "a ? 'b' AND c = $1"),
        ("a ??| b AND c = ?", "a ?| b AND c = $1"),
        ("U&'?' B'?' x'?' ?", "U&'?' B'?' x'?' $1"),
        ("'never closed ?", "'never closed $1"),
        ("/* never closed ?", "/* never closed ?"),
        ("", ""),
    ],
)
def test_parameters_are_found_where_they_are(text: str, sent: str) -> None:
    assert read(text).sql == sent


@pytest.mark.parametrize(
    ("text", "params", "values"),
    [
        ("? ?", (1, 2), [1, 2]),
        ("? ?", [1, None], [1, None]),
        (":a :b :a", {"b": 2, "a": 1}, [1, 2]),
        (":a", {"a": 1, "b": 2}, [1]),
        ("1", {"a": 1}, []),
        ("1", (), []),
        ("1", {}, []),
    ],
)
def test_values_are_in_the_order_of_the_placeholders(text: str, params: Any, values: Any) -> None:
    assert list(read(text).values(params)) == values


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("? ?", (1,)),
        ("? ?", (1, 2, 3)),
        ("? ?", {"a": 1}),
        ("? ?", "ab"),
        ("? ?", b"ab"),
        (":a", (1,)),
        (":a", ()),
        (":a", {}),
        (":a", {"b": 1}),
        ("1", (1,)),
    ],
)
def test_values_that_do_not_answer_are_refused(text: str, params: Any) -> None:
    with pytest.raises(SqlError) as caught:
        read(text).values(params)
    assert caught.value.sqlstate == "07001"


@given(st.text(alphabet="?:'\"$-/*\\eE ab1\n", max_size=60))
def test_any_text_is_read_and_nothing_but_parameters_changes(text: str) -> None:
    statement = read(text)
    if not statement.count:
        assert statement.sql == text.replace("??", "?") or "??" in text or statement.sql == text
    assert statement.sql.count("$") >= statement.count
    assert len(statement.code) <= 8 * len(text) + 1


def test_a_text_is_read_in_time_that_grows_with_its_length() -> None:
    for part in ("'", '"', "$", "$a", "/*", "*/", "E'\\", "?", ":a", "--", "''", "E''\n"):
        read(part * 20_000)


def test_statements_are_kept_and_bounded() -> None:
    statements = Statements(read, 3)
    first = statements["1"]
    assert statements["1"] is first
    for text in "2345":
        statements[text]
    assert list(statements) == ["3", "4", "5"]
