"""The engine's table against covet-http's own dispatcher: they agree on every request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import date
from types import ModuleType
from typing import Any, cast
from urllib.parse import quote, unquote
from uuid import UUID

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

import covet_http as http
from covet_engine._core import EngineError
from covet_engine._library import load
from covet_engine._routes import Table, compile_everything, compile_routes
from covet_http import (
    HTTP_SERVER,
    AsgiApplication,
    Dispatcher,
    Http,
    Limits,
    PreparedAnswer,
    Problems,
    Route,
    Router,
    SlashPolicy,
    Target,
)
from covet_kernel import ConfigurationError, Context, Plugin
from covet_kernel.testing import run_kernel
from covet_operations import Operations, operations_of

LIMITS = Limits(max_body_bytes=1000, max_query_params=10, body_timeout=1)
HOST = (b"host", b"h")
TYPES = {"i": int, "u": UUID, "d": date, "s": str}
KINDS = {"I": "int", "U": "uuid", "D": "date", "s": "str", "p": "path"}
UUIDS = ["6f1f3a52-0c59-4b1c-8f0e-0a3f7f2f3f11", "6F1F3A520C594B1C8F0E0A3F7F2F3F11"]


class Bound(Route):
    """What the table asks of a route."""

    def __init__(self) -> None:
        self.constant = [(b"content-type", b"text/plain")]
        self.ahead = ()
        self.status = 200
        self.whole_body = False
        self.folder = None


def dispatcher(routes: Router[Target], slash: SlashPolicy = "strict") -> Dispatcher:
    return Dispatcher(routes, Problems("/problems/"), LIMITS, slash=slash)


@contextmanager
def compiled(made: Dispatcher) -> Iterator[Table]:
    ffi, lib = load()
    table = compile_routes(lib, ffi, made)
    try:
        yield table
    finally:
        lib.cv_routes_free(table.routes)


def tried(table: Table, method: str, path: bytes) -> tuple[int, list[bytes]]:
    ffi, lib = load()
    spans, count = ffi.new("uint16_t[16]"), ffi.new("int *")
    found = lib.cv_routes_try(table.routes, method.encode(), path, len(path), spans, count)
    values = [path[spans[2 * i] :][: spans[2 * i + 1]] for i in range(count[0])]
    return found, values


# Few names and short ones, so that tables have conflicts, ways back and near misses.
LITERALS = st.sampled_from(["a", "b", "books", "ü", "1", UUIDS[0], "a.b", "~"])
SEGMENTS = st.one_of(LITERALS, st.sampled_from("iudsIUD").map(lambda letter: (letter,)))
ENDS = st.sampled_from(["", "/", "/{rest:path}"])
TEMPLATES = st.tuples(st.lists(SEGMENTS, max_size=4), ENDS)
METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]
ASKED = st.sampled_from([*METHODS, "HEAD", "PATCH", "BREW", "get"])
BROKEN = ["%", "%4", "%zz", "%00", "%C3", "%BC", "%ED%A0%80", "%F4%90%80%80", "%C0%AF", "%E0%80%AF"]


@st.composite
def tables(draw: st.DrawFn) -> Router[Target]:
    routes: Router[Target] = Router()
    for segments, end in draw(st.lists(TEMPLATES, max_size=10)):
        path, types = "", []
        for number, segment in enumerate(segments):
            letter = segment[0]
            if isinstance(segment, str):
                path += f"/{segment}"
            elif letter in TYPES:
                path += f"/{{p{number}}}"
                types.append(TYPES[letter])
            else:
                path += f"/{{p{number}:{KINDS[letter]}}}"
                types.append(None)
        types += [None] * end.startswith("/{")
        for method in draw(st.lists(st.sampled_from(METHODS), max_size=3, unique=True)):
            target = draw(st.one_of(st.builds(Bound), answers()))
            try:
                routes.add(method, path + end or "/", target, types=types, owner="test")
            except ConfigurationError:
                continue
        if draw(st.integers(0, 15)) == 0:
            prefix = draw(st.sampled_from(["", "/a", "/books/b"]))
            try:
                routes.add_everything(prefix, draw(st.builds(Bound)), owner="test")
            except ConfigurationError:
                continue
    return routes


@st.composite
def answers(draw: st.DrawFn) -> PreparedAnswer:
    body = draw(st.binary(max_size=20))
    headers = [(b"content-type", b"text/plain"), (b"x", b"\t y\xe4".strip()), (b"vary", b"a")]
    etag = draw(st.sampled_from([b"", b'"tag"', b'W/"tag"']))
    if etag:
        headers.append((b"etag", etag))
    headers.append((b"content-length", b"%d" % len(body)))
    status = 200 if etag else draw(st.sampled_from([200, 308, 404, 503]))
    return PreparedAnswer((status, headers, body), etag)


VALUES = st.one_of(
    LITERALS,
    st.sampled_from(["-3", "+7", "12", "1x", "-", "+", "", *UUIDS, UUIDS[0][:-1]]),
    st.sampled_from(
        ["2024-02-29", "2023-02-29", "2000-02-29", "1900-02-29", "2026-13-01", "0000-01-01"]
    ),
    st.sampled_from(
        ["2026-04-31", "2026-1-01", "20260101", ".", "..", "...", "/", "a/../b", "a/b"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
)


def escaped(draw: st.DrawFn, text: str) -> str:
    """A segment as a client may write it: what has to be escaped is, other things may be."""
    parts = []
    for byte in text.encode():
        plain = (chr(byte).isalnum() and byte < 0x80) or byte in b"-._~+"
        if plain and draw(st.integers(0, 7)) != 0:
            parts.append(chr(byte))
        else:
            parts.append(draw(st.sampled_from([f"%{byte:02X}", f"%{byte:02x}"])))
    if draw(st.integers(0, 31)) == 0:
        parts.append(draw(st.sampled_from(BROKEN)))
    return "".join(parts)


@st.composite
def requests(draw: st.DrawFn, routes: Router[Target]) -> tuple[str, str]:
    """A method and a target: of some leaf, or near it, or anything."""
    method = draw(ASKED)
    if not routes.leaves or draw(st.integers(0, 3)) == 0:
        segments = draw(st.lists(VALUES, max_size=5))
    else:
        shape = draw(st.sampled_from(routes.leaves)).shape[1:].split("/")
        if draw(st.booleans()):
            # Begins like this one and ends like another: a way that has to be walked back.
            other = draw(st.sampled_from(routes.leaves)).shape[1:].split("/")
            shape = [*shape[: draw(st.integers(0, 3))], *other[draw(st.integers(0, 3)) :]]
        segments = [draw(VALUES) if each == "{}" else each for each in shape]
    if draw(st.integers(0, 31)) == 0:
        return method, "*"
    return method, "/" + "/".join(escaped(draw, each) for each in segments)


@given(tables(), st.sampled_from(["strict", "ignore", "redirect"]), st.data())
def test_they_find_the_same(
    routes: Router[Target], slash: SlashPolicy, data: st.DataObject
) -> None:
    made = dispatcher(routes, slash)
    with compiled(made) as table:
        for method, target in data.draw(st.lists(requests(routes), min_size=1, max_size=20)):
            path = target.encode()
            here = made.resolve(method, path, [HOST])
            number, spans = tried(table, method, path)
            if number >= 0 and table.found[number] is made.redirect:
                assert spans == []
                assert made.redirect.reply(target, b"") == here
            elif number >= 0:
                assert len(here) == 3
                assert here[0] is table.found[number]
                assert [unquote(span.decode(), errors="strict") for span in spans] == list(here[1])
            else:
                assert spans == []
                assert table.answers[-number - 1].to(method, [HOST]) == here


@given(tables(), st.data())
def test_every_route_is_found_by_its_own_path(routes: Router[Target], data: st.DataObject) -> None:
    made = dispatcher(routes)
    values = {"i": "7", "u": UUIDS[0], "d": "2024-02-29", "s": "x", "p": "x/y/z", "*": ""}
    with compiled(made) as table:
        for leaf in routes.leaves:
            path = leaf.shape
            for letter in leaf.types:
                path = path.replace("{}", values[letter.lower()], 1)
            path = path.replace("ü", "%C3%BC")
            for method in leaf.methods:
                here = made.resolve(method, path.encode(), [HOST])
                number, _ = tried(table, method, path.encode())
                # Another template may come before this one, but something is there.
                assert made.not_found.reply != here
                assert number < 0 or table.found[number] is here[0]


TAGS = st.sampled_from([b"", b'"tag"', b'"x", W/"tag"', b"*", b"?"])


class Wire:
    """One connection to an engine without sockets."""

    def __init__(self, table: Table) -> None:
        self._ffi, self._lib = load()
        options = self._ffi.new("cv_options *")
        self._lib.cv_options_default(options)
        options.arena_size = 1 << 20
        self._engine = self._lib.cv_engine_new(options)
        assert self._engine != self._ffi.NULL
        self._lib.cv_engine_begin(self._engine, table.routes)

    def ask(self, method: str, target: str, lines: Sequence[bytes] = ()) -> bytes | None:
        """The whole answer; ``None`` if the request was one for Python."""
        lib, ffi, engine = self._lib, self._ffi, self._engine
        text = b"%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n" % (
            method.encode(),
            target.encode(),
            b"".join(line + b"\r\n" for line in lines),
        )
        connection = lib.cv_engine_open(engine)
        assert connection
        assert lib.cv_engine_feed(engine, connection, text, len(text)) == len(text)
        events = lib.cv_engine_events(engine)
        asked = any(events[i].kind == lib.CV_REQUEST for i in range(lib.cv_engine_poll(engine)))
        buffer = ffi.new("uint8_t[65536]")
        size = lib.cv_engine_drain(engine, connection, buffer, 65536)
        lib.cv_engine_drop(engine, connection)
        lib.cv_engine_poll(engine)
        return None if asked else bytes(ffi.buffer(buffer, max(size, 0)))

    def close(self) -> None:
        self._lib.cv_engine_close(self._engine)
        self._lib.cv_engine_free(self._engine)


def parsed(answer: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() not in (b"date", b"connection"):
            headers.append((name.lower(), value.strip(b" \t")))
    return int(first.split(b" ")[1]), sorted(headers), body


@given(tables(), st.data())
def test_they_answer_the_same(routes: Router[Target], data: st.DataObject) -> None:
    made = dispatcher(routes)
    ffi, lib = load()
    wire = Wire(compile_routes(lib, ffi, made))
    try:
        for method, target in data.draw(st.lists(requests(routes), min_size=1, max_size=10)):
            tags = data.draw(TAGS)
            if target == "*" and method != "OPTIONS":
                continue  # refused with its head, before there are routes
            conditions = [(b"if-none-match", tags)] if tags else []
            here = made.resolve(method, target.encode(), [HOST, *conditions])
            lines = [b"%s: %s" % condition for condition in conditions]
            answer = wire.ask(method, target, lines)
            if len(here) == 3 and not isinstance(here[0], int):
                assert answer is None
                continue
            assert answer is not None
            status, headers, body = cast("tuple[int, list[tuple[bytes, bytes]], bytes]", here)
            assert parsed(answer) == (status, sorted(headers), b"" if method == "HEAD" else body)
    finally:
        wire.close()


def test_equal_answers_and_templates_are_kept_once() -> None:
    routes: Router[Target] = Router()
    for number in range(50):
        routes.add("GET", f"/p{number}", Bound(), types=(), owner="test")
    with compiled(dispatcher(routes)) as table:
        assert len(table.found) == 50
        assert {table._template(each.status, each.constant) for each in table.found} == {0}
        # 404, 400, the 204 of *, and what all leaves share: a 405 and a 204.
        assert len(table.answers) == 5


def test_everything_leads_to_one_route() -> None:
    ffi, lib = load()
    routes = compile_everything(lib, ffi)
    try:
        for path in (b"/", b"/%zz", b"*", b"/\xff"):
            found = lib.cv_routes_try(routes, b"BREW", path, len(path), ffi.NULL, ffi.NULL)
            assert found == 0
    finally:
        lib.cv_routes_free(routes)


@given(
    st.dictionaries(
        st.text("ab-!~: \t\x7fÄ\r\n", max_size=3),
        st.text(st.characters(max_codepoint=0x120), max_size=6),
        max_size=2,
    ),
    st.text(st.characters(max_codepoint=0x120), max_size=6),
    st.binary(max_size=3),
)
def test_what_can_be_declared_can_be_sent(
    headers: dict[str, str], cache: str, body: bytes
) -> None:  # bad input 39
    try:
        declared = http.fixed("/x", body, content_type="a/b", headers=headers, cache=cache)
    except ConfigurationError:
        return
    routes: Router[Target] = Router()
    routes.add("GET", "/x", declared.answer, types=(), owner="test")
    with compiled(dispatcher(routes)) as table:
        number, _ = tried(table, "GET", b"/x")
        assert table.answers[-number - 1].reply == declared.answer.reply


@given(st.lists(st.text(max_size=4), max_size=4))
def test_what_is_a_path_is_one_for_the_engine(segments: list[str]) -> None:
    routes: Router[Target] = Router()
    path = "/" + "/".join(segments)
    try:
        routes.add("GET", path, Bound(), types=(), owner="test")
    except ValueError:
        return
    with compiled(dispatcher(routes)) as table:
        assert tried(table, "GET", quote(path).encode())[0] == 0


@pytest.mark.parametrize(
    ("path", "types"),
    [
        ("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", [str] * 9),
        ("/a" * 65, []),
        ("/" + "a" * 4097, []),
        ("/" + "/".join(["a" * 4000] * 20), []),
    ],
)
def test_what_the_engine_cannot_hold(path: str, types: list[Any]) -> None:
    routes: Router[Target] = Router()
    routes.add("GET", path, Bound(), types=types, owner="shop.find (shop)")
    with pytest.raises(ConfigurationError) as caught:
        compile_routes(load().lib, load().ffi, dispatcher(routes))
    assert caught.value.code == "COVET-ENGINE-ROUTE"
    assert "shop.find (shop)" in caught.value.problem


@pytest.mark.parametrize(
    ("refusing", "result", "error"),
    [
        ("cv_routes_new", 0, MemoryError),
        ("cv_routes_add_path", -3, MemoryError),
        ("cv_routes_add_answer", -3, MemoryError),
        ("cv_routes_set_slash", -1, EngineError),
        ("cv_routes_set_route", -3, MemoryError),
        ("cv_routes_set_answer", -1, EngineError),
        ("cv_routes_set_default", -1, EngineError),
    ],
)
def test_a_table_that_cannot_be_made_is_freed(
    refusing: str, result: Any, error: type[Exception]
) -> None:
    ffi, lib = load()
    made, freed = [], []

    class Refusing:
        def __getattr__(self, name: str) -> Any:
            if name == refusing:
                return lambda *arguments: result
            return getattr(lib, name)

        def cv_routes_new(self) -> Any:
            if refusing == "cv_routes_new":
                return ffi.NULL
            made.append(lib.cv_routes_new())
            return made[-1]

        def cv_routes_free(self, routes: Any) -> None:
            freed.append(routes)
            lib.cv_routes_free(routes)

    routes: Router[Target] = Router()
    routes.add("GET", "/x", Bound(), types=(), owner="test")
    with pytest.raises(error):
        compile_routes(cast("Any", Refusing()), ffi, dispatcher(routes))
    assert made == freed


# A whole service, whose server only remembers what it was to serve.


class Remembering:
    """An HTTP server that serves nobody."""

    def __init__(self) -> None:
        self.application: AsgiApplication | None = None
        self.begun = anyio.Event()

    @asynccontextmanager
    async def listen(self, sockets: Sequence[Any], options: Any) -> AsyncIterator[Remembering]:
        try:
            yield self
        finally:
            for each in sockets:
                each.close()

    def begin(self, application: Any) -> None:
        self.application = application
        self.begun.set()

    async def pause(self) -> None:
        """Nothing is in flight."""

    async def stop(self) -> None:
        """Nothing is in flight."""


async def dispatched(*functions: Any, fixed: Iterable[http.Fixed] = ()) -> Dispatcher:
    """What covet-http compiles of these functions' operations."""
    server = Remembering()
    module = ModuleType("shop")
    for function in functions:
        function.__module__ = "shop"
        setattr(module, function.__name__, function)

    class Server(Plugin[None]):
        provides = (HTTP_SERVER,)

        @asynccontextmanager
        async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.provide(HTTP_SERVER, server)
            yield

    class Shop(Plugin[None]):
        def covet_operations(self) -> Any:
            return operations_of(module)

        def covet_http_fixed(self) -> Iterable[http.Fixed]:
            return fixed

    plugins = {"operations": Operations, "hypercorn": Server, "http": Http, "shop": Shop}
    config = {"http": {"port": 0, "server": "hypercorn", "health_path": "/health"}}
    async with run_kernel(plugins, config):
        with anyio.fail_after(20):
            await server.begun.wait()
    assert server.application is not None
    return server.application.dispatcher


