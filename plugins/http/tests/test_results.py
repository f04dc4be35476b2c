"""Results that are not JSON: text, bytes, contents of any type, redirects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import covet_http as http
from covet_kernel import ConfigurationError
from covet_operations import operation


class Book(BaseModel):
    id: int


@http.get("/csv", media_type="text/csv")
def table() -> str:
    return "id;title\r\n1;Ämne\r\n"


@http.get("/png", media_type="image/png")
async def picture() -> bytes:
    return b"\x89PNG\r\n"


@http.get("/hal/{id}", media_type="application/hal+json")
async def hal(id: int) -> Book:
    return Book(id=id)


@http.get("/hal-text", media_type="application/hal+json")
async def hal_text() -> str:
    return "a"


@http.get("/page/{how}")
async def page(how: str) -> http.Content | http.Redirect | Book | None:
    if how == "page":
        return http.Content("<p>ü</p>", "text/html")
    if how == "bytes":
        return http.Content(b"\xff", "text/plain", status=203)
    if how == "book":
        return Book(id=7)
    if how == "bad":
        return http.Content("x", "text/html\r\nset-cookie: a=b")
    if how == "nothing":
        return None
    return http.Redirect(f"/page/{how}")


@http.get("/pieces")
async def pieces(fail: bool = False, media_type: str = "a/b; c=d") -> http.Pieces | Book:
    async def send(piece: Any) -> None:
        await piece(b"one ")
        if fail:
            raise RuntimeError("the secret")
        await piece(b"two")

    return http.Pieces(send, media_type)


@http.get("/go")
async def go(to: str, external: bool = False, status: Any = 303) -> http.Redirect:
    return http.Redirect(to, int(status), external=external)  # type: ignore[arg-type]


@http.get("/back")
async def back(to: str = "") -> http.Redirect:
    return http.Redirect(to, otherwise="/home")


@http.post("/books", status=201, location="/books/{id}")
async def create(id: int) -> Book | http.Redirect:
    return http.Redirect("/taken") if id == 1 else Book(id=id)


@http.get("/lines", media_type="text/csv")
async def lines(fail: int = -1) -> AsyncIterator[str]:
    for number in range(3):
        if number == fail:
            raise ValueError("secret")
        yield f"{number};ü\r\n"


@http.get("/chunks", media_type="application/octet-stream")
async def chunks() -> AsyncIterator[bytes]:
    yield b""
    yield b"\x00\xff"
    yield b""
    yield b"\r\n"


FUNCTIONS = (table, picture, hal, hal_text, page, pieces, go, back, create, lines, chunks)


async def test_the_routes_own_type(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        for path, kind, body in (
            ("/csv", "text/csv; charset=utf-8", "id;title\r\n1;Ämne\r\n".encode()),
            ("/png", "image/png", b"\x89PNG\r\n"),
            ("/hal/7", "application/hal+json", b'{"id":7}'),
            ("/hal-text", "application/hal+json", b'"a"'),
        ):
            answer = await client.ask("GET", path)
            assert (answer.status, answer.headers["content-type"]) == (200, kind)
            assert answer.body == body
            answer = await client.ask("HEAD", path)
            assert answer.headers["content-length"] == str(len(body))


async def test_the_results_own_type(entry: Any) -> None:
    async with entry.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask("GET", "/page/page")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert (answer.status, answer.body) == (200, "<p>ü</p>".encode())
        answer = await client.ask("GET", "/page/bytes")
        assert answer.headers["content-type"] == "text/plain"
        assert (answer.status, answer.body) == (203, b"\xff")
        answer = await client.ask("GET", "/page/book")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json == {"id": 7}
        answer = await client.ask("GET", "/page/nothing")
        assert (answer.status, answer.body) == (204, b"")
        answer = await client.ask("GET", "/page/elsewhere")
        assert (answer.status, answer.body) == (303, b"")
        assert answer.headers["location"] == "/page/elsewhere"
        assert "content-type" not in answer.headers
        # bad input 39
        answer = await client.ask("GET", "/page/bad")
        assert (answer.status, answer.json["code"]) == (500, "internal")
        assert "set-cookie" not in answer.headers


async def test_a_redirect_in_place_of_what_was_made(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask("POST", "/books", json={"id": 5})
        assert (answer.status, answer.headers["location"]) == (201, "/books/5")
        answer = await client.ask("POST", "/books", json={"id": 1})
        assert (answer.status, answer.headers["location"]) == (303, "/taken")
        assert answer.body == b""


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example/x", "/\\evil.example", "\\\\evil.example", "https:evil.example", "evil.example",
        "https://evil.example", "javascript:alert(1)", "", "/a\r\nset-cookie: a=b", "/\t/evil.example",
        "/a b", "/é", "/\0", "/a\\b", "\t//evil.example", "///evil.example", "@evil.example", "?x",
    ],
)  # fmt: skip
def test_a_redirect_stays_on_this_server(to: str) -> None:
    # bad input 38, 39
    with pytest.raises(ValueError, match="no path on this server"):
        http.Redirect(to)
    assert http.Redirect(to, otherwise="/home").to == "/home"


async def test_a_target_that_a_client_gave(entry: Any) -> None:
    # bad input 38
    async with entry.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask("GET", "/go?to=//evil.example")
        assert (answer.status, answer.headers.get("location")) == (500, None)
        answer = await client.ask("GET", "/go?to=/x%0d%0aset-cookie:a=b")
        assert answer.status == 500
        assert "set-cookie" not in answer.headers
        answer = await client.ask("GET", "/back?to=//evil.example")
        assert (answer.status, answer.headers["location"]) == (303, "/home")
        answer = await client.ask("GET", "/back?to=/shelf%3Fpage=2")
        assert answer.headers["location"] == "/shelf?page=2"
        answer = await client.ask("GET", "/go?to=https://a.example/x&external=1&status=308")
        assert (answer.status, answer.headers["location"]) == (308, "https://a.example/x")
        assert (await client.ask("GET", "/go?to=/x&status=200")).status == 500


@given(st.text(max_size=12) | st.text(alphabet="/\\.:@evil\t?#%-", max_size=12))
def test_no_redirect_leads_off_the_server(to: str) -> None:
    # bad input 38
    try:
        redirect = http.Redirect(to)
    except ValueError:
        return
    # As browsers resolve it, which take a backslash for a slash.
    resolved = urlsplit(urljoin("https://shop.example/a/b", redirect.to.replace("\\", "/")))
    assert (resolved.scheme, resolved.netloc) == ("https", "shop.example")


@pytest.mark.parametrize(
    "to", ["/x", "ftp://a.example", "https://u:p@a.example", "https://", "http:x"]
)
def test_an_external_redirect_is_a_whole_url(to: str) -> None:
    with pytest.raises(ValueError, match="no https or http URL"):
        http.Redirect(to, external=True)


async def test_a_stream_that_is_not_json(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask("GET", "/lines")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.body == "0;ü\r\n1;ü\r\n2;ü\r\n".encode()
        answer = await client.ask("GET", "/chunks")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.body == b"\x00\xff\r\n"
        answer = await client.ask("GET", "/lines?fail=0")
        assert (answer.status, answer.json["code"]) == (500, "internal")


async def test_a_stream_that_fails_never_looks_complete(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        await client.send(b"GET /lines?fail=2 HTTP/1.1\r\nHost: a\r\n\r\n")
        data = await client.until_closed()
    assert b"1;" in data
    assert not data.endswith(b"0\r\n\r\n")
    assert b"secret" not in data


async def test_pieces_of_an_answer(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service:
        async with service.connect() as client:
            answer = await client.ask("GET", "/pieces")
            assert answer.headers["content-type"] == "a/b; c=d"
            assert answer.body == b"one two"
            answer = await client.ask("HEAD", "/pieces")
            assert (answer.status, answer.body) == (200, b"")
            answer = await client.ask("GET", "/pieces?media_type=none")
            assert (answer.status, answer.json["code"]) == (500, "internal")
        async with service.connect() as client:
            await client.send(b"GET /pieces?fail=true HTTP/1.1\r\nHost: a\r\n\r\n")
            data = await client.until_closed()
    assert b"one " in data
    assert not data.endswith(b"0\r\n\r\n")
    assert b"secret" not in data


async def test_the_head_of_an_endless_stream(web: Any) -> None:
    closed = []

    @http.get("/endless", media_type="text/plain")
    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
        finally:
            closed.append(True)

    async with web.serving(endless) as service, service.connect() as client:
        answer = await client.ask("HEAD", "/endless")
        assert (answer.status, answer.body) == (200, b"")
        answer = await client.ask("HEAD", "/endless")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert closed == [True, True]


async def refused(web: Any, handler: Any, says: str) -> None:
    with pytest.raises((ConfigurationError, ExceptionGroup)) as caught:
        async with web.serving(handler):
            raise AssertionError("it was served")
    error: Any = caught.value
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert error.code == "COVET-OPERATION-BINDING"
    assert says in str(error)


async def test_what_cannot_be_sent_is_refused_at_assembly(web: Any) -> None:
    @http.get("/x", media_type="text/csv")
    async def model() -> Book:
        return Book(id=1)

    @http.get("/x", media_type="text")
    async def no_type() -> str:
        return ""

    @http.get("/x", media_type="text/csv")
    async def stream_of_models() -> AsyncIterator[Book]:
        yield Book(id=1)

    @http.get("/x")
    async def stream_of_redirects() -> AsyncIterator[http.Redirect]:
        yield http.Redirect("/")

    @http.get("/x", stream="events")
    async def one_value() -> Book:
        return Book(id=1)

    @http.get("/x")
    async def one_event() -> http.Event[Book]:
        return http.Event(Book(id=1))

    @http.get("/x", stream="events", media_type="text/plain")
    async def typed_events() -> AsyncIterator[str]:
        yield ""

    @http.get("/x", stream="smoke")  # type: ignore[arg-type]
    async def smoke() -> AsyncIterator[str]:
        yield ""

    for handler, says in (
        (smoke, "'smoke' is neither 'lines' nor 'events'"),
        (model, "only str and bytes can be sent as text/csv, and the handler returns Book"),
        (no_type, "'text' is no media type"),
        (stream_of_models, "only str and bytes can be sent as text/csv"),
        (stream_of_redirects, "Redirect can be sent never in a stream"),
        (one_value, "only a stream is sent as events"),
        (one_event, "Event can be sent only in a stream"),
        (typed_events, "events are text/event-stream, not text/plain"),
    ):
        await refused(web, handler, says)


async def test_every_way_to_write_text_and_bytes(web: Any) -> None:
    @http.get("/x", media_type="text/plain")
    async def either(b: bool) -> Annotated[str | bytes, "either"]:
        return b"b" if b else "s"

    async with web.serving(either) as service:
        assert (await service.ask("GET", "/x?b=1")).body == b"b"
        assert (await service.ask("GET", "/x?b=0")).body == b"s"


def test_operations_say_nothing_of_http() -> None:
    @operation()
    @http.get("/x")
    def handler() -> http.Content:
        return http.Content(b"", "a/b")

    assert handler().body == b""
