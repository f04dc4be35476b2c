"""A tenant has what is its own, and nothing of it is left for the next."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from covet_kernel.contracts import SqlConflictError, SqlError, SqlUnavailableError
from covet_kernel.testing import cancel_at_every_await
from covet_tenants import TENANT, TENANTS, TenantMissingError, TenantsConfig, TenantUnknownError
from covet_tenants._names import is_name

WHOSE = "SELECT name FROM whose"


async def test_each_statement_is_in_its_tenants_schema(house) -> None:
    async with house() as tenants:
        for _ in range(2):
            for name in ("acme", "zeta"):
                mine = tenants.of(name)
                assert await mine.fetch_value(WHOSE) == name
                assert await mine.fetch_one(WHOSE) == {"name": name}
                assert await mine.fetch_all(WHOSE) == [{"name": name}]
                async with aclosing(mine.stream(WHOSE)) as rows:
                    assert [row async for row in rows] == [{"name": name}]
                async with mine.transaction(read_only=True) as session:
                    assert await session.fetch_value(WHOSE) == name
        await tenants.of("acme").execute_many("INSERT INTO t VALUES (?)", [(1,), (2,)])
        assert await tenants.of("acme").fetch_value("SELECT count(*) FROM t") == 2
        assert await tenants.of("zeta").fetch_value("SELECT count(*) FROM t") == 0
        # The base itself has neither: a connection that was a tenant's is nobody's afterwards.
        with pytest.raises(SqlError):
            await tenants._base.fetch_value(WHOSE)


async def test_a_statement_that_others_have_prepared_is_the_tenants_own(house) -> None:
    async with house() as tenants:
        base = tenants._base
        await base.execute("CREATE TABLE whose (name VARCHAR(20))")
        await base.execute("INSERT INTO whose VALUES ('nobody')")
        for _ in range(3):
            assert await base.fetch_value(WHOSE) == "nobody"
            assert await tenants.of("acme").fetch_value(WHOSE) == "acme"
            assert await tenants.of("zeta").fetch_value(WHOSE) == "zeta"


async def test_what_fails_or_is_cancelled_leaves_nothing_for_the_next(house) -> None:
    async with house() as tenants:
        acme, zeta = tenants.of("acme"), tenants.of("zeta")
        with pytest.raises(ZeroDivisionError):
            async with acme.transaction() as session:
                assert await session.fetch_value(WHOSE) == "acme"
                raise ZeroDivisionError
        assert await zeta.fetch_value(WHOSE) == "zeta"
        with pytest.raises(SqlError):
            await acme.fetch_value("SELECT nonsense FROM whose")
        assert await zeta.fetch_value(WHOSE) == "zeta"
        with anyio.CancelScope() as scope:
            async with acme.transaction() as session:
                await session.fetch_value(WHOSE)
                scope.cancel()
                await session.fetch_value(WHOSE)
        assert await zeta.fetch_value(WHOSE) == "zeta"
        with pytest.raises(SqlError):
            await tenants._base.fetch_value(WHOSE)


async def test_cancelled_at_every_await_it_leaves_nothing_for_the_next(house) -> None:
    async with house() as tenants:

        async def call() -> None:
            async with tenants.of("acme").transaction() as session:
                assert await session.fetch_value(WHOSE) == "acme"
            await tenants.of("acme").execute("UPDATE whose SET name = name")

        async def look() -> None:
            assert await tenants.of("zeta").fetch_value(WHOSE) == "zeta"
            with pytest.raises(SqlError):
                await tenants._base.fetch_value(WHOSE)

        await cancel_at_every_await(call, check=look)


async def test_tenants_at_once(house) -> None:
    async with house() as tenants:

        async def ask(name: str) -> None:
            for _ in range(10):
                async with tenants.of(name).transaction() as session:
                    assert await session.fetch_value(WHOSE) == name
                    await anyio.lowlevel.checkpoint()
                    assert await session.fetch_value(WHOSE) == name

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask, "acme")
                tasks.start_soon(ask, "zeta")


@pytest.mark.parametrize(
    "name", ["nobody", "", None, 5, "ACME", "acme\0", 'acme"', "../acme", "acme ", "a" * 41]
)
async def test_who_is_no_tenant(house_of, name) -> None:
    async with house_of("sqlite")() as tenants:
        with pytest.raises(TenantUnknownError):
            tenants.of(name)


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
async def test_a_tenant_for_whom_nothing_was_made_yet(house_of, kind) -> None:
    async with house_of(kind)() as tenants:
        base = tenants._base
        word = "SCHEMA tenant_zeta CASCADE" if kind == "postgres" else "DATABASE tenant_zeta"
        await base.execute(f"DROP {word}")
        await base.execute("CREATE TABLE whose (name VARCHAR(20))")
        with pytest.raises(TenantUnknownError, match="yet"):
            await tenants.of("zeta").fetch_value(WHOSE)
        assert await tenants.of("acme").fetch_value(WHOSE) == "acme"


async def test_shared_schemas_are_behind_the_tenants(house_of) -> None:
    async with house_of("postgres")(shared=["public"]) as tenants:
        await tenants._base.execute("CREATE TABLE rates (rate INTEGER)")
        await tenants._base.execute("CREATE TABLE whose (name TEXT)")
        assert await tenants.of("acme").fetch_value("SELECT count(*) FROM rates") == 0
        assert await tenants.of("acme").fetch_value(WHOSE) == "acme"


async def test_a_connection_keeps_what_it_has_prepared(house_of) -> None:
    async with house_of("postgres")() as tenants:
        for _ in range(3):
            assert await tenants.of("acme").fetch_value(WHOSE) == "acme"
        [lease_free] = [tenants._base.inner.pool.idle[0]]
        assert lease_free.clean


async def test_tenants_by_a_query(house_of) -> None:
    house = house_of("sqlite")
    from covet_kernel.contracts import SQL
    from covet_kernel.testing import run_kernel

    async with run_kernel({"sqlite": house.classes["sqlite"]}, {"sqlite": {"path": "base.db"}}, directory=house.folder) as kernel:  # fmt: skip
        await kernel.require(SQL).execute("CREATE TABLE tenants (name TEXT)")
        await kernel.require(SQL).execute("INSERT INTO tenants VALUES ('acme')")
    async with house(query="SELECT name FROM tenants", refresh=0.01) as tenants:
        assert tenants.all() == ["acme"]
        await tenants._base.execute("INSERT INTO tenants VALUES ('later')")
        while tenants.all() != ["acme", "later"]:
            await anyio.sleep(0.01)
        await tenants._base.execute("INSERT INTO tenants VALUES ('no/name')")
        with pytest.raises(TenantUnknownError, match="'no/name' can be no tenant's name"):
            await tenants.refresh()
        assert tenants.all() == ["acme", "later"]


async def test_so_many_files_are_open_and_no_more(house_of) -> None:
    names = [f"t{number}" for number in range(6)]
    house = house_of("sqlite")
    async with house(tenants=names, open_files=2, acquire_timeout=60) as tenants:
        files = tenants.of("t0")._files
        for name in [*names, *names]:
            assert await tenants.of(name).fetch_value(WHOSE) == name
            assert files.open <= 2
        async with tenants.of("t0").transaction() as one, tenants.of("t1").transaction() as two:
            assert await one.fetch_value(WHOSE) == "t0"
            files._timeout = 0.01
            with pytest.raises(SqlConflictError, match="files of 2 tenants are in use"):
                await tenants.of("t2").fetch_value(WHOSE)
            assert await two.fetch_value(WHOSE) == "t1"
        files._timeout = 60
        assert await tenants.of("t2").fetch_value(WHOSE) == "t2"


async def test_a_file_that_cannot_be_opened_is_its_tenants_problem_alone(house_of) -> None:
    house = house_of("sqlite")
    async with house() as tenants:
        pass
    (house.folder / "tenants" / "zeta.db").write_bytes(b"this is no database" * 100)
    from covet_kernel.testing import run_kernel

    async with run_kernel(house.classes, house.tables(), directory=house.folder) as kernel:
        tenants = kernel.require(TENANTS)
        for _ in range(2):
            with pytest.raises(SqlUnavailableError, match="file cannot be opened"):
                await tenants.of("zeta").fetch_value(WHOSE)
            assert await tenants.of("acme").fetch_value(WHOSE) == "acme"


async def test_without_a_tenant_there_is_no_database(house_of) -> None:
    async with house_of("sqlite")() as tenants:
        with pytest.raises(TenantMissingError):
            tenants.of_call()
        with tenants.using("acme") as mine:
            assert await mine.fetch_value(WHOSE) == "acme"
            assert await tenants.of_call().fetch_value(WHOSE) == "acme"
        with pytest.raises(TenantMissingError):
            tenants.of_call()


@given(st.text(max_size=50))
def test_a_name_is_harmless_in_a_path_and_in_a_schema(text) -> None:
    if is_name(text):
        assert not set(text) - set("abcdefghijklmnopqrstuvwxyz0123456789-_")
        assert 1 <= len(text) <= 40


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"tenants": ["a"], "query": "SELECT 1"},
        {"tenants": ["A"]},
        {"tenants": ["a"], "schema": "t"},
        {"tenants": ["a"], "schema": "{tenant}{tenant}"},
        {"tenants": ["a"], "schema": "{tenant}" + "x" * 30},
        {"tenants": ["a"], "path": "{tenant}/{x}.db"},
        {"tenants": ["a"], "key": "cookie:x"},
    ],
)
def test_configurations_that_make_no_sense(config) -> None:
    with pytest.raises(ValidationError):
        TenantsConfig.model_validate(config)


def test_tokens() -> None:
    assert (TENANTS.id, TENANT.id) == ("tenants.tenants", "sql.database/tenant")
