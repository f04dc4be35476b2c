"""What differs by dialect, where no server is needed to see it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
import sqlalchemy as sa
import sqlglot
from pydantic import BaseModel, Field, NaiveDatetime

from covet_kernel.contracts import Params, Row, SqlError
from covet_sql import Column
from covet_sql import query as q
from covet_sql.query._dialects import dialect, json_text
from covet_sql.query._shape import bound


class Event(BaseModel):
    id: Annotated[int | None, Column(primary_key=True)] = None
    at: datetime
    local: NaiveDatetime
    took: timedelta
    price: Annotated[Decimal, Field(max_digits=8, decimal_places=2)]
    tags: list[str]


events = q.table(Event, "events")
AT = datetime(2026, 3, 1, 12, 30, 0, 5, tzinfo=timezone(timedelta(hours=2)))
ROW = Event(
    at=AT,
    local=datetime(2026, 3, 1, 12),  # noqa: DTZ001 - it is what a NaiveDatetime takes
    took=timedelta(seconds=1.5),
    price=Decimal("1.25"),
    tags=["a"],
)


class MySQL:
    """A session of a MySQL that returns what its drivers return for the columns of `Event`."""

    dialect = "mysql"

    def __init__(self) -> None:
        self.sent: tuple[str, Params] = ("", ())

    async def execute(self, sql: str, params: Params = ()) -> int:
        self.sent = sql, params
        return 1

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        return [
            {
                "id": 1,
                "at": AT.astimezone(UTC).replace(tzinfo=None),
                "local": ROW.local,
                "took": 1_500_000,
                "price": Decimal("1.25"),
                "tags": '["a"]',
            }
        ]


async def test_mysql_keeps_times_in_utc_and_durations_as_numbers() -> None:
    session: Any = MySQL()
    await q.execute(session, q.insert(events, ROW))
    assert [*session.sent[1].values()] == [
        datetime(2026, 3, 1, 10, 30, 0, 5),  # noqa: DTZ001 - MySQL knows no zones
        ROW.local,
        1_500_000,
        Decimal("1.25"),
        '["a"]',
    ]
    expected = ROW.model_copy(update={"id": 1})
    rows = await q.fetch_all(session, q.select(events), dict)
    assert rows == [expected.model_dump()]


@pytest.mark.parametrize("name", ["sqlite", "postgresql", "mysql"])
def test_each_dialect_has_its_own_upsert(name: str) -> None:
    insert = q.insert(events, ROW)
    for statement in (
        q.upsert(insert, "id"),
        q.upsert(insert, "id", update=["price"]),
        q.upsert(insert, "id", update={"price": events.c.price + q.incoming(events.c.price)}),
        q.upsert(insert, "id", update={"took": None, "tags": ["b"]}),
    ):
        text = bound(statement, name).shape.text
        glot = {"postgresql": "postgres"}.get(name, name)
        (parsed,) = sqlglot.parse(text, dialect=glot)
        assert isinstance(parsed, sqlglot.exp.Insert)
        assert parsed.args["conflict"] is not None
        assert ("ON DUPLICATE KEY" in text) is (name == "mysql")


def test_rows_are_locked_where_that_means_something() -> None:
    statement = q.select(events).where(events.c.id == 1).with_for_update(skip_locked=True)
    texts = {each: bound(statement, each).shape.text for each in ("sqlite", "postgresql", "mysql")}
    assert "FOR UPDATE SKIP LOCKED" in texts["postgresql"]
    assert "FOR UPDATE SKIP LOCKED" in texts["mysql"]
    assert "FOR UPDATE" not in texts["sqlite"]


async def test_numbers_of_postgresql_are_of_the_type_that_was_declared() -> None:
    t = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("n", sa.Numeric(5, 2)),
        sa.Column("f", sa.Float),
        sa.Column("nf", sa.Numeric(5, 2, asdecimal=False)),
        sa.Column("fd", sa.Float(asdecimal=True)),
    )

    class Session:
        dialect = "postgresql"

        async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
            row = {"n": Decimal("1.50"), "f": 1.5, "nf": Decimal("1.50"), "fd": 1.5}
            return [row, dict.fromkeys(row)]

    session: Any = Session()
    some, none = await q.fetch_all(session, q.select(t))
    assert some == {"n": Decimal("1.5"), "f": 1.5, "nf": 1.5, "fd": Decimal("1.5")}
    assert [type(each) for each in some.values()] == [Decimal, float, float, Decimal]
    assert set(none.values()) == {None}


def test_json_is_written_by_the_names_of_fields() -> None:
    class Struct(msgspec.Struct):
        a: int

    class Aliased(BaseModel):
        name: str = Field(alias="Name")

    assert (
        json_text([Struct(1), Aliased(Name="x"), AT.date()])
        == '[{"a":1},{"name":"x"},"2026-03-01"]'
    )
    plain = sa.Table("t", sa.MetaData(), sa.Column("doc", sa.JSON))
    for name in ("sqlite", "postgresql", "mysql"):
        text, values = bound(q.insert(plain, {"doc": {"a": 1}}), name).values({})
        assert [*values.values()] == ['{"a":1}'], text
    with pytest.raises(SqlError, match="cannot be written as JSON"):
        bound(q.insert(plain, {"doc": object()}), "sqlite")


def test_literals_of_a_text_have_no_nul() -> None:
    literal = sa.literal("a\0b")
    with pytest.raises(sa.exc.CompileError, match="NUL"):
        q.select(literal).compile(dialect=dialect("sqlite"), compile_kwargs={"literal_binds": True})


def test_statements_without_a_key_are_compiled_each_time() -> None:
    class Odd(sa.sql.expression.ColumnElement[int]):
        inherit_cache = False
        type = sa.Integer()
        __visit_name__ = "null"

    statements = [q.select(Odd().label("x")).where(events.c.id == n) for n in (1, 2)]
    assert [[*bound(each, "sqlite").values({})[1].values()] for each in statements] == [[1], [2]]
