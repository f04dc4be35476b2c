"""Queries and mutations through HTTP: what is answered, and what where something fails."""

from __future__ import annotations

from typing import Any

import anyio
import graphql_shop as shop
import pytest
from graphql_serving import ask, serving, until

from covet_kernel import Plugin
from covet_kernel.contracts import Credentials, Principal


async def test_objects_lists_enums_and_aliases(server: str) -> None:
    async with serving(server=server) as client:
        found = await ask(
            client, "{ books(count: 1) { n: id title genre priceCents tags weight } }"
        )
        assert found == {
            "data": {
                "books": [
                    {
                        "n": 0, "title": "Book 0", "genre": "SEA", "priceCents": 100, "tags": [],
                        "weight": None,
                    }
                ]
            }
        }  # fmt: skip


async def test_methods_arguments_and_variables() -> None:
    async with serving() as client:
        query = "query($t: Int!) { book(id: 7) { shout(times: $t) later } }"
        assert await ask(client, query, variables={"t": 2}) == {
            "data": {"book": {"shout": "ONEONE", "later": "One"}}
        }
        wrong = await ask(client, query, variables={"t": 4})
        assert wrong["data"] == {"book": None}
        assert wrong["errors"][0]["extensions"]["code"] == "invalid"
        assert wrong["errors"][0]["path"] == ["book", "shout"]


async def test_interfaces_unions_and_fragments() -> None:
    async with serving() as client:
        query = """
            { things { __typename id ...B ... on Map { scale } }
              found { __typename ... on Thing { title } ... on Map { scale } } }
            fragment B on Book { genre }
        """
        assert (await ask(client, query))["data"] == {
            "things": [
                {"__typename": "Book", "id": 1, "genre": "SEA"},
                {"__typename": "Map", "id": 2, "scale": "1.50"},
            ],
            "found": [
                {"__typename": "Book", "title": "A"},
                None,
                {"__typename": "Map", "title": "B", "scale": "1.50"},
            ],
        }


async def test_what_many_objects_need_is_loaded_once() -> None:
    async with serving() as client:
        query = (
            "{ books(count: 20) { author { name works(limit: 1) { author { id } } } authorName } }"
        )
        data = (await ask(client, query))["data"]
        assert data["books"][4] == {
            "author": {"name": "Author 1", "works": [{"author": {"id": 1}}]},
            "authorName": "Author 1",
        }
        assert shop.LOADED == [[0, 1, 2]]


async def test_loads_of_one_level_are_one_batch_and_those_below_the_next() -> None:
    async with serving() as client:
        query = "{ a: books { author { id } } b: book(id: 5) { author { id } } c: book(id: 99) { author { id } } }"
        data = (await ask(client, query))["data"]
        assert data["b"] == {"author": {"id": 5}}
        assert data["c"] == {"author": None}
        assert sorted(key for keys in shop.LOADED for key in keys) == [0, 1, 2, 5, 99]


async def test_input_objects_defaults_and_models_beside_other_arguments() -> None:
    async with serving() as client:
        mutation = """
            mutation($lines: [LineInput!]!) {
              placeOrder(lines: $lines) { lines { bookId copies } note moment }
              addBook(new: {bookId: 3}) { id genre }
              sea: addBook(new: {bookId: 4}, genre: SEA) { id genre }
            }
        """
        found = await ask(
            client, mutation, variables={"lines": [{"bookId": 1}, {"bookId": 2, "copies": 5}]}
        )
        assert found["data"] == {
            "placeOrder": {
                "lines": [{"bookId": 1, "copies": 1}, {"bookId": 2, "copies": 5}],
                "note": "",
                "moment": "2026-11-29",
            },
            "addBook": {"id": 3, "genre": "LAND"},
            "sea": {"id": 4, "genre": "SEA"},
        }


async def test_mutations_run_one_behind_the_other() -> None:
    async with serving() as client:
        query = "mutation { " + " ".join(f"t{each}: tick" for each in range(10)) + " }"
        data = (await ask(client, query))["data"]
        assert list(data.items()) == [(f"t{each}", each + 1) for each in range(10)]


