"""What an option does to its own routes its own tests see; here it meets routes of every kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import anyio.lowlevel
import pytest
from pydantic import BaseModel

import covet_http as http
from covet_http.testing import run_service
from covet_kernel import Plugin
from covet_kernel.contracts import Binding, Call, Layer, Operation, Phase
from covet_memory import Memory
from covet_operations import Conflict, RateLimited, operation, provider


class Book(BaseModel):
    id: int
    title: str = "x" * 2000


class Filters(BaseModel):
    tags: list[str] = []
    below: float = 10.0


@dataclass
class Shelf:
    books: int


@provider()
async def shelf() -> AsyncIterator[Shelf]:
    yield Shelf(3)


@http.get("/text", media_type="text/plain")
def text() -> str:
    return "plain " * 500


@http.get("/books/{id:int}")
async def book(id: int) -> Book:
    return Book(id=id)


@http.get("/search")
async def search(
    filters: Annotated[Filters, http.Query()], agent: Annotated[str, http.Header("user-agent")] = ""
) -> Filters:
    return filters


@http.get("/shelf")
async def on_shelf(shelf: Shelf, request: http.Request) -> int:
    request.response.set_cookie("seen", "1")
    return shelf.books


@operation(thread=True)
@http.get("/thread")
def thread(n: int = 1) -> list[int]:
    return [n] * 2000


@http.post("/books", status=201, location="/books/{id}")
async def add(book: Book) -> Book:
    return book


@http.post("/once", status=201, idempotency="optional")
async def once(book: Book) -> Book:
    return book


@http.post("/maybe")
async def maybe(title: str = "none", count: int = 0) -> str:
    return title * count


@http.post("/raw")
async def raw(data: bytes) -> int:
    return len(data)


@http.post("/note")
async def note(text: Annotated[str, http.Body("text/markdown")]) -> str:
    return text.upper()


@http.post("/pieces")
async def pieces(data: Annotated[AsyncIterator[bytes], http.Body("text/csv")]) -> int:
    return sum([len(each) async for each in data])


@http.post("/lines")
async def lines(books: AsyncIterator[Book]) -> int:
    return len([each async for each in books])


@http.post("/form")
async def form(title: Annotated[str, http.Form()], count: Annotated[int, http.Form()] = 1) -> str:
    return title * count


@http.post("/upload")
async def upload(cover: http.Upload, more: list[http.Upload] | None = None) -> int:
    return cover.size + sum(each.size for each in more or [])


@http.post("/parts")
async def parts(parts: http.Parts) -> int:
    return len([each async for each in parts])


@http.get("/stream")
async def stream() -> AsyncIterator[Book]:
    for number in range(3):
        yield Book(id=number)


@http.get("/events", stream="events")
async def events() -> AsyncIterator[Book]:
    for number in range(3):
        yield Book(id=number)


@http.get("/file")
async def file() -> http.File:
    return http.File(Path(__file__))


@http.get("/content")
async def content() -> http.Content:
    return http.Content("# title\n" * 300, "text/markdown")


@http.get("/redirect")
async def redirect() -> http.Redirect:
    return http.Redirect("/text")


@http.get("/page-or-redirect")
async def either(there: bool = False) -> Book | http.Redirect:
    return Book(id=1) if there else http.Redirect("/text")


@operation(errors=(Conflict,))
@http.delete("/books/{id:int}")
async def remove(id: int) -> None:
    if id == 9:
        raise Conflict("it is lent")


FUNCTIONS = (
    text, book, search, on_shelf, thread, add, once, maybe, raw, note, pieces, lines, form, upload, parts,
    stream, events, file, content, redirect, either, remove,
)  # fmt: skip

NAMED = {"by": "header", "default": "1", "known": [{"name": "1"}]}
# Tables of [plugins.http].
OPTIONS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "codecs": {"message_pack": True},
    "versions": {"versions": NAMED},
    "everything": {
        "message_pack": True,
        "versions": NAMED,
        "decompress": ["gzip"],
        "compression": {"encodings": ["gzip"], "min_size": 1},
        "etags": True,
        "cors": {"origins": ["https://a.example"], "credentials": True},
        "proxies": {"hops": 1},
        "request_id": {},
        "idempotency": {"ttl": 60.0},
        "trailing_slash": "ignore",
        "refuse_extra_query": True,
        "allowed_hosts": ["localhost"],
        "openapi": {"contract": True},
    },
}

HEADERS = {
    "origin": "https://a.example",
    "accept-encoding": "gzip",
    "x-forwarded-for": "192.0.2.7",
    "idempotency-key": "5f0c9ad1",
}
PNG = ("a.png", b"\x89PNG" * 1000, "image/png")
LINE = b'{"id": 1, "title": "Emma"}\n'

# What is asked, and the status that it has.
ASKED: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", "/text", {}, 200),
    ("HEAD", "/text", {}, 200),
    ("GET", "/books/1", {}, 200),
    ("HEAD", "/books/1", {}, 200),
    ("GET", "/books/1", {"headers": {"accept": "application/json"}}, 200),
    ("OPTIONS", "/books/1", {}, 204),
    ("GET", "/search?tags=a&tags=b&below=2", {}, 200),
    ("GET", "/search?below=x", {}, 422),
    ("GET", "/shelf", {}, 200),
    ("GET", "/thread?n=5", {}, 200),
    ("GET", "/thread?n=x", {}, 422),
    ("POST", "/books", {"json": {"id": 7}}, 201),
    ("POST", "/books", {"json": {"id": "x"}}, 422),
    ("POST", "/books", {"content": b"{", "headers": {"content-type": "application/json"}}, 400),
    ("POST", "/books", {"content": b"x", "headers": {"content-type": "text/plain"}}, 415),
    ("POST", "/once", {"json": {"id": 7}}, 201),
    ("POST", "/maybe", {}, 200),
    ("POST", "/maybe", {"json": {"title": "a", "count": 3}}, 200),
    ("POST", "/maybe", {"json": {"other": 1}}, 422),
    ("POST", "/raw", {"content": b"abc", "headers": {"content-type": "application/octet-stream"}}, 200),
    ("POST", "/note", {"content": "abc", "headers": {"content-type": "text/markdown"}}, 200),
    ("POST", "/pieces", {"content": b"a,b", "headers": {"content-type": "text/csv"}}, 200),
    ("POST", "/lines", {"content": LINE * 3, "headers": {"content-type": "application/x-ndjson"}}, 200),
    ("POST", "/lines", {"content": b"{}\n", "headers": {"content-type": "application/x-ndjson"}}, 422),
    ("POST", "/form", {"data": {"title": "a", "count": "3"}}, 200),
    ("POST", "/form", {"data": {"count": "3"}}, 422),
    ("POST", "/form", {"data": {"title": "a"}, "files": {}}, 200),
    ("POST", "/upload", {"files": {"cover": PNG}}, 200),
    ("POST", "/upload", {"files": {"cover": PNG, "more": PNG}}, 200),
    ("POST", "/upload", {"data": {"title": "a"}}, 422),
    ("POST", "/upload", {}, 415),
    ("POST", "/parts", {"files": {"cover": PNG}, "data": {"title": "a"}}, 200),
    ("GET", "/stream", {}, 200),
    ("HEAD", "/stream", {}, 200),
    ("GET", "/events", {}, 200),
    ("HEAD", "/events", {}, 200),
    ("GET", "/file", {}, 200),
    ("GET", "/file", {"headers": {"range": "bytes=0-9"}}, 206),
    ("GET", "/content", {}, 200),
    ("GET", "/redirect", {}, 303),
    ("GET", "/page-or-redirect", {}, 303),
    ("GET", "/page-or-redirect?there=1", {}, 200),
    ("DELETE", "/books/1", {}, 204),
    ("DELETE", "/books/9", {}, 409),
    ("GET", "/openapi.json", {}, 200),
    ("GET", "/docs", {}, 200),
    ("GET", "/nowhere", {}, 404),
    ("PUT", "/text", {}, 405),
]  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS)
async def test_every_kind_of_route_goes_with_the_options(http_server: str, option: str) -> None:
    wrong = []
    async with run_service(
        *FUNCTIONS,
        shelf,
        server=http_server,
        plugins={"memory": Memory},
        config={"http": OPTIONS[option]},
    ) as client:
        for method, path, more, status in ASKED:
            headers = {**HEADERS, **more.get("headers", {})}
            answer = await client.request(method, path, **{**more, "headers": headers})
            if answer.status != status:
                wrong.append((method, path, answer.status, answer.body))
    assert wrong == []


LOG: list[str] = []


class Noting:
    """Notes when a call comes by on its way in and out, in one of the ways that layers have."""

    after = before = ()

    def __init__(self, phase: Phase, way: str, refuses: bool = False) -> None:
        self.name, self.phase = f"{phase.name}-{way}".lower(), phase
        self._way, self._refuses = way, refuses

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        name = self.name

        def before(call: Call) -> None:
            LOG.append(f"> {name}")
            if self._refuses:
                raise RateLimited("not now")

        async def later(call: Call) -> None:
            await anyio.lowlevel.checkpoint()
            before(call)

        async def around(call: Call, inner: Any) -> Any:
            before(call)
            try:
                return await inner(call)
            finally:
                LOG.append(f"< {name}")

        def after(call: Call, result: Any, error: BaseException | None) -> None:
            LOG.append(f"< {name}")

        match self._way:
            case "before":
                return Layer(before=before, after=after)
            case "later":
                return Layer(before=later, after=after)
            case _:
                return Layer(around=around)


def noting(ways: list[str], *, refuses: bool = False) -> type[Plugin[None]]:
    class Notes(Plugin[None]):
        def covet_interceptors(self) -> Iterable[Noting]:
            last = len(Phase) * len(ways) - 1
            every = [(phase, way) for phase in Phase for way in ways]
            return [
                Noting(phase, way, refuses and number == last)
                for number, (phase, way) in enumerate(every)
            ]

    return Notes


@pytest.mark.parametrize("ways", [["before"], ["around", "before", "later"]])
async def test_every_kind_of_route_runs_the_same_chain(http_server: str, ways: list[str]) -> None:
    plugins = {"memory": Memory, "notes": noting(ways)}
    async with run_service(*FUNCTIONS, shelf, server=http_server, plugins=plugins) as client:
        logs: dict[tuple[str, ...], list[str]] = {}
        for method, path, more, status in ASKED:
            LOG.clear()
            answer = await client.request(method, path, **more)
            assert answer.status == status, (method, path)
            if status < 400 and method != "OPTIONS":
                logs.setdefault(tuple(LOG), []).append(f"{method} {path}")
    [log] = logs
    half = len(log) // 2
    assert half == len(Phase) * len(ways)
    assert [each[0] for each in log] == [">"] * half + ["<"] * half
    assert [each[2:] for each in log[half:]] == [each[2:] for each in reversed(log[:half])]


async def test_every_kind_of_route_can_be_refused(http_server: str) -> None:
    plugins = {"memory": Memory, "notes": noting(["before"], refuses=True)}
    async with run_service(*FUNCTIONS, shelf, server=http_server, plugins=plugins) as client:
        for method, path, more, status in ASKED:
            if status < 400 and method != "OPTIONS":
                answer = await client.request(method, path, **more)
                assert answer.status == 429, (method, path)
