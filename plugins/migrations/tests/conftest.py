"""A folder with a configuration, a database, and migrations that a test writes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from textwrap import indent
from typing import Any

import psycopg
import pytest
from services import mariadb, postgres

from covet_cli import main

REVISION = """\
{title!r}

import sqlalchemy as sa
from alembic import op

revision = {id!r}
down_revision = {below!r}
branch_labels = None
depends_on = {needs!r}
{head}

def upgrade():
{up}


def downgrade():
{down}
"""


class Place:
    """What one test works in.

    Attributes:
        folder: Where ``covet.toml`` is.
        plugin: Who provides the database.
        url: Of the database, ``""`` for SQLite.
    """

    def __init__(self, folder: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.url = url
        self.plugin = url.partition(":")[0] or "sqlite"
        self._capsys = capsys
        self.configure()

    def configure(self, *lines: str, database: str = "", more: str = "") -> None:
        """Write ``covet.toml``: ``lines`` go to ``[plugins.migrations]``, and ``more`` behind all."""
        default = (
            f'[plugins.{self.plugin}]\nurl = "{self.url}"'
            if self.url
            else ('[plugins.sqlite]\npath = "app.db"')
        )
        text = "\n".join([database or default, "[plugins.migrations]", *lines, more])
        (self.folder / "covet.toml").write_text(text + "\n", "utf-8")

    @property
    def config(self) -> str:
        return str(self.folder / "covet.toml")

    def db(self, *words: str, code: int = 0) -> str:
        """What ``covet db`` prints, which has to end with that code."""
        self._capsys.readouterr()
        got = main(["db", *words, "-c", self.config])
        out, err = self._capsys.readouterr()
        assert got == code, out + err
        return out + err

    def start(self, *words: str) -> subprocess.Popen[str]:
        """The same as a process, beside others."""
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("covet")), "db", *words, "-c", self.config],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )

    def add(
        self,
        id: str,
        up: str = "pass",
        down: str = "pass",
        *,
        below: str | tuple[str, ...] | None = None,
        needs: str | None = None,
        head: str = "",
        folder: str = "migrations",
    ) -> Path:
        """Write a revision."""
        path = self.folder / folder / f"{id}.py"
        path.parent.mkdir(exist_ok=True)
        fields = {"title": f"About {id}.", "id": id, "below": below, "needs": needs, "head": head}
        text = REVISION.format(**fields, up=indent(up, "    "), down=indent(down, "    "))
        path.write_text(text, "utf-8")
        return path

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Look into the database past everything."""
        if self.plugin == "mysql":
            return mariadb.run(self.url, sql)
        if self.url:
            with psycopg.connect(self.url) as connection:
                return connection.execute(sql.encode()).fetchall()
        with closing(sqlite3.connect(self.folder / "app.db")) as database:
            return database.execute(sql).fetchall()

    def run(self, *statements: str) -> None:
        """Change the database past everything."""
        if self.url:
            with psycopg.connect(self.url) as connection:
                for each in statements:
                    connection.execute(each.encode())
            return
        with closing(sqlite3.connect(self.folder / "app.db")) as database, database:
            for each in statements:
                database.execute(each)

    def tables(self) -> set[str]:
        """The tables there are."""
        if self.plugin == "mysql":
            found = "SHOW TABLES"
        elif self.url:
            found = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        else:
            found = "SELECT name FROM sqlite_master WHERE type = 'table'"
        return {name for (name,) in self.rows(found)}

    def version(self) -> list[str]:
        """What is in the version table."""
        if "alembic_version" not in self.tables():
            return []
        return sorted(name for (name,) in self.rows("SELECT version_num FROM alembic_version"))


@pytest.fixture(params=["sqlite", "postgresql"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Place]:
    """One place on each database."""
    path = list(sys.path)
    if request.param == "sqlite":
        yield Place(tmp_path, "", capsys)
    else:
        with postgres.database() as url:
            yield Place(tmp_path, url, capsys)
    sys.path[:] = path  # the command line has put the folder in front


@pytest.fixture
def mariadb_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Place]:
    """A place on MariaDB, whose changes of tables are in no transaction."""
    path = list(sys.path)
    with mariadb.database() as url:
        yield Place(tmp_path, url, capsys)
    sys.path[:] = path


@pytest.fixture
def sqlite_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Place]:
    """A place on SQLite, for what does not depend on the database."""
    path = list(sys.path)
    yield Place(tmp_path, "", capsys)
    sys.path[:] = path


@pytest.fixture
def postgres_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Place]:
    """A place on PostgreSQL, for what only that has."""
    path = list(sys.path)
    with postgres.database() as url:
        yield Place(tmp_path, url, capsys)
    sys.path[:] = path
