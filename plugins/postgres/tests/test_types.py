"""Whatever is stored comes back: the server's types and those of the database's own."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import anyio
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from covet_kernel.contracts import SqlError
from covet_postgres import PostgresConfig, copy_rows
from covet_postgres._database import PostgresDatabase
from covet_postgres._plugin import opened

EVERY_VERSION = True
Opener = Callable[..., AbstractAsyncContextManager[PostgresDatabase]]

OWN = """
CREATE TYPE mood AS ENUM ('glad', 'sad', 'a "b", {c}\\ (d)');
CREATE TYPE place AS (shelf TEXT, height NUMERIC, moods mood[], raw BYTEA);
CREATE TYPE room AS ("the place" place, number INTEGER, places place[]);
CREATE TYPE words AS RANGE (subtype = text);
CREATE DOMAIN label AS TEXT CHECK (VALUE <> 'nobody');
CREATE DOMAIN short_label AS label CHECK (length(VALUE) < 1000);
CREATE DOMAIN blob AS BYTEA;
CREATE DOMAIN numbers AS INTEGER[];
CREATE TYPE "text" AS ENUM ('not what it seems');
"""

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**31), 2**31 - 1)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=5)
TIMES = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1))  # noqa: DTZ001 - zones are added
ZONES = st.integers(-720, 720).map(lambda minutes: timezone(timedelta(minutes=minutes)))
AWARE = st.builds(lambda at, zone: at.replace(tzinfo=zone), TIMES, ZONES)
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.integers(-1000, 1000).map(lambda n: n / 4), TEXT
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(TEXT, inner)),
    max_leaves=8,
).filter(lambda value: value is not None and not isinstance(value, str))
"""A text as a parameter is JSON already, and ``None`` is SQL's NULL."""
MOODS = st.sampled_from(["glad", "sad", 'a "b", {c}\\ (d)'])


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


@st.composite
def ranges(draw: st.DrawFn, bounds: st.SearchStrategy[Any], kinds: tuple[str, ...]) -> Any:
    if draw(st.integers(0, 9)) == 0:
        return Range(empty=True)
    low, high = sorted([draw(bounds), draw(bounds)])
    if low == high:
        return Range(empty=True)
    kind = draw(st.sampled_from(kinds))
    if draw(st.booleans()):
        low, kind = None, "(" + kind[1]
    if draw(st.booleans()):
        high, kind = None, kind[0] + ")"
    return Range(low, high, kind)


ANY = ("[)", "(]", "[]", "()")
PLACES = st.tuples(maybe(TEXT), maybe(DECIMALS), maybe(st.lists(maybe(MOODS))), maybe(st.binary()))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "numeric": DECIMALS,
    "double precision": st.floats(allow_nan=False),
    "real": st.integers(-1000, 1000).map(lambda number: number / 8),
    "pg_catalog.text": TEXT,
    "bytea": st.binary(),
    "boolean": st.booleans(),
    "date": st.dates(),
    "time": st.times(),
    "timestamp": st.datetimes(),
    "timestamptz": AWARE,
    "interval": st.timedeltas(),
    "uuid": st.uuids(),
    "json": JSON,
    "jsonb": JSON,
    "inet": st.one_of(st.ip_addresses(), st.just(ipaddress.ip_interface("10.0.0.1/8"))),
    "cidr": st.sampled_from(["10.0.0.0/8", "fe80::/64", "0.0.0.0/0"]).map(ipaddress.ip_network),
    "bigint[]": st.lists(maybe(st.integers(-(2**63), 2**63 - 1))),
    "integer[][]": st.integers(1, 3).flatmap(
        lambda width: st.lists(st.lists(NUMBERS, min_size=width, max_size=width))
    ),
    "pg_catalog.text[]": st.lists(maybe(TEXT)),
    "bytea[]": st.lists(maybe(st.binary())),
    "timestamptz[]": st.lists(AWARE),
    "jsonb[]": st.lists(st.dictionaries(TEXT, st.integers())),
    "inet[]": st.lists(st.ip_addresses()),
    "int4range": ranges(NUMBERS, ("[)",)),
    "numrange": ranges(DECIMALS, ANY),
    "daterange": ranges(st.dates(min_value=date(2, 1, 1), max_value=date(9998, 1, 1)), ("[)",)),
    "tstzrange": ranges(AWARE, ANY),
    "numrange[]": st.lists(ranges(DECIMALS, ANY)),
    "nummultirange": ranges(DECIMALS, ANY).map(
        lambda one: Multirange([] if one.isempty else [one])
    ),
    "mood": MOODS,
    "mood[]": st.lists(maybe(MOODS)),
    "place": PLACES,
    "place[]": st.lists(maybe(PLACES)),
    "room": st.tuples(maybe(PLACES), maybe(NUMBERS), maybe(st.lists(PLACES))),
    "words": ranges(TEXT.map(lambda text: text.encode()), ANY).map(
        lambda one: (
            one
            if one.isempty
            else Range(
                *(None if each is None else each.decode() for each in (one.lower, one.upper)),
                one.bounds,
            )
        )
    ),
    "label": TEXT.filter(lambda text: text != "nobody"),
    "short_label[]": st.lists(st.sampled_from(["a", 'b"', "{c}"])),
    "blob": st.binary(),
    "blob[]": st.lists(st.binary()),
    "numbers": st.lists(NUMBERS),
}


