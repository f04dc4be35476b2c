"""Rows become what is asked for, and a row that does not fit is an error that hides its values."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from covet_kernel.contracts import Params, Row, SqlError
from covet_sql import query as q
from covet_sql.query._rows import READERS

PAIR = "SELECT 1 AS id, 'Emma' AS title UNION ALL SELECT 2, 'Ulysses' ORDER BY 1"


class Model(BaseModel):
    id: int
    title: str


@dataclass
class Data:
    id: int
    title: str


class Struct(msgspec.Struct):
    id: int
    title: str


class Named(NamedTuple):
    id: int
    title: str


class Typed(TypedDict):
    id: int
    title: str


class Aliased(BaseModel):
    id: int
    title: str = Field(alias="Title")


@pytest.mark.parametrize(
    ("into", "first"),
    [
        (None, {"id": 1, "title": "Emma"}),
        (dict, {"id": 1, "title": "Emma"}),
        (dict[str, Any], {"id": 1, "title": "Emma"}),
        (Typed, {"id": 1, "title": "Emma"}),
        (tuple, (1, "Emma")),
        (tuple[int, str], (1, "Emma")),
        (tuple[Decimal, str], (Decimal(1), "Emma")),
        (Model, Model(id=1, title="Emma")),
        (Data, Data(1, "Emma")),
        (Struct, Struct(1, "Emma")),
        (Named, Named(1, "Emma")),
        (Aliased, Aliased(id=1, Title="Emma")),
    ],
    ids=str,
)
async def test_rows_into(open_db: Any, into: Any, first: Any) -> None:
    async with open_db() as db:
        for statement in (PAIR, q.text(PAIR)):
            rows = await q.fetch_all(db, statement, into)
            assert rows[0] == first
            assert len(rows) == 2
            assert type(rows[0]) is type(first)
            assert await q.fetch_one(db, statement, into) == first
            assert [row async for row in q.stream(db, statement, into)] == rows
            none = f"SELECT * FROM ({PAIR}) AS t WHERE id > 2"
            assert await q.fetch_all(db, none, into) == []
            assert await q.fetch_one(db, none, into) is None


async def test_values(open_db: Any) -> None:
    async with open_db() as db:
        assert await q.fetch_all(db, "SELECT 1 AS n UNION ALL SELECT 2 ORDER BY 1", int) == [1, 2]
        assert await q.fetch_value(db, "SELECT 5 AS n", Decimal) == Decimal(5)
        assert await q.fetch_value(db, "SELECT 5 AS n") == 5
        assert await q.fetch_value(db, "SELECT NULL AS n", int) is None
        assert await q.fetch_value(db, "SELECT 5 AS n WHERE 1 = 2", int) is None
        assert await q.fetch_value(db, PAIR, int) == 1
        with pytest.raises(SqlError, match="2 columns where one value"):
            await q.fetch_all(db, PAIR, int)


@pytest.mark.parametrize("into", [Model, Data, Struct, Named, Typed, tuple[int, int], Decimal])
async def test_a_row_that_does_not_fit(open_db: Any, into: Any) -> None:
    secret = "hunter2"
    text = "SELECT :secret AS id" if into is Decimal else "SELECT :secret AS id, 'x' AS title"
    async with open_db() as db:
        for fetch in (q.fetch_all, q.fetch_one):
            with pytest.raises(SqlError, match="a row is no") as caught:
                await fetch(db, text, into, secret=secret)
            assert caught.value.sqlstate == "22000"
            assert caught.value.__cause__ is None
            assert caught.value.__suppress_context__
            assert secret not in str(caught.value) or into is Struct


async def test_strict_models_get_the_values_of_their_types(open_db: Any) -> None:
    from datetime import UTC, datetime
    from typing import Annotated

    from covet_sql import Column

    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        id: Annotated[int, Column(primary_key=True)]
        at: datetime
        price: Annotated[Decimal, Field(max_digits=5, decimal_places=2)]
        yes: bool

    class Partly(BaseModel):
        id: Annotated[int, Column(primary_key=True)]
        at: Annotated[datetime, Field(strict=True)]

    row = Strict(id=1, at=datetime(2026, 1, 2, tzinfo=UTC), price=Decimal("1.50"), yes=True)
    stricts = q.table(Strict, "stricts")
    async with open_db(stricts) as db:
        await q.insert_many(db, stricts, [row])
        assert await q.fetch_all(db, q.select(stricts)) == [row]
        some = q.select(stricts.c.id, stricts.c.at)
        assert await q.fetch_all(db, some, Partly) == [Partly(id=1, at=row.at)]


class Shared:
    """A session whose rows belong to somebody else as well, as those of a cache do."""

    dialect = "sqlite"

    def __init__(self) -> None:
        self.rows: list[Row] = [{"id": 1, "tags": '["a"]'}]

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        return self.rows


async def test_rows_are_not_changed_in_place() -> None:
    import sqlalchemy as sa

    t = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer), sa.Column("tags", sa.JSON))
    session: Any = Shared()
    for _ in range(2):
        assert await q.fetch_all(session, q.select(t)) == [{"id": 1, "tags": ["a"]}]
    assert session.rows == [{"id": 1, "tags": '["a"]'}]


async def test_few_models_per_statement_are_remembered(open_db: Any) -> None:
    from covet_sql.query._shape import bound

    statement = q.select(q.literal(1).label("id"))
    async with open_db() as db:
        for _ in range(READERS * 2):
            kind = type("Local", (BaseModel,), {"__annotations__": {"id": int}})
            assert (await q.fetch_all(db, statement, kind))[0].model_dump() == {"id": 1}
        assert len(bound(statement, db.dialect).shape.readers) <= READERS
