"""The engine answers as covet-http's ASGI application does: status, fields and body."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory import compiled, request, serving
from portable import portable
from pydantic import BaseModel, Field
from services.http2 import Client

import covet_http as http
from covet_operations import Conflict, NotFound, RateLimited, operation

# What the server adds, and how it frames; everything else is the application's.
OURS = {"date", "connection", "transfer-encoding", "content-length"}


class Book(BaseModel):
    id: int = Field(ge=0)
    title: str = Field(max_length=20)


@http.get("/books/{id}")
def book(id: int, verbose: bool = False) -> Book:
    if id == 404:
        raise NotFound("no such book")
    return Book(id=id, title="verbose" if verbose else "plain")


@http.get("/books/latest")
async def latest() -> Book:
    return Book(id=1, title="latest")


@http.post("/books", status=201, location="/books/{id}")
async def create(given: Book) -> Book:
    if given.title == "taken":
        raise Conflict("that title is taken")
    await anyio.lowlevel.checkpoint()
    return given


@http.put("/books/{id}")
def replace(id: int, given: Book | None = None) -> Book:
    return given or Book(id=id, title="nothing")


@http.delete("/books/{id}")
async def remove(id: int) -> None:
    if id == 429:
        raise RateLimited("slow down", retry_after=7)
    await anyio.lowlevel.checkpoint()


@http.get("/shelves/{shelf}/{place}")
def shelf(shelf: str, place: str, tag: list[str] | None = None) -> list[str]:
    return [shelf, place, *(tag or [])]


@http.get("/stream/{to}")
async def stream(to: int) -> AsyncIterator[Book]:
    for number in range(to):
        yield Book(id=number, title="item")
    if to == 0:
        raise Conflict("nothing to stream")


@http.get("/bug")
def bug() -> None:
    raise ValueError("secret")


@operation(requires=("books:read",))
@http.get("/guarded")
def guarded() -> str:
    return "secret"


class Files:
    """The folder of `file`."""

    folder: Path


@http.get("/files/{name}")
async def file(name: str) -> http.File:
    return http.File(name, within=Files.folder, cache="no-store")


@http.get("/either/{which}")
def either(which: str) -> http.Redirect | http.Content | Book | None:
    if which == "elsewhere":
        return http.Redirect("/books/1", 307)
    if which == "text":
        return http.Content("text", "text/plain", status=203)
    return Book(id=7, title=which) if which == "book" else None


@http.get("/table/{rows}", media_type="text/csv")
async def table(rows: int) -> AsyncIterator[str]:
    for row in range(rows):
        yield f"{row}\r\n"


@http.get("/events/{to}", stream="events")
async def events(to: int) -> AsyncIterator[Book]:
    for number in range(to):
        yield Book(id=number, title="event")
    if to == 0:
        raise Conflict("nothing to tell")


OPERATIONS = (
    book, latest, create, replace, remove, shelf, stream, bug, guarded, file, either, table, events,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _files(tmp_path_factory: pytest.TempPathFactory) -> None:
    Files.folder = tmp_path_factory.mktemp("files")
    for name, size in ("small.txt", 100), ("large.bin", 200_000), ("empty", 0):
        path = Files.folder / name
        path.write_bytes(bytes(n % 251 for n in range(size)))
        os.utime(path, (784111777, 784111777))


SEGMENT = st.one_of(
    st.sampled_from(["1", "0", "-5", "007", "404", "429", "latest", "x", "1.5", "a%20b", "%C3%A9"]),
    st.text(min_size=1, max_size=5)
    .map(lambda text: quote(text, safe=""))
    .filter(lambda text: text not in (".", "..") and "%00" not in text),
)
PATH = st.one_of(
    st.sampled_from(["/", "/books", "/books/", "/bug", "/guarded", "/nowhere", "/books/1/"]),
    SEGMENT.map(lambda one: f"/books/{one}"),
    st.tuples(SEGMENT, SEGMENT).map(lambda two: f"/shelves/{two[0]}/{two[1]}"),
    st.sampled_from(["/stream/0", "/stream/1", "/stream/3", "/stream/x"]),
    st.sampled_from(["/files/small.txt", "/files/large.bin", "/files/empty", "/files/none"]),
    st.sampled_from(["elsewhere", "text", "book", "nothing"]).map(lambda one: f"/either/{one}"),
    st.sampled_from(["/table/0", "/table/2", "/events/0", "/events/2", "/events/x"]),
)
MORE = st.sampled_from(
    [
        {},
        {},
        {"Range": "bytes=0-9"},
        {"Range": "bytes=-5", "If-Range": "Sun, 06 Nov 1994 08:49:37 GMT"},
        {"Range": "bytes=150000-"},
        {"Range": "bytes=9-3"},
        {"If-None-Match": "*"},
        {"If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"},
        {"If-Match": '"x"'},
    ]
)
QUERY = st.sampled_from(
    [
        "",
        "?",
        "?verbose=1",
        "?verbose=maybe",
        "?verbose=1&verbose=0",
        "?tag=a&tag=b%20c",
        "?%zz",
        "?x=%ff",
    ]
)
BODY = st.sampled_from(
    [
        b"",
        b"{}",
        b'{"id": 1, "title": "new"}',
        b'{"id": -1, "title": "new"}',
        b'{"id": 1, "title": "taken"}',
        b'{"id": 1, "title": "new", "extra": 1}',
        b'{"id": 1, "title": "much too long for any title"}',
        b"[1]",
        b"{",
        b"\xff",
        b'{"id": 1, "title": "' + b"x" * 2000 + b'"}',
    ]
)
METHOD = st.sampled_from(
    ["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"]
)
TYPE = st.sampled_from(
    [
        "application/json",
        "application/json",
        "text/plain",
        "application/x+json",
        "Application/JSON; a=b",
        "",
    ]
)
REQUEST = st.tuples(METHOD, PATH, QUERY, BODY, TYPE, MORE)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(st.lists(REQUEST, min_size=1, max_size=8))
def test_the_same_answers(backend: str, requests: list[Any]) -> None:
    async def main() -> None:
        config = {"max_body_bytes": 1000}
        async with compiled(*OPERATIONS, http=config) as application:
            async with serving(application, engine={"http2": True}) as engine:
                connection = engine.connect()
                streams = Client(engine.listener.connect())
                for method, path, query, body, kind, more in requests:
                    given = {"Content-Length": str(len(body))}
                    given |= {"Content-Type": kind} if kind else {}
                    status, fields, expected = await portable(
                        application, method, path + query, given | more, body
                    )
                    lines = f"Content-Length: {len(body)}\r\n"
                    lines += "".join(f"{name}: {value}\r\n" for name, value in more.items())
                    lines += f"Content-Type: {kind}\r\n" if kind else ""
                    head = f"{method} {path}{query} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"
                    if connection.closed:
                        connection = engine.connect()
                    await connection.send(head.encode() + body)
                    answer = await connection.answer(method)
                    if answer.closes:
                        await connection.until_closed()
                    if not body and status != 204:
                        assert int(answer.headers.get("content-length", "0")) == int(
                            fields.get("content-length", "0")
                        )
                    assert answer.status == status
                    assert answer.body == expected
                    said = {k: v for k, v in fields.items() if k not in OURS}
                    assert {k: v for k, v in answer.headers.items() if k not in OURS} == said

                    # And over HTTP/2.
                    asked = [(name.lower(), value) for name, value in {**given, **more}.items()]
                    stream = await streams.request(
                        path + query, method, body=body, more=asked, authority="localhost"
                    )
                    with anyio.fail_after(30):
                        await streams.until_over(stream)
                    assert streams.status[stream] == status
                    assert streams.body.get(stream, b"") == expected
                    found = {k.decode(): v.decode() for k, v in streams.fields[stream]}
                    assert {k: v for k, v in found.items() if k not in {*OURS, ":status"}} == said
                    length = answer.headers.get("content-length")
                    assert found.get("content-length") == length

    anyio.run(main, backend=backend)


def test_requests_are_written_as_meant() -> None:
    assert request("/x").startswith(b"GET /x HTTP/1.1\r\nHost: localhost\r\n")
