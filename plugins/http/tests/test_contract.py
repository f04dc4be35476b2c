"""Contract mode: an answer that the document does not announce fails the test."""

from __future__ import annotations

import gzip
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

import covet_http as http
from covet_kernel import ConfigurationError, LifecycleError, flatten
from covet_kernel.contracts import Call, Layer, Operation, Phase
from covet_operations import Conflict, NotFound, RateLimited, operation

CONTRACT = {"openapi": {"contract": True}}


class Book(BaseModel):
    id: int = Field(ge=1)
    title: str


class NoSuchBook(NotFound):
    """There is no such book."""

    book_id: int


class Sold(Conflict):
    """It is sold."""


@operation(errors=(NoSuchBook,))
@http.get("/books/{id}")
async def find(id: int, request: http.Request) -> Book:
    if id == 5:
        request.response.status = 203
    if id == 6:
        request.response.content_type = b"text/plain"
    if id in (1, 5, 6):
        return Book(id=id, title="Emma")
    if id == 2:
        return Book.model_construct(id=2)
    if id == 3:
        return Book.model_construct(id=0, title="Emma")
    if id == 4:
        raise Sold("of all times this one")
    if id == 7:
        return Book.model_construct(id=7, title="\u20ac")
    if id == 8:
        raise RuntimeError("a bug is announced: it is 500")
    raise NoSuchBook("no", book_id=id)


@http.delete("/books/{id}")
async def remove(id: int) -> None: ...


@http.get("/stream")
async def stream(wrong: bool = False) -> AsyncIterator[Book]:
    yield Book(id=1, title="Emma")
    if wrong:
        yield Book.model_construct(id=-1, title="no")


BROKEN = {
    2: 'a body of another shape: the whole: "title" is a required property',
    3: "a body of another shape: ['id']: 0 is less than the minimum of 1",
    4: "answers 409, and only 200, 400, 404, 422, 500, 503, 504 are declared: it is the error 'sold'",
    5: "answers 203, and only 200,",
    6: "answers 200 with text/plain; declared is application/json",
}


async def broken(web: Any, *targets: str, functions: Any = (find,), **more: Any) -> tuple[str, Any]:
    """What the service says when it stops, and its last answer."""
    answer = None
    with pytest.raises(ExceptionGroup) as caught:
        async with web.serving(*functions, http=CONTRACT, **more) as service:
            for target in targets:
                answer = await service.ask("GET", target)
    (error,) = flatten(caught.value)
    assert isinstance(error, LifecycleError)
    assert error.code == "COVET-HTTP-CONTRACT-BROKEN"
    return error.problem, answer


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("number", BROKEN)
async def test_what_is_not_announced_fails(web: Any, number: int) -> None:
    problem, answer = await broken(web, f"/books/{number}")
    assert answer.status == 500
    assert answer.json["code"] == "contract-broken"
    assert answer.json["detail"].startswith("GET /books/{id} answers ")
    assert BROKEN[number] in answer.json["detail"]
    assert BROKEN[number] in problem


async def test_what_is_announced_passes(web: Any) -> None:
    async with web.serving(find, remove, stream, http=CONTRACT) as service:
        found = {
            target: (await service.ask("GET", target)).status
            for target in ("/books/1", "/books/7", "/books/8", "/books/9", "/books/x", "/stream")
        }
        head = await service.ask("HEAD", "/books/1")
        gone = await service.ask("DELETE", "/books/1")
        page = await service.ask("GET", "/docs")
        whole = await service.ask("GET", "/openapi.json")
    assert list(found.values()) == [200, 200, 500, 404, 422, 200]
    assert (head.status, gone.status, page.status, whole.status) == (200, 204, 200, 200)


