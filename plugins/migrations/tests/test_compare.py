"""Revisions written from the tables of a service, and what a database differs in."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

Place = Any
MODELS = """
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

from covet_sql import Column
from covet_sql import query as q
from pydantic import BaseModel, Field, NaiveDatetime


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Size(Enum):
    SMALL = 1


class Author(BaseModel):
    id: Annotated[int | None, Column(primary_key=True)] = None
    name: Annotated[str, Column(unique=True), Field(max_length=100)]


class Book(BaseModel):
    id: Annotated[int | None, Column(primary_key=True)] = None
    title: Annotated[str, Column(index=True)]
    author: Annotated[int, Column(references="authors.id", on_delete="CASCADE")]
    price: Annotated[Decimal, Field(max_digits=8, decimal_places=2)]
    weight: float = 1.0
    sold: bool = False
    scan: bytes | None = None
    printed: date | None = None
    opens: time | None = None
    changed: datetime | None = None
    planned: NaiveDatetime | None = None
    lasts: timedelta | None = None
    key: UUID | None = None
    colour: Colour | None = None
    size: Size | None = None
    about: dict[str, Any] = {}
    MORE


tables = q.MetaData()
authors = q.table(Author, "authors", metadata=tables)
books = q.table(Book, "books", q.Index("by_price", "price", "title"), metadata=tables)
"""


@pytest.fixture
def module() -> Iterator[str]:
    name = f"tables_{uuid4().hex}"
    yield name
    for each in [known for known in sys.modules if known.startswith(name)]:
        sys.modules.pop(each)


def write(place: Place, module: str, more: str = "pass") -> None:
    (place.folder / f"{module}.py").write_text(MODELS.replace("MORE", more), "utf-8")
    place.configure(f'tables = "{module}:tables"')


def change(place: Place, module: str, more: str) -> None:
    # Python tells a changed file by its time, which may be the same one.
    write(place, f"{module}_{uuid4().hex}", more)


def test_every_kind_of_field_goes_there_and_back(place: Place, module: str) -> None:
    write(place, module)
    place.db("revision", "--auto", "-m", "first")
    assert "books" not in place.tables()
    place.db("upgrade")
    assert {"authors", "books"} <= place.tables()
    assert "has the tables of the service" in place.db("diff")
    assert "nothing differs" in place.db("revision", "--auto", "-m", "again")
    assert json.loads(place.db("diff", "--json")) == []
    place.db("downgrade", "base")
    assert place.tables() == {"alembic_version"}


def test_a_revision_of_one_database_runs_on_the_other(place: Place, module: str) -> None:
    """What is written on SQLite makes the same tables on PostgreSQL, and the other way round."""
    write(place, module)
    place.db("revision", "--auto", "-m", "first")
    [path] = (place.folder / "migrations").glob("*.py")
    text = path.read_text("utf-8")
    assert "q.Moment()" in text
    assert "q.Exact(8, 2)" in text
    assert "sa.BigInteger().with_variant(sa.Integer(), 'sqlite')" in text
    other = f'tables = "{module}:tables"'
    if place.url:
        place.configure(other, database='[plugins.sqlite]\npath = "other.db"')
    else:
        from services import postgres

        with postgres.database() as url:
            place.configure(other, database=f'[plugins.postgres]\nurl = "{url}"')
            place.db("upgrade")
            place.db("diff")
        return
    place.db("upgrade")
    place.db("diff")


def test_what_has_changed_is_written_and_undone(place: Place, module: str) -> None:
    write(place, module)
    place.db("revision", "--auto", "-m", "first")
    place.db("upgrade")
    place.run("INSERT INTO authors (id, name) VALUES (1, 'Austen')")
    change(place, module, "note: str | None = None")
    said = place.db("diff", code=1)
    assert "app lacks:" in said
    assert "'note'" in said
    place.db("revision", "--auto", "-m", "note", "--id", "note")
    place.db("upgrade")
    place.db("diff")
    assert place.rows("SELECT note FROM books") == []
    place.db("downgrade", "-1")
    assert "1 pending" in place.db("status")
    assert place.rows("SELECT name FROM authors") == [("Austen",)]


def test_a_table_of_somebody_else_is_left_alone(place: Place, module: str) -> None:
    write(place, module)
    place.db("revision", "--auto", "-m", "first")
    place.db("upgrade")
    place.run("CREATE TABLE handmade (id INTEGER)")
    place.db("diff")
    text = (place.folder / f"{module}.py").read_text("utf-8")
    kept = text.replace("books = q.table", "removed = lambda *a, **k: None\nbooks = removed")
    fresh = f"{module}_less"
    (place.folder / f"{fresh}.py").write_text(kept, "utf-8")
    place.configure(f'tables = "{fresh}:tables"')
    said = place.db("diff", code=1)
    assert "op.drop_table('books')" in said
    assert "handmade" not in said


def test_a_database_that_is_behind_is_not_compared(place: Place, module: str) -> None:
    write(place, module)
    place.add("one")
    for word in (["diff"], ["revision", "--auto", "-m", "x"]):
        said = place.db(*word, code=2)
        assert "COVET-MIGRATION-PENDING" in said
        assert "covet db upgrade" in said


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ("", "does not say where its tables are"),
        ("shop", "no 'module:name'"),
        ("nowhere_at_all:tables", "ModuleNotFoundError"),
        ("json:tables", "no MetaData"),
    ],
)
def test_tables_that_cannot_be_found(sqlite_place: Place, tables: str, problem: str) -> None:
    sqlite_place.add("one")
    sqlite_place.configure(f'tables = "{tables}"')
    sqlite_place.db("upgrade")
    said = sqlite_place.db("diff", code=2)
    assert "COVET-MIGRATION-TABLES" in said
    assert problem in said
