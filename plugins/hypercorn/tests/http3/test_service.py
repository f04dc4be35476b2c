"""A whole service over HTTP/3: what covet-http promises holds by this way too."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from pydantic import BaseModel

import covet_http as http
from covet_http import HTTP, Http
from covet_hypercorn import Hypercorn
from covet_kernel import Kernel, Plugin
from covet_kernel.contracts import Operation
from covet_kernel.testing import assembly_of
from covet_operations import Operations, operation, operations_of


class Book(BaseModel):
    title: str


class State:
    """What the operations have seen."""

    started: anyio.Event
    ended: anyio.Event
    release: anyio.Event


@http.get("/books/{id:int}")
def book(id: int) -> dict[str, int]:
    return {"id": id}


@http.post("/books")
def add(given: Book) -> Book:
    return given


@http.get("/ticks", stream="events")
async def ticks() -> AsyncIterator[int]:
    try:
        for number in range(1_000_000):
            yield number
            await anyio.sleep(0.001)
    finally:
        State.ended.set()


@http.get("/cancelled")
async def cancelled() -> None:
    State.started.set()
    try:
        await anyio.sleep_forever()
    finally:
        State.ended.set()


@operation(on_disconnect="finish")
@http.get("/finished")
async def finished() -> str:
    State.started.set()
    await State.release.wait()
    State.ended.set()
    return "done"


class Shop(Plugin[None]):
    """Has these operations."""

    book, add, ticks = staticmethod(book), staticmethod(add), staticmethod(ticks)
    cancelled, finished = staticmethod(cancelled), staticmethod(finished)

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)


CLASSES: dict[str, type[Plugin[Any]]] = {
    "operations": Operations,
    "http": Http,
    "hypercorn": Hypercorn,
    "shop": Shop,
}


def assembly(files: Any, **http_table: Any) -> Any:
    table = {"port": 0, "linger": 0.05, "server": "hypercorn", "tls": files.tls, **http_table}
    return assembly_of(CLASSES, {"http": table, "hypercorn": {"http3": True}})


def port_of(kernel: Kernel) -> int:
    return int(kernel.require(HTTP).urls[0].rpartition(":")[2])


@asynccontextmanager
async def service(http3: Any, **http_table: Any) -> AsyncIterator[tuple[Kernel, Any]]:
    """The service, and a client of it."""
    State.started, State.ended, State.release = anyio.Event(), anyio.Event(), anyio.Event()
    async with Kernel(assembly(http3.files, **http_table)).running() as kernel:
        async with http3.connected(port_of(kernel)) as client:
            yield kernel, client


async def test_operations_answer(http3: Any) -> None:
    async with service(http3) as (_, client):
        status, body = await client.ask("/books/7")
        assert (status, json.loads(body)) == (200, {"id": 7})
        data = b'{"title": "Dune"}'
        stream = client.request("/books", "POST", body=data, more=[("content-type", "application/json")])  # fmt: skip
        await client.until_over(stream)
        assert json.loads(client.body[stream]) == {"title": "Dune"}
        status, body = await client.ask("/books/x")
        assert (status, json.loads(body)["status"]) == (404, 404)
        assert (await client.ask("/books/7", "DELETE"))[0] == 405
        assert await client.ask("/books/7", "HEAD") == (200, b"")


async def test_a_body_beyond_the_limit_is_refused_before_it_has_come(http3: Any) -> None:
    async with service(http3, max_body_bytes=1000) as (_, client):
        more = [("content-type", "application/json"), ("content-length", "1000000")]
        for fields in (more, more[:1]):
            stream = client.request("/books", "POST", body=None, more=fields)
            client.data(stream, bytes(5000))
            await client.until_over(stream)
            assert client.status(stream) == 413
        assert (await client.ask("/books/7"))[0] == 200


async def test_events_arrive_as_they_happen_and_end_with_their_reader(http3: Any) -> None:
    async with service(http3) as (_, client):
        stream = client.request("/ticks")
        await client.until(lambda: client.body.get(stream, b"").count(b"data:") > 5)
        assert client.headers[stream][b"content-type"].startswith(b"text/event-stream")
        client.quic.stop_stream(stream, 0x10C)
        client.wake()
        await State.ended.wait()
        assert (await client.ask("/books/7"))[0] == 200


async def test_who_leaves_cancels_the_call_or_does_not_as_it_says(http3: Any) -> None:
    async with service(http3) as (_, client):
        stream = client.request("/cancelled")
        await State.started.wait()
        client.quic.stop_stream(stream, 0x10C)
        client.wake()
        await State.ended.wait()
        State.started, State.ended = anyio.Event(), anyio.Event()
        stream = client.request("/finished")
        await State.started.wait()
        client.quic.stop_stream(stream, 0x10C)
        client.wake()
        await client.until(lambda: stream in client.reset)
        State.release.set()
        await State.ended.wait()


async def test_a_reload_and_a_stop_lose_nothing(http3: Any) -> None:
    answered = 0

    async def ask(client: Any) -> None:
        nonlocal answered
        while len(client.goaway) < 2 and client.closed is None:
            stream = client.request("/books/7")
            await client.until_over_or_closed(stream)
            if stream not in client.ended:
                assert stream >= client.goaway[-1]
                return
            assert client.status(stream) == 200
            answered += 1

    async def visit(port: int) -> None:
        async with http3.connected(port) as client:
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(ask, client)
            assert await client.until_closed() == 0x100

    async with anyio.create_task_group() as tasks:
        async with Kernel(assembly(http3.files, linger=0.2)).running() as kernel:
            tasks.start_soon(visit, port_of(kernel))
            for _ in range(3):
                before = answered
                while answered < before + 5:
                    await anyio.sleep(0.001)
                await kernel.reload(assembly(http3.files, linger=0.2))
    assert answered > 15