async def test_errors_come_from_the_one_registry() -> None:
    async with serving() as client:
        found = await ask(client, "{ book(id: 0) { id } }")
        assert found == {
            "data": {"book": None},
            "errors": [
                {
                    "message": "there is no book 0",
                    "path": ["book"],
                    "locations": [{"line": 1, "column": 3}],
                    "extensions": {"code": "no-such-book", "book_id": 0},
                }
            ],
        }
        mutation = "mutation { placeOrder(lines: [{bookId: 1, copies: 10}]) { note } }"
        sold = await ask(client, mutation)
        assert sold["data"] is None
        assert sold["errors"][0]["extensions"] == {"code": "sold-out"}
        mutation = "mutation { placeOrder(lines: [{bookId: 1, copies: 0}]) { note } }"
        invalid = (await ask(client, mutation))["errors"][0]["extensions"]
        assert invalid["code"] == "invalid"
        assert invalid["errors"][0]["loc"] == ["arguments", "lines", 0, "copies"]


async def test_a_bug_tells_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as client:
        found = await ask(client, "{ books(count: 2) { id broken } }")
        assert found["data"] is None
        assert len(found["errors"]) == 1, "what is inside of null is not reported again"
        assert found["errors"][0]["extensions"] == {"code": "internal"}
        assert "1234" not in str(found)
        assert "1234" in caplog.text


async def test_null_goes_where_it_may_stand() -> None:
    async with serving() as client:
        found = await ask(client, "{ books(count: 2) { id maybe } }")
        assert found["data"] == {"books": [{"id": 0, "maybe": None}, {"id": 1, "maybe": None}]}
        assert [each["path"] for each in found["errors"]] == [
            ["books", 0, "maybe"], ["books", 1, "maybe"],
        ]  # fmt: skip


class Tokens(Plugin[None]):
    """Takes names for tokens, and counts how often it is asked."""

    asked = 0

    def covet_authenticators(self) -> list[Any]:
        return [self]

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        Tokens.asked += 1
        if credentials.value == "bad":
            return None
        return Principal(id=credentials.value, permissions=frozenset({credentials.value}))


async def test_permissions_are_asked_field_by_field_and_the_caller_is_found_once() -> None:
    async with serving(plugins={"tokens": Tokens}) as client:
        query = "{ secret again: secret who }"
        found = await ask(client, query)
        assert found["data"] == {"secret": None, "again": None, "who": ""}
        assert {each["extensions"]["code"] for each in found["errors"]} == {"unauthenticated"}
        other = await ask(client, query, headers={"authorization": "Bearer other"})
        assert {each["extensions"]["code"] for each in other["errors"]} == {"forbidden"}
        Tokens.asked = 0
        headers = {"authorization": "Bearer books:secret", "x-name": "me"}
        told = await ask(client, "mutation { a: tick b: tick c: tick }", headers=headers)
        assert told == {"data": {"a": 1, "b": 2, "c": 3}}
        assert Tokens.asked == 1
        told = await ask(client, query, headers=headers)
        assert told == {"data": {"secret": "told", "again": "told", "who": "me"}}


async def test_a_client_that_leaves_cancels_what_it_asked(server: str) -> None:
    async with serving(server=server) as client:
        raw = client.encode("POST", "/graphql", json={"query": "{ slow other: slow }"})
        async with client.connect() as connection:
            await connection.send(raw)
            await until(lambda: len(shop.STARTED) == 2)
            await connection.reset()
        await until(lambda: shop.ENDED == ["slow", "slow"])


async def test_deadlines_of_operations_hold_for_fields() -> None:
    import covet_graphql as graphql
    from covet_operations import operation

    @operation(deadline=0.01)
    @graphql.query(nullable=True)
    async def late() -> str:
        await anyio.sleep_forever()
        return ""

    async with serving(late) as client:
        found = await ask(client, "{ late who }")
        assert found["data"] == {"late": None, "who": ""}
        assert found["errors"][0]["extensions"]["code"] == "deadline-exceeded"
