"""The same on MariaDB, which commits with every change of a table."""

from __future__ import annotations

import sys
from typing import Any
from uuid import uuid4

import pytest

Place = Any
pytestmark = pytest.mark.once
PATIENCE = 60.0
MADE = 'op.create_table("{0}", sa.Column("id", sa.Integer, primary_key=True))'
GONE = 'op.drop_table("{0}")'
MODELS = """
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from covet_sql import Column
from covet_sql import query as q
from pydantic import BaseModel, Field


class Author(BaseModel):
    id: Annotated[int | None, Column(primary_key=True)] = None
    name: Annotated[str, Column(unique=True), Field(max_length=100)]


class Book(BaseModel):
    id: Annotated[int | None, Column(primary_key=True)] = None
    author: Annotated[int, Column(references="authors.id")]
    price: Annotated[Decimal, Field(max_digits=8, decimal_places=2)]
    changed: datetime | None = None
    lasts: timedelta | None = None
    about: str | None = None


tables = q.MetaData()
authors = q.table(Author, "authors", metadata=tables)
books = q.table(Book, "books", metadata=tables)
"""


def test_up_and_down(mariadb_place: Place) -> None:
    place = mariadb_place
    place.add("one", MADE.format("t_one"), GONE.format("t_one"))
    place.add("two", MADE.format("t_two"), GONE.format("t_two"), below="one")
    script = place.db("upgrade", "--sql")
    assert "CREATE TABLE t_two" in script
    place.db("upgrade")
    assert place.tables() == {"t_one", "t_two", "alembic_version"}
    assert place.version() == ["two"]
    assert "0 pending" in place.db("status", "--check")
    place.db("downgrade", "base")
    assert place.tables() == {"alembic_version"}


def test_a_failure_says_that_a_part_of_it_stays(mariadb_place: Place) -> None:
    place = mariadb_place
    place.add("one", MADE.format("t_one"))
    place.add("two", f"{MADE.format('half')}\nop.execute('SELECT * FROM nowhere')", below="one")
    said = place.db("upgrade", code=1)
    assert "The database is at one, the step before; what ran before the error stays" in said
    assert place.version() == ["one"]
    assert "half" in place.tables()


def test_many_processes_at_once_run_every_step_once(mariadb_place: Place) -> None:
    place, below = mariadb_place, None
    for number in range(4):
        below, above = f"r{number}", below
        place.add(below, MADE.format(f"t_{number}"), below=above)
    processes = [place.start("upgrade") for _ in range(3)]
    said = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, "\n".join(said)
    assert place.version() == ["r3"]


def test_tables_are_compared(mariadb_place: Place) -> None:
    place, module = mariadb_place, f"tables_{uuid4().hex}"
    (place.folder / f"{module}.py").write_text(MODELS, "utf-8")
    place.configure(f'tables = "{module}:tables"')
    place.db("revision", "--auto", "-m", "first")
    place.db("upgrade")
    assert {"authors", "books"} <= place.tables()
    assert "has the tables of the service" in place.db("diff")
    sys.modules.pop(module)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("mysql://x@127.0.0.1:1/x", "COVET-MYSQL-UNREACHABLE"),
        ("postgres://x", "COVET-MYSQL-URL"),
        ("{base}/nowhere", "COVET-MYSQL-DATABASE"),
    ],
)
def test_a_database_that_cannot_be_reached_says_why(
    mariadb_place: Place, url: str, word: str
) -> None:
    base = mariadb_place.url.rpartition("/")[0]
    mariadb_place.configure(database=f'[plugins.mysql]\nurl = "{url.format(base=base)}"')
    mariadb_place.add("one")
    assert word in mariadb_place.db("upgrade", code=2)


def test_a_password_that_is_wrong_says_so(mariadb_place: Place) -> None:
    address = mariadb_place.url.rpartition("@")[2]
    mariadb_place.configure(database=f'[plugins.mysql]\nurl = "mysql://locked:no@{address}"')
    mariadb_place.add("one")
    assert "COVET-MYSQL-PASSWORD" in mariadb_place.db("upgrade", code=2)
