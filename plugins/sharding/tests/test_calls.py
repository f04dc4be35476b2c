"""A handler asks for the session of its shard: the key is found in the call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import pytest

import covet_http as http
from covet_http.testing import run_service
from covet_kernel import Plugin
from covet_kernel.contracts import Credentials, Principal, SqlDatabase, SqlSession
from covet_operations import operation
from covet_sharding import SHARD, SHARDS, Sharding, ShardKey, Shards, shard_by
from covet_sql.routing import KeySource
from covet_sqlite import Sqlite

INSERT = "INSERT INTO orders (id, customer, copies) VALUES (?, ?, ?)"


@operation(transaction="write")
@http.post("/customers/{customer}/orders/{id}")
async def order(
    customer: Annotated[int, ShardKey()],
    id: int,
    session: Annotated[SqlSession, SHARD],
    fails: bool = False,
) -> str:
    await session.execute(INSERT, (id, customer, 1))
    if fails:
        raise ZeroDivisionError
    return "ok"


@shard_by("header:X-Customer")
@http.get("/mine")
async def mine(database: Annotated[SqlDatabase, SHARD]) -> int:
    found: int = await database.fetch_value("SELECT count(*) FROM orders")
    return found


@shard_by("principal")
@http.get("/principal")
async def of_principal(shards: Shards, who: Principal) -> str:
    return f"{who.id}: {shards.of_call().bucket}"


@shard_by("claim:customer")
@http.get("/claim")
async def of_claim(shards: Shards, who: Principal | None) -> str:
    return shards.of_call().bucket


@shard_by("host:*.shop.example")
@http.get("/host")
async def of_host(shards: Shards) -> str:
    return f"{shards.key.get()}"


@http.get("/default")
async def of_default(shards: Shards) -> str:
    return f"{shards.key.get()}"


@shard_by("input:customer")
@http.get("/bucket/{customer}")
async def bucket(customer: str, shards: Shards) -> str:
    return shards.of_call().bucket


class Tokens:
    """A bearer token is an id."""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        return Principal(id=credentials.value, claims={"customer": credentials.value})


class Auth(Plugin[None]):
    def covet_authenticators(self):
        return [Tokens()]


@asynccontextmanager
async def served(files, **config) -> AsyncIterator[object]:
    operations = [order, mine, of_principal, of_claim, of_host, of_default, bucket]
    async with files.with_tables():
        pass
    async with run_service(
        *operations,
        plugins={"sqlite": Sqlite, "sharding": Sharding, "auth": Auth},
        config={**files.config(**config), "auth": {}},
        directory=files.folder,
    ) as client:
        yield client


async def test_a_handler_has_the_session_of_its_shard(files) -> None:
    async with served(files) as client:
        for number in range(12):
            answer = await client.post(f"/customers/{number}/orders/{number}")
            assert answer.status == 200, answer.text
        assert (await client.post("/customers/1/orders/100", json={"fails": True})).status == 500
        assert (await client.post("/customers/1/orders/1")).status == 409
        counts = [
            (await client.get("/mine", headers={"x-customer": str(each)})).json()
            for each in range(12)
        ]
        assert len(set(counts)) == 2
        assert sum(set(counts)) == 12


async def test_a_call_without_a_key_is_refused_and_has_no_ones_key(files) -> None:
    async with served(files) as client:
        assert (await client.get("/mine", headers={"x-customer": "1"})).status == 200
        for headers in ({}, {"x-customer": ""}, {"x-customer": "x" * 191}):
            answer = await client.get("/mine", headers=headers)
            assert answer.status == 422
            assert "no key" in answer.problem["detail"]
        assert (await client.get("/default")).json() == "None"


async def test_the_key_may_be_the_callers(files) -> None:
    async with served(files) as client:
        expected = (await client.get("/bucket/42")).json()
        token = {"authorization": "Bearer 42"}
        assert (await client.get("/principal", headers=token)).json() == f"42: {expected}"
        assert (await client.get("/claim", headers=token)).json() == expected
        assert (await client.get("/claim")).status == 422


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("Acme.shop.example", "acme"),
        ("acme.shop.example:8000", "acme"),
        ("a.b.shop.example", "None"),
        ("shop.example", "None"),
        ("acme.shop.example.evil.example", "None"),
        ("-acme.shop.example", "None"),
    ],
)
async def test_the_key_may_be_a_label_of_the_host(files, host, key) -> None:
    async with served(files) as client:
        assert (await client.get("/host", headers={"host": host})).json() == key


async def test_operations_that_say_nothing_have_the_configured_place(files) -> None:
    async with served(files, key="header:x-shop") as client:
        assert (await client.get("/default", headers={"x-shop": "a"})).json() == "a"
        assert (await client.get("/default")).json() == "None"


@pytest.mark.parametrize(
    "place", ["", "input", "input:", "cookie:x", "host:x", "principal:x", "host:*/x"]
)
def test_places_that_are_none(place) -> None:
    with pytest.raises(ValueError, match="is no place in a call"):
        KeySource.parse(place)


def test_tokens() -> None:
    assert SHARDS.id == "sharding.shards"
    assert SHARD.id == "sql.database/shard"
