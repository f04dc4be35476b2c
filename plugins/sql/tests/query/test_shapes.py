"""Statements are compiled once per shape, and the values of one are never another's."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from covet_kernel.contracts import SqlError
from covet_sql import query as q
from covet_sql._cache import STATEMENTS
from covet_sql.query._shape import LONGEST_LIST, TEXTS, bound

T = sa.Table(
    "t",
    sa.MetaData(),
    sa.Column("a", sa.Integer),
    sa.Column("b", sa.Text),
    sa.Column("c", sa.Integer, onupdate=lambda: 99),
)


def values(statement: Any, **given: Any) -> Any:
    return bound(statement, "sqlite").values(given)


def compiled(*statements: Any) -> int:
    """How many of them had to be compiled."""
    before = STATEMENTS.misses
    for each in statements:
        bound(each, "sqlite")
    return STATEMENTS.misses - before


def test_one_shape_is_compiled_once() -> None:
    STATEMENTS.clear()
    assert compiled(*(q.select(T).where(T.c.a == n) for n in range(10))) == 1
    assert compiled(*(q.select(T).where(T.c.a.in_([*range(n)])) for n in range(10))) == 1
    assert compiled(*(q.update(T).values(a=n).where(T.c.a == n) for n in range(10))) == 1
    assert compiled(*(q.insert(T, {"a": n, "b": "x"}) for n in range(10))) == 1
    assert (
        compiled(*(q.upsert(q.insert(T, {"a": n}), "a", update={"b": str(n)}) for n in range(10)))
        == 1
    )
    assert compiled(q.insert(T, {"a": 1}), q.insert(T, {"b": "1"})) == 2
    up = [q.upsert(q.insert(T, {"a": 1}), "a", update=[name]) for name in ("a", "b")]
    assert compiled(*up, q.upsert(q.insert(T, {"a": 1}), "a"), q.insert(T, {"a": 1})) == 3


@given(
    st.lists(st.tuples(st.integers(), st.text(), st.lists(st.integers(), max_size=4)), max_size=8)
)
def test_each_statement_has_its_own_values(rows: list[tuple[int, str, list[int]]]) -> None:
    made = [q.select(T).where(T.c.a > a, T.c.b == b, T.c.c.in_(c)).limit(7) for a, b, c in rows]
    for _ in range(2):  # compiled, then found
        for statement, (a, b, c) in zip(made, rows, strict=True):
            text, found = values(statement)
            # SQLite has the limit's offset as well.
            assert Counter(found.values()) == Counter([a, b, *c, 7, 0])
            assert all(f":{name}" in text for name in found)


def test_a_statement_made_of_another_is_another() -> None:
    first = q.select(T).where(T.c.a == 1)
    assert [*values(first)[1].values()] == [1]
    second = first.where(T.c.b == "x")
    assert [*values(second)[1].values()] == [1, "x"]
    third = second.limit(5)
    assert len(values(third)[1]) == 4
    assert [*values(second)[1].values()] == [1, "x"]
    assert [*values(first)[1].values()] == [1]
    assert values(first)[0] != values(second)[0]


def test_values_given_later() -> None:
    statement = q.select(T).where(T.c.a == q.param("x"), T.c.b == sa.bindparam("y", "default"))
    assert [*values(statement, x=1)[1].values()] == ["default", 1]
    assert sorted(map(str, values(statement, x=1, y="z")[1].values())) == ["1", "z"]
    twice = q.select(T).where(q.or_(T.c.a == q.param("x"), T.c.c == q.param("x")))
    assert [*values(twice, x=4)[1].values()] == [4]
    for given_, why in (
        ({}, "no value for 'x'"),
        ({"x": 1, "z": 2}, "'z' is not of the statement, which takes x, y"),
    ):
        with pytest.raises(SqlError, match=why) as caught:
            values(statement, **given_)
        assert caught.value.sqlstate == "07001"
    with pytest.raises(SqlError, match="takes no values"):
        values(q.select(T), x=1)
    # A value of the statement's own is none of the caller's.
    with pytest.raises(SqlError, match="'a_1' is not of the statement"):
        values(q.select(T).where(T.c.a == 5), a_1=6)


def test_what_is_made_for_each_run_is_made_for_each_run() -> None:
    made = iter(range(10))
    statement = q.select(T).where(T.c.a == sa.bindparam("x", callable_=lambda: next(made)))
    assert [[*values(statement)[1].values()] for _ in range(3)] == [[0], [1], [2]]
    assert [*values(statement, x=7)[1].values()] == [7]
    change = q.update(T).values(a=1).where(T.c.b == "x")
    assert 99 in values(change)[1].values()


def test_lists_have_a_limit_and_few_texts_are_kept() -> None:
    statement = q.select(T).where(T.c.a.in_(q.param("ids")))
    for size in range(TEXTS * 2):
        text, found = values(statement, ids=[*range(size)])
        assert len(found) == size
        assert text.count(":") == size
    assert len(bound(statement, "sqlite").shape.texts) == TEXTS
    for wrong, why in (
        ([0] * (LONGEST_LIST + 1), "at most"),
        ("abc", "takes a list"),
        (5, "not iterable"),
    ):
        with pytest.raises(SqlError, match=why) as caught:
            values(statement, ids=wrong)
        assert caught.value.sqlstate == "22000"


def test_what_a_dialect_cannot_say_is_an_error() -> None:
    from sqlalchemy.dialects import postgresql

    array = sa.Table("t", sa.MetaData(), sa.Column("a", postgresql.ARRAY(sa.Integer)))
    any_of = q.select(array).where(array.c.a.overlap([1]))
    assert "&&" in bound(any_of, "postgresql").values({})[0]
    with pytest.raises(SqlError, match="cannot be written for sqlite") as caught:
        bound(q.select(q.cast(T.c.a, postgresql.TSVECTOR)), "sqlite")
    assert caught.value.sqlstate == "42000"


def test_prepared_statements_know_every_dialect() -> None:
    prepared = q.prepare(q.select(T.c.a).where(T.c.b == q.param("x")).limit(1))
    texts = {each: prepared.bind(each, x="y")[0] for each in ("sqlite", "postgresql", "mysql")}
    assert len(set(texts.values())) == 3
    with pytest.raises(SqlError, match="no value for 'x'"):
        prepared.bind("sqlite")
