"""Many revisions become one that does the same."""

from __future__ import annotations

import sys
from typing import Any
from uuid import uuid4

import pytest

Place = Any
MADE = 'op.create_table("{0}", sa.Column("id", sa.Integer, primary_key=True))'
GONE = 'op.drop_table("{0}")'


def three(place: Place) -> None:
    for name, below in (("one", None), ("two", "one"), ("three", "two")):
        head = f"import json\nfrom decimal import Decimal\n\nNAME_{name} = 'T\"\\n{name}'\n"
        place.add(name, MADE.format(f"t_{name}"), GONE.format(f"t_{name}"), below=below, head=head)


def statements(script: str) -> list[str]:
    lines = [line for line in script.splitlines() if line and not line.startswith("--")]
    kept = " ".join(lines).split(";")
    words = ("alembic_version", "BEGIN", "COMMIT")
    return [each.strip() for each in kept if not any(word in each for word in words)]


def test_one_revision_does_what_all_did(place: Place) -> None:
    three(place)
    up = statements(place.db("upgrade", "--sql", "--from", "base"))
    down = statements(place.db("downgrade", "--sql", "base", "--from", "three"))
    said = place.db("squash", "-m", "start")
    assert said.count("removed") == 3
    [path] = (place.folder / "migrations").glob("*.py")
    assert path.read_text("utf-8").count("import json") == 1
    assert statements(place.db("upgrade", "--sql", "--from", "base")) == up
    assert statements(place.db("downgrade", "--sql", "base", "--from", "three")) == down
    place.db("upgrade")
    assert place.version() == ["three"]
    place.db("downgrade", "base")
    assert place.tables() == {"alembic_version"}


def test_a_database_that_had_all_notices_nothing(place: Place) -> None:
    three(place)
    place.db("upgrade")
    place.db("squash")
    assert "is there already" in place.db("upgrade")
    place.add("four", MADE.format("t_four"), below="three")
    place.db("upgrade")
    assert place.version() == ["four"]


def test_a_database_on_the_way_is_refused(place: Place) -> None:
    three(place)
    place.db("upgrade", "two")
    place.db("squash")
    said = place.db("upgrade", code=2)
    assert "at the revision 'two', which no source has" in said
    assert "squashed" in said


def test_squashing_twice(sqlite_place: Place) -> None:
    three(sqlite_place)
    sqlite_place.db("squash")
    sqlite_place.add("four", MADE.format("t_four"), below="three")
    before = statements(sqlite_place.db("upgrade", "--sql", "--from", "base"))
    sqlite_place.db("squash")
    assert statements(sqlite_place.db("upgrade", "--sql", "--from", "base")) == before


@pytest.mark.parametrize(
    ("name", "fields", "problem"),
    [
        ("four", {"below": "two"}, "2 newest revisions"),
        ("four", {"below": ("three", "other")}, "joins branches"),
        ("four", {"below": "three", "head": "NAME_one = 1"}, "both define 'NAME_one'"),
    ],
)
def test_what_cannot_be_squashed_stays(
    sqlite_place: Place, name: str, fields: dict[str, Any], problem: str
) -> None:
    three(sqlite_place)
    if "other" in fields["below"]:
        sqlite_place.add("other", below="two")
    sqlite_place.add(name, **fields)
    before = {
        path.name: path.read_text() for path in (sqlite_place.folder / "migrations").glob("*.py")
    }
    said = sqlite_place.db("squash", code=2)
    assert "COVET-MIGRATION-SQUASH" in said
    assert problem in said
    after = {
        path.name: path.read_text() for path in (sqlite_place.folder / "migrations").glob("*.py")
    }
    assert before == after


def test_one_alone_is_not_squashed(sqlite_place: Place) -> None:
    sqlite_place.add("one")
    assert "there is 1 revision" in sqlite_place.db("squash", code=2)


def test_what_another_source_stands_on_stays(sqlite_place: Place) -> None:
    three(sqlite_place)
    module = f"plugin_{uuid4().hex}"
    (sqlite_place.folder / f"{module}.py").write_text(
        "from covet_migrations import Migrations\n\n\ndef covet_migrations():\n"
        "    yield Migrations(name='other', path='other')\n"
    )
    sqlite_place.configure(more=f'[app]\nmodules = ["{module}"]')
    sqlite_place.add("x", needs="two", folder="other")
    said = sqlite_place.db("squash", "--source", "app", code=2)
    assert "stands on 'two', which would be gone" in said
    sqlite_place.add("x", needs="three", folder="other")
    sqlite_place.db("squash", "--source", "app")
    sqlite_place.db("upgrade")
    assert sqlite_place.version() == ["x"]
    sys.modules.pop(module)
