"""A handler has the session of whose call it answers."""

from __future__ import annotations

from typing import Annotated

import covet_http as http
from covet_http.testing import run_service
from covet_kernel import Plugin
from covet_kernel.contracts import Credentials, Principal, SqlDatabase, SqlSession
from covet_operations import operation
from covet_tenants import TENANT, TenantKey, tenant_by

WHOSE = "SELECT name FROM whose"


@operation(transaction="read")
@http.get("/claim")
async def by_default(session: Annotated[SqlSession, TENANT], who: Principal | None) -> str:
    return str(await session.fetch_value(WHOSE))


@operation(transaction="write")
@http.post("/fails")
async def fails(session: Annotated[SqlSession, TENANT], who: Principal | None) -> str:
    await session.execute("INSERT INTO t VALUES (1)")
    raise ZeroDivisionError


@http.get("/shops/{shop}")
async def by_path(
    shop: Annotated[str, TenantKey()], database: Annotated[SqlDatabase, TENANT]
) -> str:
    return str(await database.fetch_value(WHOSE))


@tenant_by("host:*.shop.example")
@http.get("/host")
async def by_host(database: Annotated[SqlDatabase, TENANT]) -> str:
    return str(await database.fetch_value(WHOSE))


class Tokens:
    async def authenticate(self, credentials: Credentials) -> Principal | None:
        return Principal(id="ann", claims={"tenant": credentials.value})


class Auth(Plugin[None]):
    def covet_authenticators(self):
        return [Tokens()]


async def test_the_tenant_of_a_call(house) -> None:
    async with house():
        pass
    async with run_service(
        by_default,
        fails,
        by_path,
        by_host,
        plugins={
            house.kind: house.classes[house.kind],
            "tenants": house.classes["tenants"],
            "auth": Auth,
        },
        config={**house.tables(key="claim:tenant"), "auth": {}},
        directory=house.folder,
    ) as client:
        for _ in range(2):
            for name in ("acme", "zeta"):
                mine = {"authorization": f"Bearer {name}"}
                assert (await client.get("/claim", headers=mine)).json() == name
                assert (await client.post("/fails", headers=mine)).status == 500
                other = "zeta" if name == "acme" else "acme"
                assert (await client.get(f"/shops/{other}", headers=mine)).json() == other
                host = {"host": f"{name}.shop.example"}
                assert (await client.get("/host", headers=host)).json() == name
        assert (await client.get("/claim")).status == 422
        nobody = await client.get("/claim", headers={"authorization": "Bearer nobody"})
        assert nobody.status == 404
        assert nobody.problem["detail"] == "there is no such tenant"
        assert (await client.get("/shops/nobody")).status == 404
        assert (await client.get("/host", headers={"host": "shop.example"})).status == 422
