"""Two statements have one key only if one text does for both, with the values of either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from unittest.mock import patch

import pytest
import sqlalchemy as sa
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from covet_sql import Column
from covet_sql import query as q
from covet_sql.query import _shape
from covet_sql.query._key import key_of

DIALECTS = ("sqlite", "postgresql", "mysql")


class Book(BaseModel):
    id: Annotated[int, Column(primary_key=True)]
    title: str
    stock: int
    price: float


books = q.table(Book, "books")
others = q.table(Book, "others")
tables = st.sampled_from([books, others])
columns = st.builds(lambda of, name: of.c[name], tables, st.sampled_from(list(Book.model_fields)))
values = st.one_of(st.integers(0, 9), st.sampled_from(["a", "b"]), st.floats(0, 9))
parameters = st.one_of(
    st.builds(q.param, st.sampled_from(["one", "two"])),
    st.builds(sa.bindparam, st.sampled_from(["three", "four"]), st.integers(0, 9)),
)
comparisons = st.one_of(
    st.builds(lambda left, right: left == right, columns, st.one_of(values, columns, parameters)),
    st.builds(lambda left, right: left < right, columns, st.one_of(values, columns)),
    st.builds(lambda of, right: of.c.stock + right > right, tables, st.integers(0, 9)),
    st.builds(lambda left, many: left.in_(many), columns, st.lists(st.integers(0, 9), max_size=3)),
    st.builds(lambda left: left.is_(None), columns),
    st.builds(
        lambda of, text, escape: of.c.title.like(text, escape=escape),
        tables,
        st.sampled_from(["a%", "_"]),
        st.sampled_from([None, "!", "/"]),
    ),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds(sa.and_, inner, inner),
        st.builds(sa.or_, inner, inner),
        st.builds(sa.not_, inner),
    ),
    max_leaves=4,
)
orders = st.one_of(
    columns,
    st.builds(lambda column: column.desc(), columns),
    st.builds(lambda column: column.asc().nulls_last(), columns),
)


@st.composite
def selects(draw: st.DrawFn) -> Any:
    wanted = draw(
        st.one_of(tables.map(lambda one: [one]), st.lists(columns, min_size=1, max_size=3))
    )
    made: Any = q.select(*wanted)
    if draw(st.booleans()):
        made = q.select(books).join(
            others, draw(st.sampled_from([books.c.id == others.c.id, books.c.id == others.c.stock])),
            isouter=draw(st.booleans()), full=draw(st.booleans()),
        )  # fmt: skip
    for condition in draw(st.lists(conditions, max_size=2)):
        made = made.where(condition)
    if draw(st.booleans()):
        made = made.order_by(*draw(st.lists(orders, min_size=1, max_size=2)))
    if draw(st.booleans()):
        made = made.group_by(draw(columns)).having(draw(comparisons))
    if draw(st.booleans()):
        made = made.limit(draw(st.one_of(st.integers(1, 9), parameters)))
    if draw(st.booleans()):
        made = made.offset(draw(st.integers(1, 9)))
    if draw(st.booleans()):
        made = made.distinct()
    if draw(st.booleans()):
        made = made.with_for_update(
            nowait=draw(st.booleans()), read=draw(st.booleans()), skip_locked=draw(st.booleans())
        )
    return made


@st.composite
def changes(draw: st.DrawFn) -> Any:
    into = draw(tables)
    row = draw(
        st.dictionaries(st.sampled_from(list(Book.model_fields)), st.integers(0, 9), min_size=1)
    )
    kind = draw(st.sampled_from(["insert", "update", "delete", "upsert"]))
    if kind == "insert":
        return q.insert(into, row)
    if kind == "upsert":
        changed = draw(
            st.sampled_from([["title"], ["stock", "title"], {"stock": into.c.stock + 1}, []])
        )
        return q.upsert(q.insert(into, row), "id", update=changed)
    condition = draw(st.one_of(conditions, st.just(q.EVERY_ROW)))
    if kind == "delete":
        return q.delete(into).where(condition)
    made = q.update(into).where(condition)
    return made.values({**row, "stock": into.c.stock + 1} if draw(st.booleans()) else row)


def given_to(statement: Any) -> dict[str, Any]:
    found = key_of(statement)
    # The only thing of all this that is not known: two parameters of one name.
    assume(found is not None)
    assert found is not None
    return {each.key: 7 for each in found[1] if not each.unique and each.required}


def by_sqlalchemy(statement: Any, dialect: str, values: Mapping[str, Any]) -> Any:
    """The text and its values, of a statement that was compiled for itself."""
    with (
        patch.object(_shape, "key_of", lambda *_: None),
        patch.object(_shape, "STATEMENTS", _Forgets()),
    ):
        return _shape._bound(statement, dialect, None).values(values)


class _Forgets:
    def get(self, key: object) -> None:
        hash(key)

    def put(self, key: object, entry: object) -> None: ...


@given(statement=st.one_of(selects(), changes()), dialect=st.sampled_from(DIALECTS))
@settings(max_examples=200, deadline=None)
def test_what_has_been_met_before_is_as_if_it_were_compiled_anew(
    statement: Any, dialect: str
) -> None:
    # The examples share the cache: what one of them has left there, the next ones are given.
    values = given_to(statement)
    try:
        expected = by_sqlalchemy(statement, dialect, values)
    except Exception as error:
        with pytest.raises(type(error)):
            _shape._bound(statement, dialect, None).values(values)
        return
    for _ in range(2):
        text, bound = _shape._bound(statement, dialect, None).values(values)
        assert (text, bound) == expected


@given(one=selects(), other=selects(), dialect=st.sampled_from(DIALECTS))
@settings(max_examples=100, deadline=None)
def test_texts_that_differ_are_of_shapes_that_differ(one: Any, other: Any, dialect: str) -> None:
    given = [given_to(one), given_to(other)]
    shapes = [_shape._bound(each, dialect, None).shape for each in (one, other)]
    texts = [
        by_sqlalchemy(each, dialect, values)[0]
        for each, values in zip((one, other), given, strict=True)
    ]
    if texts[0] != texts[1]:
        assert shapes[0] is not shapes[1]


@pytest.mark.parametrize(
    "statement",
    [
        q.select(sa.func.count()),
        q.select(sa.text("1")),
        q.select(books.alias().c.id),
        q.select(books.c.id).where(books.c.id.op("<=>")(1)),
        q.select(books.c.id).where(books.c.id.in_(q.select(others.c.id))),
        q.select(books).with_for_update(of=books),
        q.select(books).execution_options(some=1).prefix_with("ALL"),
        sa.select(books),
        q.select(books.c.id).union_all(q.select(others.c.id)),
        q.select(books.c.id).where(books.c.id == sa.bindparam("id", 1, literal_execute=True)),
        q.insert(books).from_select(["id"], q.select(others.c.id)),
        q.insert(books).values([{"id": 1}, {"id": 2}]),
    ],
    ids=str,
)
def test_what_is_not_known_is_left_to_sqlalchemy(statement: Any) -> None:
    assert key_of(statement) is None
    text, values = _shape._bound(statement, "sqlite", None).values({})
    assert (text, values) == by_sqlalchemy(statement, "sqlite", {})


def test_a_parameter_in_two_places_is_one() -> None:
    both = q.param("both")
    once = q.select(books).where(books.c.id == both, books.c.stock == both)
    twice = q.select(books).where(books.c.id == q.param("both"), books.c.stock == q.param("both"))
    assert _shape._bound(once, "sqlite", None).values({"both": 3})[1] == {"p_both": 3}
    assert key_of(twice) is None
    assert _shape._bound(twice, "sqlite", None).values({"both": 3})[1] == {"p_both": 3}


def test_whether_a_caller_has_to_give_a_value_is_of_the_shape() -> None:
    needs = q.select(books).where(books.c.id == q.param("id"))
    has = q.select(books).where(books.c.id == sa.bindparam("id", 5))
    assert _shape._bound(needs, "sqlite", None).values({"id": 3})[1] == {"p_id": 3}
    assert _shape._bound(has, "sqlite", None).values({})[1] == {"p_id": 5}
    assert _shape._bound(has, "sqlite", None).values({"id": 4})[1] == {"p_id": 4}
