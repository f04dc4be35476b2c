"""Newline-delimited JSON out and in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

import covet_http as http
from covet_operations import Conflict

CLOSED: list[str] = []


class Level(BaseModel):
    left: int


@http.get("/count/{to}")
async def count(to: int) -> AsyncIterator[Level]:
    try:
        for left in range(to):
            yield Level(left=left)
    finally:
        CLOSED.append("count")


@http.get("/endless")
async def endless() -> AsyncIterator[Level]:
    try:
        left = 0
        while True:
            yield Level(left=left)
            left += 1
    finally:
        CLOSED.append("endless")


@http.get("/refused")
async def refused() -> AsyncIterator[Level]:
    raise Conflict("not now")
    yield Level(left=0)


@http.get("/broken")
async def broken() -> AsyncIterator[Level]:
    yield Level(left=1)
    raise Conflict("too late")


@http.post("/sum")
async def add(levels: AsyncIterator[Level], start: int = 0) -> int:
    total = start
    async for level in levels:
        total += level.left
    return total


@pytest.fixture(autouse=True)
def _nothing_closed() -> None:
    CLOSED.clear()


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


FUNCTIONS = (count, endless, refused, broken, add)
NDJSON = {"Content-Type": "application/x-ndjson"}


async def test_a_stream_out(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask("GET", "/count/3")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert [json.loads(line) for line in answer.body.splitlines()] == [
            {"left": 0},
            {"left": 1},
            {"left": 2},
        ]
        answer = await client.ask("GET", "/count/0")
        assert (answer.status, answer.body) == (200, b"")
        answer = await client.ask("HEAD", "/count/3")
        assert answer.status == 200
        assert (await client.ask("GET", "/count/1")).status == 200
    assert CLOSED == ["count"] * 4


async def test_failure_before_the_first_item_is_a_status(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service:
        answer = await service.ask("GET", "/refused")
    assert answer.status == 409
    assert answer.json["detail"] == "not now"


async def test_failure_after_it_never_looks_complete(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        await client.send(b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n")
        data = await client.until_closed()
    assert b'{"left":1}' in data
    assert not data.endswith(b"0\r\n\r\n")
    assert b"too late" not in data


async def test_a_client_that_leaves_ends_the_stream(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service:
        async with service.connect() as client:
            await client.send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.stream.receive(100)
        with anyio.fail_after(10):
            while not CLOSED:
                await anyio.sleep(0.01)
    assert CLOSED == ["endless"]


async def test_a_slow_reader_holds_the_stream_back(web: Any) -> None:
    produced = 0

    @http.get("/big")
    async def big() -> AsyncIterator[str]:
        nonlocal produced
        for _ in range(10_000):
            produced += 1
            yield "x" * 10_000

    async with web.serving(big) as service, service.connect() as client:
        await client.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.stream.receive(100)
        await anyio.sleep(0.3)
        before = produced
        await anyio.sleep(0.2)
        assert produced == before < 9_000


@pytest.mark.parametrize(
    ("body", "total"),
    [
        (b"", 0),
        (lines({"left": 1}, {"left": 2}), 3),
        (lines({"left": 1}) + b"\n\r\n" + b'{"left":2}', 3),
    ],
)
async def test_a_stream_in(web: Any, body: bytes, total: int) -> None:
    async with web.serving(*FUNCTIONS) as service:
        answer = await service.ask("POST", "/sum?start=10", body=body, headers=NDJSON)
    assert answer.json == total + 10


async def test_a_stream_in_is_read_as_it_comes(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        await client.send(
            b"POST /sum HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        body = lines(*({"left": n} for n in range(50)))
        for byte in body:
            await client.send(b"1\r\n" + bytes([byte]) + b"\r\n")
        await client.send(b"0\r\n\r\n")
        assert (await client.answer()).json == sum(range(50))


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (lines({"left": 1}, {"left": "x"}), NDJSON, 422),
        (b'{"left":1}\n{', NDJSON, 400),
        (lines({"left": 1}), {"Content-Type": "application/json"}, 415),
        (b'{"left":1' + b" " * 5000, NDJSON, 413),
        (lines({"left": 1}) + b" " * 5000 + b"\n", NDJSON, 413),
    ],
)
async def test_a_bad_stream_in(web: Any, body: bytes, headers: dict[str, str], status: int) -> None:
    async with web.serving(*FUNCTIONS, http={"max_body_bytes": 1000}) as service:
        answer = await service.ask("POST", "/sum", body=body, headers=headers)
        assert answer.status == status
        assert (await service.ask("GET", "/count/1")).status == 200


@pytest.mark.parametrize(
    ("target", "ended"), [("/count/3", anyio.EndOfStream), ("/broken", anyio.BrokenResourceError)]
)
async def test_half_a_stream_looks_cut_where_the_end_of_the_connection_is_its_end(
    web: Any, target: str, ended: type[Exception]
) -> None:
    async with web.serving(count, broken) as service, service.connect() as client:
        await client.send(f"GET {target} HTTP/1.0\r\n\r\n".encode())
        with pytest.raises(ended):
            while True:
                await client.stream.receive()
