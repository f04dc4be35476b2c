"""What a start does about migrations, on both event loops."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from covet_kernel import ConfigurationError, LifecycleError, Plugin, flatten
from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_migrations import SCHEMA, Migrations, MigrationsPlugin
from covet_postgres import Postgres
from covet_sqlite import Sqlite

Place = Any
MADE = 'op.create_table("{0}", sa.Column("id", sa.Integer, primary_key=True))'


def parts(place: Place, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plugins and their configuration: the database, the toolkit, and one that brings tables."""

    class Brings(Plugin[None]):
        requires = (SQL, SCHEMA)

        def covet_migrations(self) -> list[Migrations]:
            return [Migrations(name="app", path=place.folder / "migrations")]

    database: dict[str, Any] = (
        {"postgres": {"url": place.url}}
        if place.url
        else {"sqlite": {"path": str(place.folder / "app.db")}}
    )
    kind = Postgres if place.url else Sqlite
    classes = {next(iter(database)): kind, "migrations": MigrationsPlugin, "brings": Brings}
    return classes, {**database, "migrations": settings}


async def test_a_start_applies_what_is_missing(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    place.add("one", MADE.format("t_one"))
    place.add("two", MADE.format("t_two"), below="one")
    classes, settings = parts(place, migrate="on start")
    async with run_kernel(classes, settings) as kernel:
        assert kernel.require(SCHEMA).heads == ("two",)
        assert await kernel.require(SQL).fetch_all("SELECT * FROM t_two") == []
    assert "2/2 upgrade: app two About two" in caplog.text
    caplog.clear()
    async with run_kernel(classes, settings) as kernel:
        assert kernel.require(SCHEMA).heads == ("two",)
    assert "upgrade" not in caplog.text


async def test_a_start_refuses_what_is_behind(place: Place) -> None:
    place.add("one", MADE.format("t_one"))
    classes, settings = parts(place, migrate="check")
    with pytest.raises(ExceptionGroup) as raised:
        async with run_kernel(classes, settings):
            pass
    [error] = flatten(raised.value)
    assert isinstance(error, ConfigurationError)
    assert error.code == "COVET-MIGRATION-PENDING"
    assert error.fix == "Run: covet db upgrade"
    assert "t_one" not in place.tables()
    place.db("upgrade")
    async with run_kernel(classes, settings) as kernel:
        assert kernel.require(SCHEMA).heads == ("one",)


async def test_a_start_may_leave_it_alone(place: Place) -> None:
    place.add("one", MADE.format("t_one"))
    async with run_kernel(*parts(place, migrate="off")) as kernel:
        assert kernel.require(SCHEMA).heads == ()
    assert place.tables() == set()


async def test_a_start_whose_migration_fails_is_no_start(place: Place) -> None:
    place.add("one", MADE.format("t_one"))
    place.add("two", "raise RuntimeError('never')", below="one")
    with pytest.raises(ExceptionGroup) as raised:
        async with run_kernel(*parts(place, migrate="on start")):
            pass
    [error] = flatten(raised.value)
    assert isinstance(error, LifecycleError)
    assert "never" in str(error)
    assert place.version() == ["one"]


@pytest.mark.parametrize("migrate", ["on start", "check"])
async def test_an_older_version_starts_beside_a_newer_one(
    place: Place, caplog: pytest.LogCaptureFixture, migrate: str
) -> None:
    place.add("one", MADE.format("t_one"))
    newer = place.add("two", MADE.format("t_two"), below="one")
    place.db("upgrade")
    newer.unlink()
    async with run_kernel(*parts(place, migrate=migrate)) as kernel:
        assert kernel.require(SCHEMA).heads == ("two",)
    assert "the database is ahead of this version: revision two is not known here" in caplog.text


async def test_a_service_without_migrations_starts(place: Place) -> None:
    (place.folder / "migrations").mkdir()
    async with run_kernel(*parts(place, migrate="check")) as kernel:
        assert kernel.require(SCHEMA).heads == ()


async def test_a_database_that_is_not_there_is_not_looked_at(place: Place) -> None:
    classes, settings = parts(place, migrate="on start")
    del classes["brings"]
    settings["migrations"]["databases"] = ["", "reports"]
    async with run_kernel(classes, settings) as kernel:
        assert kernel.require(SCHEMA.named("reports")).heads == ()


SERVICE = """
import sys
import anyio
from pathlib import Path
from covet_kernel import Plugin
from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_migrations import SCHEMA, Migrations, MigrationsPlugin
from covet_sqlite import Sqlite

class Brings(Plugin[None]):
    requires = (SQL, SCHEMA)
    def covet_migrations(self):
        return [Migrations(name="app", path=Path(sys.argv[1]) / "migrations")]

async def main():
    settings = {"sqlite": {"path": sys.argv[1] + "/app.db"}, "migrations": {"migrate": "on start"}}
    async with run_kernel({"sqlite": Sqlite, "migrations": MigrationsPlugin, "brings": Brings}, settings):
        print(sorted({"alembic", "sqlalchemy", "sqlglot", "mako"} & sys.modules.keys()))

anyio.run(main)
"""


@pytest.mark.once
def test_alembic_is_loaded_only_where_there_is_something_to_do(
    sqlite_place: Place, tmp_path: Path
) -> None:
    sqlite_place.add("one", MADE.format("t_one"))
    command = [sys.executable, "-c", SERVICE, str(tmp_path)]
    first = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "alembic" in first.stdout
    again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert again.stdout.strip() == "[]"


async def test_what_stands_on_a_label_is_resolved_by_alembic(place: Place) -> None:
    place.add("one", MADE.format("t_one"), head="branch_labels = ('first',)")
    place.add("two", MADE.format("t_two"), below="one")
    place.add("x", MADE.format("t_x"), below="two", needs="first")
    for _ in range(2):
        async with run_kernel(*parts(place, migrate="on start")) as kernel:
            assert kernel.require(SCHEMA).heads == ("x",)
