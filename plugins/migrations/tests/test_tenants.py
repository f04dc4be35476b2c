"""Every tenant has the tables, each by itself; several processes see to them at once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from textwrap import dedent

import psycopg
import pytest
from services import mariadb

pytestmark = pytest.mark.once

SHOP = dedent(
    """
    from pathlib import Path
    from covet_kernel import Plugin
    from covet_migrations import Migrations

    class Shop(Plugin[None]):
        def covet_migrations(self):
            yield Migrations(name="shop", path=Path(__file__).parent / "revisions", database="tenant")
    """
)
TENANTS = ("acme", "beta", "zeta")
TABLE = 'op.create_table("books", sa.Column("id", sa.Integer, primary_key=True))'


@pytest.fixture
def tenants(place):
    _drop_schemas(place)
    yield _prepared(place)
    _drop_schemas(place)


def _drop_schemas(place) -> None:
    if place.url:
        with psycopg.connect(place.url, autocommit=True) as admin:
            for each in TENANTS:
                admin.execute(f"DROP SCHEMA IF EXISTS tenant_{each} CASCADE".encode())


def _prepared(place):
    (place.folder / "tenanted_shop.py").write_text(SHOP, "utf-8")
    place.configure(
        'databases = ["tenant"]',
        'migrate = "off"',
        more='[plugins.tenants]\ntenants = ["zeta", "acme", "beta"]\n'
        '[plugins.tenanted_shop]\nuse = "tenanted_shop:Shop"',
    )
    place.add("one", TABLE, 'op.drop_table("books")', folder="revisions")
    return place


def tables_of(place, tenant: str) -> set[str]:
    if place.plugin == "mysql":
        return {name for (name,) in mariadb.run(place.url, f"SHOW TABLES IN tenant_{tenant}")}
    if place.url:
        sql = f"SELECT tablename FROM pg_tables WHERE schemaname = 'tenant_{tenant}'"
        with psycopg.connect(place.url) as connection:
            return {name for (name,) in connection.execute(sql.encode())}
    path = place.folder / "tenants" / f"{tenant}.db"
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {name for (name,) in found}


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_all_tenants_are_migrated(tenants, jobs) -> None:
    out = tenants.db("upgrade", "--tenant", "all", "--jobs", jobs)
    for number, name in enumerate(TENANTS, 1):
        assert f"{name}: 1/1 upgrade: shop one" in out
        assert f"{name}: done" in out
        assert f"{number}/3 " in out
        assert tables_of(tenants, name) == {"books", "alembic_version"}
    out = tenants.db("upgrade", "--tenant", "all", "--jobs", "1")
    assert out.count("is there already") == 3
    out = tenants.db("status", "--tenant", "acme")
    assert "0 pending" in out


def test_one_tenant_goes_its_own_way(tenants) -> None:
    tenants.db("upgrade", "--tenant", "acme,zeta", "--jobs", "1")
    assert tables_of(tenants, "zeta") == {"books", "alembic_version"}
    tenants.db("downgrade", "base", "--tenant", "zeta")
    assert tables_of(tenants, "zeta") == {"alembic_version"}
    assert tables_of(tenants, "acme") == {"books", "alembic_version"}


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_tenant_that_fails_keeps_nobody_else_from_it(tenants, jobs) -> None:
    tenants.db("upgrade", "--tenant", "beta", "--jobs", "1")
    tenants.db("downgrade", "base", "--tenant", "beta")
    # A table of that name is there, whoever made it.
    if tenants.url:
        tenants.run("CREATE TABLE tenant_beta.books (id INTEGER)")
    else:
        with closing(sqlite3.connect(tenants.folder / "tenants" / "beta.db")) as database, database:
            database.execute("CREATE TABLE books (id INTEGER)")
    out = tenants.db("upgrade", "--tenant", "all", "--jobs", jobs, code=1)
    assert "1 of 3 tenants are not there: beta" in out
    assert "beta: see above" in out
    assert "exist" in out
    for name in ("acme", "zeta"):
        assert tables_of(tenants, name) == {"books", "alembic_version"}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["upgrade", "--tenant", "nobody"], "no tenant 'nobody'"),
        (["lint", "--tenant", "all"], "is for one tenant"),
        (["upgrade", "--tenant", "all", "--jobs", "0"], "not between 1 and 64"),
        (["upgrade", "--tenant", "all", "--database", "x"], "which tenants is not known"),
    ],
)
def test_mistakes(sqlite_place, words, problem) -> None:
    assert problem in _prepared(sqlite_place).db(*words, code=2)


def test_nobody_knows_of_tenants(sqlite_place) -> None:
    out = sqlite_place.db("upgrade", "--tenant", "all", code=2)
    assert "no enabled plugin knows of tenants" in out


def test_databases_of_mariadb(mariadb_place) -> None:
    place = _prepared(mariadb_place)
    try:
        place.db("upgrade", "--tenant", "all", "--jobs", "2")
        for name in TENANTS:
            assert tables_of(place, name) == {"books", "alembic_version"}
    finally:
        for name in TENANTS:
            mariadb.run(place.url, f"DROP DATABASE IF EXISTS tenant_{name}")
