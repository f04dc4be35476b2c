"""Subscriptions as server-sent events, in both modes of graphql-sse."""

from __future__ import annotations

import json
from typing import Any

import anyio
import anyio.abc
import graphql_shop as shop
import pytest
from graphql_serving import listening, serving, until

from covet_http.testing import Client, ServerSentEvent

PATH = "/graphql/stream"
TOKEN = "x-graphql-event-stream-token"


def read(event: ServerSentEvent) -> tuple[str, Any]:
    return event.event, json.loads(event.data) if event.data else None


async def events(client: Client, query: str, method: str = "POST") -> list[tuple[str, Any]]:
    asked: Any = {"json": {"query": query}} if method == "POST" else {"params": {"query": query}}
    async with client.stream(method, PATH, **asked) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream"
        return [read(each) async for each in answer.events()]


async def test_an_operation_of_its_own(server: str) -> None:
    async with serving(server=server) as client:
        query = "subscription { arrivals { id author { name } } }"
        for method in ("POST", "GET"):
            assert await events(client, query, method) == [
                ("next", {"data": {"arrivals": {"id": 0, "author": {"name": "Author 0"}}}}),
                ("next", {"data": {"arrivals": {"id": 1, "author": {"name": "Author 1"}}}}),
                ("complete", None),
            ]
        assert shop.ENDED == ["arrivals"] * 2
        assert await events(client, "{ who }", "GET") == [
            ("next", {"data": {"who": ""}}),
            ("complete", None),
        ]
        by_get = await client.get(PATH, params={"query": "mutation { tick }"})
        assert by_get.status == 400
        assert shop.TICKS == []


async def test_what_goes_wrong_is_said_and_ends_the_stream() -> None:
    async with serving() as client:
        bad = await events(client, "subscription { nothing }")
        assert [name for name, _ in bad] == ["next", "complete"]
        assert bad[0][1]["errors"][0]["extensions"]["code"] == "graphql-invalid"
        failing = await events(client, "subscription { arrivals(count: 1, fail: true) { id } }")
        assert failing[1][1] == {
            "errors": [{"message": "nothing arrives any more", "extensions": {"code": "sold-out"}}]
        }
        assert failing[2] == ("complete", None)
        null = await events(client, "subscription { arrivals(count: 1) { id broken } }")
        assert null[0][1]["data"] is None
        for body in (b"{", b"[]"):
            headers = {"content-type": "application/json"}
            assert (await client.post(PATH, content=body, headers=headers)).status == 400


async def test_a_client_that_leaves_ends_the_source(server: str) -> None:
    async with serving(server=server) as client:
        query = {"query": "subscription { arrivals(count: 1000, pause: 0.001) { id } }"}
        async with client.stream("POST", PATH, json=query) as answer:
            async for _ in answer.events():
                break
        await until(lambda: shop.ENDED == ["arrivals"])


async def test_a_source_that_says_nothing_ends_with_its_client(server: str) -> None:
    async with serving(server=server) as client:
        query = {"query": "subscription { arrivals(pause: 3600) { id } }"}
        async with client.stream("POST", PATH, json=query) as answer:
            async for _ in answer.events():
                break
        await until(lambda: shop.ENDED == ["arrivals"])


async def test_a_service_that_stops_ends_streams_without_calling_them_complete(server: str) -> None:
    # So that clients come back to whoever serves then.
    got = b""
    body = json.dumps({"query": "subscription { arrivals(pause: 3600) { id } }"}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"

    async def rest(stream: anyio.abc.SocketStream) -> None:
        nonlocal got
        async with stream:
            await stream.send(head.encode() + body)
            async for each in stream:
                got += each

    with anyio.fail_after(30):
        async with (
            anyio.create_task_group() as tasks,
            listening(server) as url,
        ):
            port = int(url.rpartition(":")[2])
            tasks.start_soon(rest, await anyio.connect_tcp("127.0.0.1", port))
            await until(lambda: b"event: next" in got)
    assert shop.ENDED == ["arrivals"]
    assert b"event: complete" not in got
    assert got.endswith(b"\r\n0\r\n\r\n")


async def test_several_operations_on_one_stream(server: str) -> None:
    async with serving(server=server) as client:
        reserved = await client.put(PATH)
        assert reserved.status == 201
        headers = {TOKEN: reserved.text}
        got: list[tuple[str, Any]] = []

        async def begin(name: Any, query: str) -> int:
            asked = {"query": query, "extensions": {"operationId": name}}
            return (await client.post(PATH, json=asked, headers=headers)).status

        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                async with client.stream("GET", f"{PATH}?token={reserved.text}") as answer:
                    async for each in answer.events():
                        got.extend([read(each)])

            tasks.start_soon(listen)
            assert await begin("a", "subscription { arrivals { id } }") == 202
            assert await begin("long", "subscription { arrivals(pause: 3600) { id } }") == 202
            assert await begin("long", "{ who }") == 409
            assert await begin("q", "{ who }") == 202
            assert await begin("bad", "{ nobody }") == 400
            assert await begin(None, "{ who }") == 400
            await until(lambda: len(got) == 6)
            assert [
                each[1]["payload"]["data"]["arrivals"]["id"]
                for each in got
                if each[1]["id"] == "a" and each[0] == "next"
            ] == [0, 1]
            assert ("next", {"id": "q", "payload": {"data": {"who": ""}}}) in got
            assert ("complete", {"id": "q"}) in got
            again = await client.get(PATH, headers=headers)
            assert again.status == 409
            ended = await client.delete(f"{PATH}?operationId=long", headers=headers)
            assert ended.status == 200
            await until(lambda: len(shop.ENDED) == 2)
            tasks.cancel_scope.cancel()
        await until_gone(client, headers)


async def until_gone(client: Client, headers: dict[str, str]) -> None:
    """Return when a stream that nobody reads any more is forgotten."""
    asked = {"query": "{ who }", "extensions": {"operationId": "z"}}
    with anyio.fail_after(20):
        while (await client.post(PATH, json=asked, headers=headers)).status != 404:
            await anyio.sleep(0.001)


async def test_operations_of_one_stream_are_bounded() -> None:
    async with serving(max_subscriptions=2) as client:
        token = (await client.put(PATH)).text
        asked: dict[str, Any] = {"query": "{ who }"}
        statuses = []
        for each in range(3):
            asked["extensions"] = {"operationId": f"o{each}"}
            answer = await client.post(PATH, json=asked, headers={TOKEN: token})
            statuses.append(answer.status)
        assert statuses == [202, 202, 429]


@pytest.mark.parametrize("path", ["", "/stream"])
async def test_the_path_is_the_configurations(path: str) -> None:
    async with serving(path="/api", stream_path=path) as client:
        assert (await client.get("/api", params={"query": "{ who }"})).status == 200
        assert (await client.post("/stream", json={"query": "{ who }"})).status == (
            200 if path else 404
        )