@http.get("/books/{id}")
async def find(id: int) -> dict[str, int]:
    return {"id": id}


@dataclass
class Book:
    id: int


@http.post("/books", status=201, location="/books/{id}")
async def add(id: int) -> Book:
    return Book(id)


@http.put("/books/{id}")
async def change(id: int, title: str) -> dict[str, int]:
    return {"id": id}


@http.delete("/books/{id}")
async def remove(id: int) -> None:
    pass


@http.get("/books")
async def watch() -> AsyncIterator[int]:
    yield 1


@http.post("/import")
async def load_all(lines: AsyncIterator[int]) -> int:
    return 0


async def test_a_service_becomes_a_table() -> None:
    fixed = [
        http.fixed("/robots.txt", "x", content_type="text/plain"),
        http.redirect("/", "/books"),
    ]
    functions = (find, add, change, remove, watch, load_all)
    made = await dispatched(*functions, fixed=fixed)
    with compiled(made) as table:
        found = {}
        for method, path in (
            ("GET", b"/books/1"), ("POST", b"/books"), ("PUT", b"/books/1"), ("DELETE", b"/books/1"),
            ("GET", b"/books"), ("POST", b"/import"),
        ):  # fmt: skip
            number, _ = tried(table, method, path)
            route = table.found[number]
            found[route.operation.name.rpartition(".")[2]] = route.constant is not None
        robots = table.answers[-tried(table, "GET", b"/robots.txt")[0] - 1]
        home = table.answers[-tried(table, "GET", b"/")[0] - 1]
        health = table.answers[-tried(table, "HEAD", b"/health")[0] - 1]
    # Whether the head of a success is always the same.
    assert found == {
        "find": True,
        "add": False,
        "change": True,
        "remove": True,
        "watch": False,
        "load_all": True,
    }
    assert robots.reply[2] == b"x"
    assert home.reply[0] == 308
    assert health.reply[2] == b'{"status":"ok"}'
