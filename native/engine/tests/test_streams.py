"""Streams out and in: credit, ends that show, and clients that leave in the middle."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory import memory, request
from pydantic import BaseModel
from wire import WireError, read_answer

import covet_http as http
from covet_kernel.testing import cancel_at_every_await
from covet_operations import Conflict, operation


class Number(BaseModel):
    n: int


@http.get("/count/{to}")
async def count(to: int, waits: bool = False) -> AsyncIterator[Number]:
    for n in range(to):
        if waits:
            await anyio.lowlevel.checkpoint()
        yield Number(n=n)


def lines(to: int) -> bytes:
    return b"".join(b'{"n":%d}\n' % n for n in range(to))


@pytest.mark.parametrize("query", ["", "?waits=true"])
async def test_items_are_lines(query: str) -> None:
    async with memory(count) as engine:
        connection = engine.connect()
        for to in (0, 1, 2, 500):
            answer = await connection.ask(f"/count/{to}{query}")
            assert answer.status == 200
            assert answer.headers["content-type"] == "application/x-ndjson"
            assert answer.headers["transfer-encoding"] == "chunked"
            assert answer.body == lines(to)
        # More than a client could be sent that does not read.
        answer = await connection.ask(f"/count/9000{query}", "HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert (await connection.ask("/count/1")).body == lines(1)


async def test_pipelined_streams_keep_their_order() -> None:
    async with memory(count) as engine:
        connection = engine.connect()
        await connection.send(
            request("/count/3?waits=true") + request("/count/2") + request("/count/1?waits=true")
        )
        for to in (3, 2, 1):
            assert (await connection.answer()).body == lines(to)


async def test_to_http_1_0_a_stream_ends_with_the_connection() -> None:
    async with memory(count) as engine:
        connection = engine.connect()
        await connection.send(b"GET /count/3 HTTP/1.0\r\n\r\n")
        data = bytearray(await connection.until_closed())
        assert read_answer(data, ended=True).body == lines(3)


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("after", [0, 1, 3])
async def test_a_failure_before_the_first_item_is_an_answer_and_later_a_cut(
    waits: bool, after: int, caplog: pytest.LogCaptureFixture
) -> None:
    @http.get("/it")
    async def it() -> AsyncIterator[Number]:
        for n in range(after):
            if waits:
                await anyio.lowlevel.checkpoint()
            yield Number(n=n)
        raise Conflict("no more")

    async with memory(it) as engine:
        connection = engine.connect()
        await connection.send(request("/it"))
        if after == 0:
            assert (await connection.answer()).status == 409
        else:
            data = bytearray(await connection.until_closed())
            assert b"0\r\n\r\n" not in data[-10:]
            with pytest.raises((WireError, Exception)):
                read_answer(data, ended=True)
        assert (await engine.ask("/nowhere")).status == 404
        assert int(engine.core.counters.in_flight) == 0


async def test_a_client_that_does_not_read_stops_the_stream() -> None:
    made = 0

    @http.get("/endless")
    async def endless() -> AsyncIterator[str]:
        nonlocal made
        while True:
            made += 1
            yield "x" * 1000

    async with memory(endless, engine={"high_water": 64 * 1024}) as engine:
        connection = engine.connect()
        await connection.send(request("/endless"))
        await engine.settle(100)
        before = made
        # The credit, and what the connection itself holds.
        assert 60 <= before <= 400
        await engine.settle(100)
        assert made == before
        for _ in range(200):
            connection.drain(8192)
            await anyio.lowlevel.checkpoint()
        assert made > before
        connection.leave()
        await engine.settle()
        assert not engine.core.live


async def test_others_have_their_turn_beside_a_stream() -> None:
    """A stream of small items to a client that reads does not keep the event loop for itself."""
    made = 0

    @http.get("/endless")
    async def endless() -> AsyncIterator[int]:
        nonlocal made
        while True:
            made += 1
            yield 1

    async with memory(endless) as engine:
        connection = engine.connect()
        await connection.send(request("/endless"))
        turns = 0
        while made < 3000:
            connection.drain()
            turns += 1
            await anyio.lowlevel.checkpoint()
        assert turns > 10


async def test_a_client_that_leaves_ends_the_stream() -> None:
    ended = []

    @http.get("/endless")
    async def endless(request: http.Request) -> AsyncIterator[int]:
        try:
            while True:
                await anyio.sleep(0.001)
                yield 1
        finally:
            ended.append(request.cause)

    async with memory(endless) as engine:
        connection = engine.connect()
        await connection.send(request("/endless"))
        await connection.until(b"1\n")
        connection.leave()
        await engine.until(lambda: ended)
        assert ended == ["disconnect"]
        await engine.settle()
        assert int(engine.core.counters.in_flight) == 0


async def test_a_stream_that_is_to_be_finished_goes_on_without_its_client() -> None:
    made = []

    @operation(on_disconnect="finish")
    @http.get("/ten")
    async def ten() -> AsyncIterator[str]:
        for n in range(10):
            await anyio.sleep(0.001)
            made.append(n)
            yield "x" * 100_000

    async with memory(ten) as engine:
        connection = engine.connect()
        await connection.send(request("/ten"))
        await engine.until(lambda: made)
        connection.leave()
        await engine.until(lambda: len(made) == 10)
        await engine.settle()
        assert int(engine.core.counters.in_flight) == 0


# Streams in.


@http.post("/sum")
async def total(numbers: AsyncIterator[Number]) -> int:
    found = 0
    async for each in numbers:
        found += each.n
    return found


NDJSON = "Content-Type: application/x-ndjson\r\n"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(
    st.lists(st.integers(0, 10**6), max_size=50),
    st.lists(st.integers(1, 200), min_size=1, max_size=20),
    st.booleans(),
)
def test_items_come_however_they_are_split(
    backend: str, numbers: list[int], sizes: list[int], chunked: bool
) -> None:
    async def main() -> None:
        body = b"".join(b'{"n": %d}\n' % n for n in numbers)
        head = "POST /sum HTTP/1.1\r\nHost: localhost\r\n" + NDJSON
        pieces = []
        at = place = 0
        while at < len(body):
            pieces.append(body[at : at + sizes[place % len(sizes)]])
            at += len(pieces[-1])
            place += 1
        if chunked:
            head += "Transfer-Encoding: chunked\r\n"
            pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]
        else:
            head += f"Content-Length: {len(body)}\r\n"
        async with memory(total) as engine:
            connection = engine.connect()
            await connection.send(head.encode() + b"\r\n")
            for piece in pieces:
                await connection.send(piece)
            assert (await connection.answer()).body == b"%d" % sum(numbers)

    anyio.run(main, backend=backend)


async def test_a_stream_in_that_breaks() -> None:
    ended: list[Any] = []

    @http.post("/it")
    async def it(numbers: AsyncIterator[Number], request: http.Request) -> None:
        try:
            async for _ in numbers:
                pass
        finally:
            ended.append(request.cause)

    async with memory(it) as engine:
        connection = engine.connect()
        head = f"POST /it HTTP/1.1\r\nHost: localhost\r\n{NDJSON}Transfer-Encoding: chunked\r\n\r\n"
        await connection.send(head.encode() + b'9\r\n{"n": 1}\n\r\n')
        await engine.settle()
        assert ended == []
        await connection.send(b"what?\r\n")
        await engine.until(lambda: ended)
        assert ended == ["disconnect"]
        await connection.until_closed()
        assert int(engine.core.counters.in_flight) == 0


async def test_an_item_that_does_not_fit() -> None:
    async with memory(total) as engine:
        connection = engine.connect()
        body = b'{"n": 1}\n{"n": "x"}\n'
        answer = await connection.ask("/sum", "POST", body, NDJSON)
        assert answer.status == 422
        assert json.loads(answer.body)["errors"][0]["loc"][0] == 1


async def test_both_ways_at_once() -> None:
    @http.post("/sizes")
    async def sizes(request: http.Request) -> AsyncIterator[int]:
        while piece := await request.read():
            yield len(piece)

    async with memory(sizes) as engine:
        connection = engine.connect()
        head = "POST /sizes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        await connection.send(head.encode())
        for n in range(1, 6):
            await connection.send(b"%x\r\n%b\r\n" % (n, b"x" * n))
            await connection.until(b"\r\n%d\n" % n)
        await connection.send(b"0\r\n\r\n")
        assert (await connection.answer()).body == b"1\n2\n3\n4\n5\n"


async def test_a_stream_cancelled_at_every_await() -> None:
    """Wherever its client leaves, the call ends and nothing of it is left."""
    async with memory(count) as engine:

        async def one() -> None:
            connection = engine.connect()
            try:
                answer = await connection.ask("/count/40?waits=true")
                assert answer.body == lines(40)
            finally:
                connection.leave()

        async def check() -> None:
            await engine.settle(60)
            assert not engine.core.live
            assert int(engine.core.counters.in_flight) == 0
            assert int(engine.core.counters.connections) == 0

        assert await cancel_at_every_await(one, check=check) > 3
