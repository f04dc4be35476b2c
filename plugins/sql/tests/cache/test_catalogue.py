"""How far a write reaches: foreign keys, triggers, views, partitions."""

from __future__ import annotations

from typing import Any

import pytest

from covet_sql.cache import ANY
from covet_sql.cache._catalogue import Catalogue, read_catalogue

COMMON = [
    "CREATE TABLE authors (id INTEGER PRIMARY KEY)",
    "CREATE TABLE books (id INTEGER PRIMARY KEY, a INTEGER REFERENCES authors (id) ON DELETE CASCADE)",
    "CREATE TABLE pages (id INTEGER, b INTEGER REFERENCES books (id) ON UPDATE SET NULL)",
    "CREATE TABLE notes (id INTEGER, b INTEGER REFERENCES books (id))",
    "CREATE TABLE watched (id INTEGER)",
    "CREATE VIEW cheap AS SELECT id FROM books",
]
SQLITE = [
    "CREATE TRIGGER t AFTER INSERT ON watched BEGIN DELETE FROM notes; END",
    "CREATE VIRTUAL TABLE found USING fts5(title)",
]
POSTGRES = [
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "CREATE TRIGGER t AFTER INSERT ON watched EXECUTE FUNCTION f()",
    "CREATE TABLE found (id INTEGER) PARTITION BY RANGE (id)",
    "CREATE TABLE found_1 PARTITION OF found FOR VALUES FROM (1) TO (9)",
]
MYSQL = [
    "CREATE TRIGGER t AFTER INSERT ON watched FOR EACH ROW DELETE FROM notes",
    "CREATE VIEW found AS SELECT id FROM cheap",
]
MORE = {"sqlite": SQLITE, "postgresql": POSTGRES, "mysql": MYSQL}


async def test_it_is_read_from_the_database(observing: Any) -> None:
    async with observing() as db:
        for text in (*COMMON, *MORE[db.dialect]):
            await db.execute(text)
        found = await read_catalogue(db.inner)
    assert found.plain >= {"authors", "books", "pages", "notes", "watched"}
    assert not found.plain & {"cheap", "found"}
    assert found.changed_with(["authors"]) == {"authors", "books", "pages"}
    assert found.changed_with(["books"]) == {"books", "pages"}
    assert found.changed_with(["notes", "pages"]) == {"notes", "pages"}
    for table in ("watched", "cheap", "found", "nowhere"):
        assert found.changed_with([table]) == {ANY}
    assert found.read_from(frozenset(["books", "watched"])) == {"books", "watched"}
    assert found.read_from(frozenset(["books", "cheap"])) == {ANY}


class Other:
    dialect = "oracle"


async def test_of_an_unknown_database_nothing_is_sure() -> None:
    other: Any = Other()
    assert await read_catalogue(other) == Catalogue()
    assert Catalogue().changed_with(["a"]) == Catalogue().read_from(frozenset(["a"])) == {ANY}


@pytest.mark.parametrize("tables", [["a"], ["b"], ["a", "b"]])
def test_foreign_keys_may_go_round(tables: list[str]) -> None:
    both = frozenset(["a", "b"])
    catalogue = Catalogue(both, cascades={"a": frozenset(["b"]), "b": frozenset(["a"])})
    assert catalogue.changed_with(tables) == both