def test_values_come_back(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(OWN)
        columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(VALUES))
        admin.execute(f"CREATE TABLE everything ({columns})")
    kinds = list(VALUES)
    names = [f"c{number}" for number in range(len(kinds))]
    every = ", ".join(names)
    marks = ", ".join("?" * len(names))

    async def come_back(values: list[Any]) -> None:
        async with opened(PostgresConfig(url=url, lane_size=1), "the test") as db:
            await db.execute(f"INSERT INTO everything ({every}) VALUES ({marks})", values)
            assert await copy_rows(db, "everything", names, [values]) == 1
            rows = await db.fetch_all(f"SELECT {every} FROM everything")
            streamed = [row async for row in db.stream(f"SELECT {every} FROM everything")]
            await db.execute("DELETE FROM everything")
            for row in (*rows, *streamed):
                for kind, got, value in zip(kinds, row.values(), values, strict=True):
                    assert got == value, kind
                    # A composite is a tuple with names.
                    assert isinstance(got, type(value)), kind
            assert len(rows) == 2
            assert len(streamed) == 2

    @given(st.tuples(*map(maybe, VALUES.values())), st.sampled_from(["asyncio", "trio"]))
    @settings(max_examples=60)
    def check(values: tuple[Any, ...], backend: str) -> None:
        anyio.run(come_back, list(values), backend=backend)

    check()


async def test_composites_have_names_and_enums_are_texts(open_db: Opener, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(OWN)
    place = ("a", Decimal(2), ["sad"], b"\x00")
    async with open_db() as db:
        room = await db.fetch_value("SELECT CAST(? AS room)", ((place, 5, [place, place]),))
        assert room == (place, 5, [place, place])
        assert (room.number, room.places[1].shelf, room[0].moods) == (5, "a", ["sad"])
        async with db.transaction() as session:
            assert await session.fetch_value("SELECT CAST(? AS mood[])", (["sad"],)) == ["sad"]
        # A type that is called as one of the server's takes nobody's place.
        assert await db.fetch_value("SELECT CAST('x' AS pg_catalog.text)") == "x"
        assert await db.fetch_value("SELECT CAST(? AS integer)", (1,)) == 1


async def test_types_of_extensions_are_texts(open_db: Opener, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE EXTENSION IF NOT EXISTS cube")
        admin.execute("CREATE TABLE places (id SERIAL PRIMARY KEY, at cube, near cube[])")
    async with open_db() as db:
        point, near = "(1, 2.5, -3)", ["(0)", "(1, 2)"]
        await db.execute("INSERT INTO places (at, near) VALUES (?, ?)", (point, near))
        async with db.transaction() as session:
            await session.execute_many(
                "INSERT INTO places (at) VALUES (:at)", [{"at": "(0, 0, 0)"}, {"at": None}]
            )
        found = "SELECT at, near FROM places ORDER BY at <-> CAST(:here AS cube) LIMIT 1"
        assert await db.fetch_one(found, {"here": "(1, 2, -3)"}) == {"at": point, "near": near}
        assert await db.fetch_value("SELECT at FROM places WHERE at = ?", (point,)) == point
        assert [row["at"] async for row in db.stream("SELECT at FROM places ORDER BY id")] == [
            point,
            "(0, 0, 0)",
            None,
        ]
        with pytest.raises(SqlError):
            await db.fetch_value("SELECT CAST(? AS cube)", ("no cube",))


async def test_what_is_no_value_of_the_type_is_refused(open_db: Opener, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(OWN)
    async with open_db() as db:
        for kind, value, sqlstate in (
            ("mood", "angry", "22P02"),
            ("mood[]", ["angry"], "22P02"),
            ("place", ("a", 1), "07006"),
            ("place", ("a", "secret words", None, None), "22P02"),
            ("place", {"a": 1}, "22P02"),
            ("label", "nobody", "23514"),
            ("label", 5, "07006"),
            ("blob", "text", "07006"),
            ("integer", Range(1, 2), "07006"),
            ("int4range", [1], "07006"),
            ("int4range", Range("secret words", None), "22P02"),
            ("int4range", Multirange([]), "07006"),
            ("words", Range("b", "a"), "22000"),
        ):
            with pytest.raises(SqlError) as caught:
                await db.fetch_value(f"SELECT CAST(? AS {kind})", (value,))
            assert caught.value.sqlstate == sqlstate, (kind, value)
            assert "secret" not in str(caught.value)
        assert db.counts.discarded == 0


async def test_a_type_that_is_new_or_another_now_is_asked_for(open_db: Opener) -> None:
    async with open_db() as db:
        for fields in ("a INTEGER", "a INTEGER, b TEXT", "a mood"):
            await db.execute("DROP TYPE IF EXISTS pair, mood")
            await db.execute("CREATE TYPE mood AS ENUM ('glad')")
            await db.execute(f"CREATE TYPE pair AS ({fields})")
            got = await db.fetch_value("SELECT CAST(NULL AS pair)")
            assert got is None
            many = fields.count(",") + 1
            row = ("glad",) if "mood" in fields else (1, "x")[:many]
            text = f"SELECT CAST(? AS pair) AS p{many}, CAST('{fields}' AS pg_catalog.text) AS f"
            assert (await db.fetch_one(text, (row,)) or {})[f"p{many}"] == row
