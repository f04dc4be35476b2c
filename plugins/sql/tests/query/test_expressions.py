"""Expressions mean in SQL what they mean in Python, with ``None`` as SQL has it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import sqlalchemy as sa
from hypothesis import given, note, settings
from hypothesis import strategies as st

from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_sql import query as q
from covet_sqlite import Sqlite

Value = Any
Pair = tuple[Any, Callable[[dict[str, Value]], Value]]
"""An expression, and the function of a row that it stands for."""

T = sa.Table(
    "t",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("a", sa.Integer),
    sa.Column("b", sa.Integer),
    sa.Column("s", sa.Text),
)
NUMBERS = st.one_of(st.none(), st.integers(-20, 20))
WORDS = st.one_of(st.none(), st.text(st.sampled_from("ab%_'\":?;\\"), max_size=3))
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, WORDS), min_size=1, max_size=5)


def strict(function: Callable[..., Value]) -> Callable[..., Value]:
    """``None`` if any argument is."""
    return lambda *values: None if None in values else function(*values)


def combine(function: Callable[..., Value], build: Callable[..., Any], *parts: Pair) -> Pair:
    def evaluate(row: dict[str, Value]) -> Value:
        return function(*(part(row) for _, part in parts))

    return build(*(expression for expression, _ in parts)), evaluate


def column(name: str) -> Pair:
    return T.c[name], operator.itemgetter(name)


def constant(value: Value) -> Pair:
    return sa.literal(value), lambda row: value


def all_of(*values: Value) -> Value:
    return False if False in values else None if None in values else True


def any_of(*values: Value) -> Value:
    return True if True in values else None if None in values else False


def between(value: Value, low: Value, high: Value) -> Value:
    return all_of(strict(operator.le)(low, value), strict(operator.le)(value, high))


ARITHMETIC = [operator.add, operator.sub, operator.mul]
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
LEAVES: st.SearchStrategy[Pair] = st.one_of(
    st.sampled_from(["a", "b"]).map(column), st.integers(-9, 9).map(constant)
)


def grown(numbers: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    return st.one_of(
        st.builds(
            lambda op, x, y: combine(strict(op), op, x, y),
            st.sampled_from(ARITHMETIC),
            numbers,
            numbers,
        ),
        st.builds(lambda x: combine(strict(operator.neg), operator.neg, x), numbers),
        st.builds(lambda x: combine(strict(abs), q.func.abs, x), numbers),
        st.builds(
            lambda x, y: combine(lambda a, b: b if a is None else a, q.func.coalesce, x, y),
            numbers,
            numbers,
        ),
    )


INTEGERS = st.recursive(LEAVES, grown, max_leaves=5)
STRINGS: st.SearchStrategy[Pair] = st.one_of(
    st.just(column("s")),
    WORDS.filter(lambda each: each is not None).map(constant),
    st.builds(
        lambda text: combine(strict(lambda v: v + text), lambda x: x + text, column("s")),
        st.text(st.sampled_from("ab'%"), max_size=2),
    ),
)


def listed(x: Pair, wanted: list[int], negated: bool) -> Pair:
    def build(expression: Any) -> Any:
        return expression.not_in(wanted) if negated else expression.in_(wanted)

    def evaluate(value: Value) -> Value:
        if not wanted:
            return negated
        return None if value is None else (value in wanted) is not negated

    return combine(evaluate, build, x)


PREDICATES: st.SearchStrategy[Pair] = st.one_of(
    st.builds(lambda op, x, y: combine(strict(op), op, x, y), st.sampled_from(COMPARISONS), INTEGERS, INTEGERS),
    st.builds(lambda op, x, y: combine(strict(op), op, x, y), st.sampled_from(COMPARISONS), STRINGS, STRINGS),
    st.builds(lambda x: combine(lambda v: v is None, lambda e: e.is_(None), x), INTEGERS),
    st.builds(listed, INTEGERS, st.lists(st.integers(-9, 9), max_size=3), st.booleans()),
    st.builds(
        lambda x, part: combine(
            strict(lambda v: part in v), lambda e: e.contains(part, autoescape=True), x
        ),
        STRINGS,
        st.text(st.sampled_from("a%_'\\"), max_size=2),
    ),
    st.builds(
        lambda x, y, z: combine(
            between, lambda v, low, high: v.between(low, high), x, y, z
        ),
        INTEGERS, INTEGERS, INTEGERS,
    ),
)  # fmt: skip


def joined(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    return st.one_of(
        st.builds(lambda x, y: combine(all_of, q.and_, x, y), inner, inner),
        st.builds(lambda x, y: combine(any_of, q.or_, x, y), inner, inner),
        st.builds(lambda x: combine(strict(operator.not_), q.not_, x), inner),
    )


CONDITIONS = st.recursive(PREDICATES, joined, max_leaves=5)


@given(rows=ROWS, condition=CONDITIONS, number=INTEGERS, text=STRINGS)
@settings(max_examples=100, deadline=None)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_sqlite_and_python_agree(
    backend: str, rows: list[tuple[Value, ...]], condition: Pair, number: Pair, text: Pair
) -> None:
    table = [dict(zip(("a", "b", "s"), row, strict=True), id=n) for n, row in enumerate(rows)]
    note(f"{table} {condition[0]} {condition[0].compile().params}")
    kept, chosen = condition[0], q.case((condition[0], "yes"), else_="no")

    async def main() -> None:
        async with run_kernel({"sqlite": Sqlite}, {"sqlite": {"path": ":memory:"}}) as kernel:
            db = kernel.require(SQL)
            for statement in q.ddl(T, dialect="sqlite"):
                await db.execute(statement)
            await q.insert_many(db, T, table)
            found = await q.fetch_all(db, q.select(T.c.id).where(kept).order_by(T.c.id), int)
            assert found == [row["id"] for row in table if condition[1](row) is True]
            values = q.select(number[0].label("n"), text[0].label("t"), chosen.label("c"))
            assert await q.fetch_all(db, values.select_from(T).order_by(T.c.id), tuple) == [
                (number[1](row), text[1](row), "yes" if condition[1](row) is True else "no")
                for row in table
            ]

    anyio.run(main, backend=backend)