async def test_answers_of_every_form_pass(web: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")

    @http.get("/csv", media_type="text/csv")
    def csv() -> str:
        return "a"

    @http.get("/raw", media_type="application/octet-stream")
    async def raw() -> AsyncIterator[bytes]:
        yield b"\xff"

    @http.get("/to")
    async def to() -> http.Redirect:
        return http.Redirect("/csv")

    @http.get("/a")
    async def file() -> http.File:
        return http.File(tmp_path / "a.txt")

    @http.get("/any")
    async def content() -> http.Content:
        return http.Content("a", "text/plain")

    functions = (csv, raw, to, file, content, events)
    async with web.serving(*functions, http=CONTRACT) as service:
        for path, status in ("/csv", 200), ("/raw", 200), ("/to", 303), ("/a", 200), ("/any", 200):
            assert (await service.ask("GET", path)).status == status, path
        for value, status in (("bytes=0-0", 206), ("bytes=9-", 416)):
            assert (await service.ask("GET", "/a", headers={"Range": value})).status == status
        answer = await service.ask("GET", "/events")
    assert answer.body == b"data: hello\n\n" + b'data: {"id":1,"title":"Emma"}\n\n' * 2


@http.get("/events")
async def events(wrong: bool = False) -> AsyncIterator[http.Event[Book] | Book]:
    yield http.Event(text="hello")
    yield http.Event(Book(id=1, title="Emma"))
    yield Book(id=1, title="Emma")
    if wrong:
        yield http.Event(Book.model_construct(id=-1, title="no"))


async def test_the_data_of_events_is_looked_at(web: Any) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with web.serving(events, http=CONTRACT) as service, service.connect() as client:
            await client.send(b"GET /events?wrong=true HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"no" not in (await client.until_closed()).partition(b"\r\n\r\n")[2]
    assert "sends an item of another shape: ['id']: -1 is less" in str(flatten(caught.value)[0])


async def test_items_of_streams_are_looked_at(web: Any) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with web.serving(stream, http=CONTRACT) as service, service.connect() as client:
            await client.send(b"GET /stream?wrong=true HTTP/1.1\r\nHost: a\r\n\r\n")
            got = await client.until_closed()
    assert b'"title":"Emma"' in got
    assert b"no" not in got.partition(b"\r\n\r\n")[2]
    assert "sends an item of another shape: ['id']: -1 is less" in str(flatten(caught.value)[0])


async def test_everything_broken_is_told_once(web: Any) -> None:
    targets = [f"/books/{number}" for number in (4, 4, 5, 4, 5)]
    problem, _ = await broken(web, *targets)
    assert problem.count("answers 409") == problem.count("answers 203") == 1


class Changing:
    """Stands around the call, as compression and limits do."""

    name, phase, after, before = "changing", Phase.OBSERVE, (), ()

    def __init__(self, *, says: bool, body: bytes = b"", error: Exception | None = None) -> None:
        self.error, self.body = error, body
        if says:
            self.describe = lambda description: description.error(RateLimited)

    def bind(self, operation: Operation, binding: Any) -> Layer | None:
        async def around(call: Call, next: Any) -> Any:
            result = await next(call)
            if self.error is not None:
                raise self.error
            call.body = gzip.compress(self.body or bytes(call.body))
            assert isinstance(call, http.Request)
            call.response.add("content-encoding", "gzip")
            return result

        return Layer(around=around)


def interceptor(web: Any, **more: Any) -> dict[str, Any]:
    return {"more": web.plugin_of(covet_interceptors=lambda self: [Changing(**more)])}


async def test_errors_of_interceptors_are_declared_by_them(web: Any) -> None:
    plugins = interceptor(web, says=True, error=RateLimited("slowly"))
    async with web.serving(find, http=CONTRACT, plugins=plugins) as service:
        assert (await service.ask("GET", "/books/1")).status == 429
    plugins = interceptor(web, says=False, error=RateLimited("slowly"))
    problem, _ = await broken(web, "/books/1", plugins=plugins)
    assert "it is the error 'rate-limited'" in problem


async def test_what_is_encoded_is_looked_into(web: Any) -> None:
    async with web.serving(find, http=CONTRACT, plugins=interceptor(web, says=True)) as service:
        assert (await service.ask("GET", "/books/1")).status == 200
    plugins = interceptor(web, says=True, body=b"[]")
    problem, _ = await broken(web, "/books/1", plugins=plugins)
    assert '[] is not of type "object"' in problem
    problem, _ = await broken(web, "/books/1", plugins=interceptor(web, says=True, body=b"{"))
    assert "that is no JSON" in problem


async def test_without_it_nothing_is_looked_at(web: Any) -> None:
    async with web.serving(find) as service:
        assert (await service.ask("GET", "/books/4")).status == 409


async def test_it_says_what_to_install(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    with pytest.raises((ConfigurationError, ExceptionGroup)) as caught:
        async with web.serving(find, http=CONTRACT):
            pass
    (error,) = flatten(caught.value)
    assert isinstance(error, ConfigurationError)
    assert error.code == "COVET-HTTP-CONTRACT-LIBRARY"


class Renamed(BaseModel):
    title: str = Field(validation_alias="in", serialization_alias="out")


@http.post("/renamed")
async def renamed(book: Renamed) -> Renamed:
    return book


@http.get("/renamed")
async def renamed_stream() -> AsyncIterator[Renamed]:
    yield Renamed.model_validate({"in": "Emma"})


async def test_members_are_sent_under_the_names_the_document_gives_them(web: Any) -> None:
    async with web.serving(renamed, renamed_stream, http=CONTRACT) as service:
        answer = await service.ask("POST", "/renamed", json={"in": "Emma"})
        stream = await service.ask("GET", "/renamed")
    assert (answer.status, answer.json) == (200, {"out": "Emma"})
    assert (stream.status, stream.body) == (200, b'{"out":"Emma"}\n')
