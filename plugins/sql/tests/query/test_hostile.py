"""Names and values of any kind: neither ever becomes a part of the statement.

bad input: quotes, semicolons, comments, NUL, what looks like a parameter of any driver, and what
looks like a mark of a compiler.
"""

from __future__ import annotations

from typing import Any

import anyio
import pytest
import sqlalchemy as sa
import sqlglot
from hypothesis import example, given, settings
from hypothesis import strategies as st

from covet_kernel.contracts import SQL, SqlError
from covet_kernel.testing import run_kernel
from covet_sql import query as q
from covet_sql.driver import Statement
from covet_sql.query._shape import bound
from covet_sqlite import Sqlite

DIALECTS = ["sqlite", "postgresql", "mysql"]
NASTY = [
    "'", '"', "`", ";", "--", "/*", "*/", "\\", ":x", ":value", "::", "?", "??", "%", "%s", "%(x)s",
    "%%", "$1", "$$", "[", "]", "(", ")", "{", "}", "__[POSTCOMPILE_value]", "\n", "\t", " ", "=",
    "' OR 1=1 --", '"; DROP TABLE t; --', "select", "ä", "\u202e", "a", "b", "E'",
]  # fmt: skip
NAMES = st.lists(st.sampled_from(NASTY), min_size=1, max_size=6).map("".join)
TEXTS = st.one_of(NAMES, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
THREE = st.lists(NAMES, min_size=3, max_size=3, unique_by=str.casefold)


def statements(names: list[str], value: Any) -> list[Any]:
    """One of each kind, with these names of a table and two columns."""
    table, left, right = names
    t = sa.Table(table, sa.MetaData(), sa.Column(left, sa.Text), sa.Column(right, sa.Integer))
    one, two = t.c[left], t.c[right]
    inner = q.select(one.label(right)).where(two > 1).cte(table)
    return [
        q.select(one, two.label(table)).where(one == value, two.in_([1, 2])).order_by(one).limit(1),
        q.select(inner).where(inner.c[right].like(value)),
        q.select(q.func.row_number().over(partition_by=one, order_by=two).label(left)),
        q.insert(t, {left: value, right: 1}),
        q.upsert(q.insert(t, {left: value, right: 1}), left, update={right: two + 1}),
        q.upsert(q.insert(t, {left: value, right: 1}), left),
        q.update(t).values({left: value}).where(two == 1),
        q.delete(t).where(one == value),
        q.select(one).where(one.in_(["a", value])),
    ]


def shape(sql: str, dialect: str) -> list[str]:
    """What a parser that knows nothing of us sees: the kinds of nodes of the one statement."""
    parsed = [each for each in sqlglot.parse(sql, dialect=dialect) if each is not None]
    assert len(parsed) == 1, sql
    return [type(node).__name__ for node in parsed[0].walk()]


GLOT = {"sqlite": "sqlite", "postgresql": "postgres", "mysql": "mysql"}


@given(names=THREE)
@example(names=["x' OR 1=1 --", ":value", "%(x)s"])
@example(names=["table\n", "left\n", "select\n"])
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_names_do_not_change_the_shape(dialect: str, names: list[str]) -> None:
    plain = statements(["the table", "the left", "the right"], "value")
    for wanted, given_ in zip(plain, statements(names, "value"), strict=True):
        expected, _ = bound(wanted, dialect).values({})
        text, values = bound(given_, dialect).values({})
        assert shape(text, GLOT[dialect]) == shape(expected, GLOT[dialect])
        assert all(name.isascii() and name.isidentifier() for name in values)
        if dialect != "mysql":  # whose backticks PostgreSQL's reader does not know
            assert {*Statement(text, "${}".format).names} == values.keys()


@given(value=TEXTS)
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_values_do_not_change_the_text(dialect: str, value: str) -> None:
    names = ["the table", "the left", "the right"]
    for wanted, given_ in zip(statements(names, "value"), statements(names, value), strict=True):
        expected, plain = bound(wanted, dialect).values({})
        text, values = bound(given_, dialect).values({})
        assert text == expected
        assert values == {n: value if v == "value" else v for n, v in plain.items()}


@given(names=THREE, value=TEXTS)
@example(names=["table\n", "left\n", "select\n"], value="")
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_database_keeps_them_as_they_are(backend: str, names: list[str], value: str) -> None:
    table, left, right = names
    t = sa.Table(
        table, sa.MetaData(), sa.Column(left, sa.Text, unique=True), sa.Column(right, sa.Integer)
    )

    async def main() -> None:
        async with run_kernel({"sqlite": Sqlite}, {"sqlite": {"path": ":memory:"}}) as kernel:
            db = kernel.require(SQL)
            for statement in q.ddl(t, dialect="sqlite"):
                await db.execute(statement)
            row = {left: value, right: 1}
            assert await q.insert_many(db, t, [row]) == 1
            one = q.select(t).where(t.c[left] == value, t.c[right].in_([1, 2]))
            assert await q.fetch_all(db, one) == [row]
            more = q.upsert(q.insert(t, row), left, update={right: t.c[right] + 1})
            assert await q.execute(db, more) == 1
            given_ = q.select(t.c[right].label(left)).where(t.c[left] == q.param(left))
            assert await q.fetch_all(db, given_, **{left: value}) == [{left: 2}]
            assert (
                await q.fetch_value(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'")
                == 1
            )
            assert await q.execute(db, q.delete(t).where(t.c[left] == value)) == 1

    anyio.run(main, backend=backend)


@pytest.mark.parametrize(
    "names",
    [
        ["x' OR 1=1 --", ":value", "%(x)s"],
        ['"; DROP TABLE t; --', "?", "$1"],
        ["__[POSTCOMPILE_value]", "::int", "\\"],
        ["select", "/*", "E'\n'"],
    ],
)
async def test_every_database_keeps_them(open_db: Any, names: list[str]) -> None:
    table, left, right = names
    t = sa.Table(
        table, sa.MetaData(), sa.Column(left, sa.Text, unique=True), sa.Column(right, sa.Integer)
    )
    async with open_db(t) as db:
        for number, value in enumerate(NASTY):
            row = {left: value, right: number}
            assert await q.execute(db, q.insert(t, row)) == 1
            one = q.select(t).where(t.c[left] == value, t.c[right].in_([number, -1]))
            assert await q.fetch_all(db, one) == [row]
            more = q.upsert(q.insert(t, row), left, update={right: t.c[right] + 1})
            assert await q.execute(db, more) == (2 if db.dialect == "mysql" else 1)
            given_ = q.select(t.c[right].label(left)).where(t.c[left] == q.param(left))
            assert await q.fetch_all(db, given_, **{left: value}) == [{left: number + 1}]
        like = q.select(t.c[left]).where(t.c[left].contains("%", autoescape=True))
        expected = sorted(each for each in NASTY if "%" in each)
        assert sorted(await q.fetch_all(db, like, str)) == expected
        assert await q.execute(db, q.delete(t).where(t.c[left].in_(NASTY))) == len(NASTY)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", ["a\0b", "\0", "\0:0\0"])
def test_names_have_no_nul(dialect: str, name: str) -> None:
    t = sa.Table("t", sa.MetaData(), sa.Column("a", sa.Text))
    for statement in (
        q.select(sa.Table(name, sa.MetaData(), sa.Column("a", sa.Text))),
        q.select(t.c.a.label(name)),
        q.select(sa.Table("t", sa.MetaData(), sa.Column(name, sa.Text))).where(t.c.a == "x"),
        q.select(q.text(name)),
    ):
        with pytest.raises(SqlError, match="NUL") as caught:
            bound(statement, dialect)
        assert caught.value.sqlstate == "22021"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_asks_to_be_written_into_the_text_is_bound_all_the_same(dialect: str) -> None:
    t = sa.Table("t", sa.MetaData(), sa.Column("a", sa.Text))
    secret = "'; DROP TABLE t; --"
    for value in (sa.literal(secret, literal_execute=True), sa.bindparam("x", secret)):
        text, values = bound(q.select(t).where(t.c.a == value), dialect).values({})
        assert "DROP" not in text
        assert [*values.values()] == [secret]


def test_casts_and_slices_cannot_be_taken_for_parameters() -> None:
    from sqlalchemy.dialects import postgresql

    t = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("tags", postgresql.ARRAY(sa.Text)),
        sa.Column("doc", postgresql.JSONB),
    )
    statement = q.select(t.c.tags[q.param("low") : q.param("high")], q.cast(t.c.doc["a"], sa.Text))
    statement = statement.where(t.c.doc.has_key("b"), t.c.doc.has_any(["a?", ":b"]))
    text, values = bound(statement, "postgresql").values({"low": 1, "high": 2})
    assert "::" not in text
    assert " : " in text
    names = {name for name in values if f":{name}" in text}
    assert names == values.keys()
    assert "a?" not in text
