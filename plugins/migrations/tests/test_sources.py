"""Migrations that plugins bring along, and what comes first."""

from __future__ import annotations

import sys
from typing import Any
from uuid import uuid4

import pytest

Place = Any
PLUGIN = """
from pathlib import Path
from covet_kernel import Plugin
from covet_migrations import Migrations


class {name}(Plugin[None]):
    def covet_migrations(self):
        yield Migrations(name="{source}", path="{folder}", database="{database}")
"""
MADE = 'op.create_table("{0}", sa.Column("id", sa.Integer, primary_key=True))'


@pytest.fixture
def declare(place: Place) -> Any:
    """Add a plugin with a source, in a module of its own."""
    modules: list[str] = []
    tables: list[str] = []

    def declare(source: str, folder: str, database: str = "") -> None:
        module = f"plugin_{uuid4().hex}"
        modules.append(module)
        text = PLUGIN.format(name="Brings", source=source, folder=folder, database=database)
        (place.folder / f"{module}.py").write_text(text, "utf-8")
        tables.append(f'[plugins.{module}]\nuse = "{module}:Brings"')
        place.configure(more="\n".join(tables))

    yield declare
    for module in modules:
        sys.modules.pop(module, None)


def test_sources_are_branches_with_dependencies(place: Place, declare: Any) -> None:
    declare("orders", "one")
    declare("people", "two")
    place.add("o1", f"{MADE.format('orders')}\nop.execute('INSERT INTO people VALUES (1)')",
              folder="one", needs="p1")  # fmt: skip
    place.add("o2", MADE.format("lines"), folder="one", below="o1")
    place.add("p1", MADE.format("people"), folder="two")
    place.add("p2", MADE.format("addresses"), folder="two", below="p1")
    place.add("a1", MADE.format("own"))
    place.db("upgrade", "o1")
    assert place.tables() == {"people", "orders", "alembic_version"}
    place.db("upgrade")
    assert place.version() == ["a1", "o2", "p2"]
    assert "3 pending" not in place.db("status")
    assert "is there already" in place.db("upgrade")


def test_a_revision_goes_to_the_source_that_is_named(place: Place, declare: Any) -> None:
    declare("orders", "one")
    declare("people", "two")
    place.db("init")
    said = place.db("revision", "-m", "whose", code=2)
    assert "valid: orders, people" in said
    said = place.db("revision", "-m", "whose", "--source", "poeple", code=2)
    assert "Did you mean 'people'?" in said
    place.db("revision", "-m", "first", "--source", "people", "--id", "p1")
    place.db("revision", "-m", "then", "--source", "orders", "--id", "o1", "--depends-on", "p1")
    place.db("revision", "-m", "next", "--source", "people", "--id", "p2")
    assert [path.parent.name for path in place.folder.glob("*/*_o1_*.py")] == ["one"]
    place.db("upgrade", "people@head")
    assert place.version() == ["p2"]
    place.db("upgrade")
    assert place.version() == ["o1", "p2"]
    place.db("downgrade", "orders@base")
    assert place.version() == ["p2"]


def test_sources_of_one_name_are_refused(place: Place, declare: Any) -> None:
    declare("orders", "one")
    declare("orders", "two")
    said = place.db("upgrade", code=2)
    assert "COVET-MIGRATION-SOURCE" in said
    assert "has one of this name" in said


@pytest.mark.parametrize("name", ["", "a@b", "a:b", "a-b", "a b"])
def test_a_name_that_alembic_would_misread_is_refused(
    place: Place, declare: Any, name: str
) -> None:
    declare(name, "one")
    assert "COVET-MIGRATION-SOURCE" in place.db("upgrade", code=2)


def test_a_source_of_another_database_is_not_this_ones(place: Place, declare: Any) -> None:
    declare("reports", "one", "reports")
    place.add("r1", MADE.format("reports"), folder="one")
    place.add("a1", MADE.format("own"))
    place.db("upgrade")
    assert place.tables() == {"own", "alembic_version"}
    assert "no enabled plugin provides 'sql.database/reports'" in place.db(
        "upgrade", "--database", "reports", code=2
    )
