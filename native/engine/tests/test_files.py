"""Folders of files, which the engine sends by itself: as covet-http does, field for field."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import quote

import anyio
import anyio.from_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import Memory, compiled, memory, request, serving
from portable import portable
from services.http2 import connected

import covet_http as http
from covet_engine import EngineConfig, EngineServer
from covet_engine._folders import Folders
from covet_engine._routes import compile_routes
from covet_http import ServedFolder, ServerOptions, StaticFolder

pytest.importorskip("covet_engine._native", reason="the library is not built")

MODIFIED = 784111777
WHEN = "Sun, 06 Nov 1994 08:49:37 GMT"
# What is the connection's.
OURS = {"date", "connection"}
BOUNDARY = re.compile(r"multipart/byteranges; boundary=([0-9a-f]{32})\Z")
FILES = {
    "index.html": b"<h1>shop</h1>",
    "app.js": b"let a",
    "app.js.br": b"br of it",
    "app.js.zst": b"zst of it",
    "app.js.gz": b"gz of it",
    "only.css.gz": b"gz alone",
    "linked.css": b"a{}",
    "docs/index.html": b"<h1>docs</h1>",
    "docs/index.html.br": b"br of docs",
    "docs/deep/a b.txt": b"deep",
    "docs/a%20b.txt": b"percent",
    "empty/none.txt": b"",
    ".env": b"hidden secret",
    "sub/.git/config": b"hidden secret",
    "caf\u00e9.TXT": b"coffee",
    "archive.tar.gz": b"packed",
    "no-suffix": b"plain",
    "dot.": b"plain",
    "a:b.html": b"colon",
    "strange.\u212aml": b"kelvin",
    "long." + "x" * 60: b"long suffix",
    "small.bin": bytes(n % 251 for n in range(30_000)),
    "large.bin": bytes(n % 253 for n in range(200_000)),
}


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("files")
    root = base / "public"
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (MODIFIED, MODIFIED))
    beside = base / "public-secret"
    beside.mkdir()
    (beside / "x.txt").write_text("secret")
    (root / "link.txt").symlink_to(beside / "x.txt")
    (root / "linked").symlink_to(beside)
    (root / "linked.css.gz").symlink_to(beside / "x.txt")
    (root / "inner.txt").symlink_to(root / "app.js")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket"))
    future, fraction = root / "future.txt", root / "fraction.txt"
    for path in future, fraction:
        path.write_text("timed")
    os.utime(future, (MODIFIED, 4_000_000_000))
    os.utime(fraction, ns=(0, 784111777_999999999))
    return root


def static(public: Path, **options: Any) -> dict[str, Any]:
    return {"static": {"/assets": {"folder": str(public), **options}}}


def lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def unbound(fields: Mapping[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    """Fields and body without what is random."""
    found = BOUNDARY.match(fields.get("content-type", ""))
    kept = {name: value for name, value in fields.items() if name not in OURS}
    if found is None:
        return kept, body
    kept["content-type"] = "multipart/byteranges; boundary=..."
    return kept, body.replace(found[1].encode(), b"...")


async def same(
    running: Memory, method: str, target: str, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    """The answer, which is the same from both."""
    status, fields, body = await portable(running.application, method, target, headers)
    answer = await running.ask(target, method, headers=lines(headers))
    assert answer.status == status
    assert unbound(answer.headers, answer.body) == unbound(fields, body)
    return answer.status, answer.body


NAME = st.one_of(
    st.sampled_from([quote(name) for name in FILES]),
    st.sampled_from(
        [
            *["docs", "docs/", "docs//", "docs/deep", "docs/deep/", "empty/", "app.js/", "link.txt", "linked/x.txt"],
            *["linked.css", "only.css", "inner.txt", "pipe", "socket", "nothing", "none.js", "fraction.txt"],
            *["future.txt", "APP.JS", "%2e%2e/public-secret/x.txt", "..%2fpublic-secret%2fx.txt"],
            *["docs%2findex.html", "..%5cx", "docs%5cdeep", "app.js%00", "%00", "%ff", "%2fetc%2fpasswd"],
            *["//etc/passwd", "./app.js", "docs/../app.js", "docs/%2e/index.html", "%2eenv", "a%zz"],
            *("", "n" * 300, "/".join(["d" * 200] * 25), "C:%5cx", "%E9"),
        ]
    ),
    st.lists(
        st.sampled_from(["docs", "deep", "..", ".", "", "%2e%2e", "%2f", "%5c", "app.js", "sub", ".git"]),
        max_size=4,
    ).map("/".join),
    st.text(min_size=1, max_size=6).map(lambda text: quote(text, safe="")),
)  # fmt: skip
PREFIX = st.one_of(
    st.sampled_from(["/assets/", "/plain/", "/pages/", "/deep/"]),
    st.sampled_from(["/assets", "/assets//", "/assets/../", "/plain", "/pages"]),
)
QUERY = st.sampled_from(["", "", "", "?", "?v=1", "?%zz&a=%ff"])
NUMBER = st.one_of(st.integers(0, 40), st.sampled_from([199_998, 199_999, 200_000, 10**18, 10**25]))
SPEC = st.one_of(
    st.tuples(NUMBER, NUMBER).map(lambda two: f"{two[0]}-{two[1]}"),
    NUMBER.map(lambda one: f"{one}-"),
    NUMBER.map(lambda one: f"-{one}"),
    st.sampled_from(["-", "", " ", "a-b", "1-2-3", "--1", "+1-2", "1 - 2", "\u00b2-"]),
)
RANGE = st.one_of(
    st.lists(SPEC, min_size=1, max_size=18).map(lambda specs: "bytes=" + ",".join(specs)),
    SPEC.map(lambda spec: f" Bytes =\t{spec} "),
    st.sampled_from(["bytes", "bytes=", "lines=1-2", "bytes=0-0," * 40, "=0-1", "bytes 0-1"]),
)
DATE = st.one_of(
    st.sampled_from(
        [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun Nov 06 08:49:38 1994",
            "Sun, 06 Nov 1994 08:49:36 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "sun, 06 nov 1994 08:49:37 gmt",
            "Mon, 31 Feb 2000 00:00:00 GMT",
            "Tue, 29 Feb 2000 23:59:60 GMT",
            "Thu, 01 Jan 1970 24:00:00 GMT",
            "Fri, 01 Jan 0000 00:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:37",
            "0",
            "",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Monday, 01-Jan-70 00:00:00 GMT",
            "Mon Jan  0 00:00:00 2001",
            "Sun, 06 Nov 9999 08:49:37 GMT",
        ]
    ),
    st.floats(0, 4e9).map(lambda seconds: formatdate(seconds, usegmt=True)),
)  # fmt: skip
TAG = f'"{MODIFIED * 10**9:x}-5"'  # of small files that were last changed at MODIFIED
TAGS = st.one_of(
    st.sampled_from(["*", f"W/{TAG}", '"x", "y"', '"', "x", "", "W/", '"a" "b"', "* ", '"x",,\t"y" ,']),
    st.lists(st.sampled_from([TAG, f"W/{TAG}", '"x"', '"\u00e9"', 'W/"x"', "z"]), max_size=4).map(
        ",".join
    ),
)  # fmt: skip
WEIGHT = st.sampled_from(
    ["", ";q=0", ";q=0.5", "; q=1.000", ";Q=0.001", ";q=1.1", ";q=", " ;q=0.9", ";x=1"]
)
CODING = st.tuples(
    st.sampled_from(["gzip", "br", "zstd", "x-gzip", "identity", "*", "BR", "deflate", "", "a b"]), WEIGHT
).map("".join)  # fmt: skip
CODINGS = st.one_of(
    st.lists(CODING, max_size=5).map(",".join),
    st.sampled_from(["gzip, deflate, br, zstd", "br", "gzip," * 40, "x" * 1100, "gzip;q=0.5, br"]),
)
MEDIA = st.sampled_from(
    [
        *("text/html", "text/*", "*/*", "application/octet-stream", "application/*", "TEXT/Html"),
        *("*/html", "image/png", "text", "text/", "/html", "text /html", "text/ html"),
        *("text/html/x", "text/html ", "text/\u00e4", ""),
    ]
)
PARAMETERS = st.lists(
    st.sampled_from(
        ["q=1", "q=0", "q=0.5", "Q=0.501", "q = 0.7", "q=", "q=2", "charset=x", "level=1", "", "q"]
    ),
    max_size=3,
).map(lambda each: "".join(f";{one}" for one in each))
ACCEPT = st.one_of(
    st.lists(st.tuples(MEDIA, PARAMETERS).map("".join), max_size=5).map(", ".join),
    st.sampled_from(
        [
            *(
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                'text/html;x="a,b"',
            ),
            *("text/html," * 70, "," * 70 + "text/html", f"text/html, {'x' * 5000}"),
        ]
    ),
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Range": RANGE,
        "If-Range": st.one_of(DATE, TAGS),
        "If-None-Match": TAGS,
        "If-Match": TAGS,
        "If-Modified-Since": DATE,
        "If-Unmodified-Since": DATE,
        "Accept-Encoding": CODINGS,
        "Accept": ACCEPT,
    },
)
METHOD = st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "BREW"])
REQUEST = st.tuples(METHOD, st.tuples(PREFIX, NAME, QUERY).map("".join), HEADERS)
FOLDERS: dict[str, dict[str, Any]] = {
    "/assets": {},
    "/plain": {"index": "", "cache": "max-age=60", "precompressed": False},
    "/pages": {"fallback": "docs/index.html", "hidden": True},
    "/deep": {"index": "deep/a b.txt", "cache": "no-store", "page_cache": ""},
}


@asynccontextmanager
async def folders(public: Path) -> AsyncIterator[Memory]:
    """An engine that serves all of them."""
    served = {path: {"folder": str(public)} | options for path, options in FOLDERS.items()}
    async with compiled(http={"static": served}) as application, serving(application) as running:
        yield running


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def portal(request: pytest.FixtureRequest, public: Path) -> Iterator[tuple[Any, Memory]]:
    with (
        anyio.from_thread.start_blocking_portal(request.param) as portal,
        portal.wrap_async_context_manager(folders(public)) as running,
    ):
        yield portal, running


@settings(max_examples=80)
@given(st.lists(REQUEST, min_size=1, max_size=10))
def test_the_same_answers(portal: tuple[Any, Memory], requests: list[Any]) -> None:
    # bad input 53, 54
    blocking, running = portal

    async def ask_all() -> None:
        for method, target, headers in requests:
            trimmed = {name: value.strip(" \t") for name, value in headers.items()}
            _, body = await same(running, method, target, trimmed)
            assert b"secret" not in body or target.startswith("/pages")

    blocking.call(ask_all)


@settings(max_examples=150)
@given(ACCEPT)
def test_who_wants_a_page(portal: tuple[Any, Memory], accept: str) -> None:
    blocking, running = portal
    headers = {"Accept": accept.strip(" \t")}
    status, _ = blocking.call(same, running, "GET", "/pages/chapters/7", headers)
    assert status in (200, 404)


async def test_python_is_not_asked(public: Path) -> None:
    asked = [
        ("/assets/app.js", {}, 200),
        ("/assets/app.js?v=1", {"Accept-Encoding": "br"}, 200),
        ("/assets/", {}, 200),
        ("/assets/docs/", {"If-Modified-Since": WHEN}, 304),
        ("/assets/large.bin", {}, 200),
        ("/assets/large.bin", {"Range": "bytes=5-"}, 206),
        ("/assets/large.bin", {"Range": "bytes=5-9,100-100000"}, 206),
        ("/assets/app.js", {"If-Match": '"x"'}, 412),
        ("/assets/nothing.js", {}, 404),
        ("/assets/..%2fx", {}, 404),
        ("/pages/chapters/7", {"Accept": "text/html, */*;q=0.8"}, 200),
        ("/pages/none.js", {"Accept": "*/*"}, 404),
    ]
    config = static(public)
    config["static"]["/pages"] = {"folder": str(public), "fallback": "index.html"}
    async with compiled(http=config) as application, serving(application) as running:
        for number, (target, headers, status) in enumerate(asked, 1):
            answer = await running.ask(target, headers=lines(headers))
            assert answer.status == status
            assert running.core.counters.native == number
        head = await running.ask("/assets/large.bin", "HEAD")
        assert head.headers["content-length"] == "200000"
        assert running.core.counters.native == len(asked) + 1


async def test_what_stands_around_the_operation_is_asked(public: Path) -> None:
    plain = static(public)
    for config, status in (
        (static(public, requires=["members:read"]), 401),
        (plain | {"compression": {}}, 200),
        (plain | {"request_id": {}}, 200),
        (plain | {"security": {"headers": {"etag": '"x"'}}}, 200),
        (plain | {"openapi": {"contract": True}}, 200),
        (plain | {"refuse_extra_query": True}, 422),
    ):
        async with compiled(http=config) as application, serving(application) as running:
            assert (await running.ask("/assets/app.js?a=1")).status == status
            assert running.core.counters.native == 0


@pytest.mark.parametrize("more", [{"cache": "x" * 5000}, {"folder": "public\0"}])
async def test_what_the_engine_cannot_hold_is_left_to_python(
    public: Path, more: dict[str, str]
) -> None:
    async with compiled(http=static(public)) as application, serving(application) as running:
        leaf, _ = application.dispatcher.routes.find("/assets/app.js")
        route = leaf.methods["GET"]
        route.folder = ServedFolder(StaticFolder(**({"folder": public} | more)))
        table = compile_routes(running.lib, running.ffi, application.dispatcher)
        try:
            made = Folders(running.lib, running.ffi, table.routes, lambda answer: 0)
            assert made.number(route) is None
        finally:
            running.lib.cv_routes_free(table.routes)


async def test_a_file_that_has_just_changed_has_a_weak_tag(public: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    path.write_text("new")
    async with compiled(http=static(tmp_path)) as application, serving(application) as running:
        os.utime(path, (time(), time()))
        assert (await running.ask("/assets/new.txt")).headers["etag"].startswith('W/"')
        os.utime(path, (MODIFIED, MODIFIED))
        assert (await running.ask("/assets/new.txt")).headers["etag"].startswith('"')


async def test_what_is_said_twice_is_for_python_to_join(public: Path) -> None:
    twice = f'If-None-Match: "x"\r\nIf-None-Match: {TAG}\r\n'
    async with compiled(http=static(public)) as application, serving(application) as running:
        assert (await running.ask("/assets/app.js", headers=twice)).status == 304
        assert running.core.counters.native == 0


async def test_answers_leave_in_their_turn(public: Path) -> None:
    async with compiled(http=static(public)) as application, serving(application) as running:
        connection = running.connect()
        targets = ["docs", "large.bin", "app.js", "docs", "small.bin", "large.bin"]
        await connection.send(b"".join(request(f"/assets/{name}") for name in targets))
        for name in targets:
            answer = await connection.answer()
            assert answer.status == (308 if name == "docs" else 200)
            assert name == "docs" or answer.body == FILES[name]


async def test_a_connection_is_closed_behind_a_file(public: Path) -> None:
    async with compiled(http=static(public)) as application, serving(application) as running:
        for name in "app.js", "large.bin":
            connection = running.connect()
            await connection.send(request(f"/assets/{name}", headers="Connection: close\r\n"))
            everything = await connection.until_closed()
            assert everything.endswith(FILES[name])
            assert b"connection: close\r\n" in everything
            connection = running.connect()
            await connection.send(b"GET /assets/%b HTTP/1.0\r\n\r\n" % name.encode())
            assert (await connection.until_closed()).endswith(FILES[name])


@pytest.mark.parametrize("most", [1024, 1])
async def test_a_file_of_a_handler_is_handed_over(public: Path, most: int) -> None:
    @http.get("/file")
    async def file() -> http.File:
        return http.File(public / "large.bin", cache="no-store")

    large = FILES["large.bin"]
    async with memory(file, engine={"max_files": most}, http=static(public)) as running:
        counters = running.core.counters
        connection, held = running.connect(), running.connect()
        await held.send(request("/assets/large.bin"))  # where one may be open, it is this
        await connection.send(request("/file"))
        if most > 1:
            # Nothing was read yet, and the call is over.
            await running.until(lambda: counters.in_flight == 0 and counters.requests == 2)
            assert counters.files == 2
        answer = await connection.answer()
        assert (answer.body, answer.headers["cache-control"]) == (large, "no-store")
        some = await connection.ask("/file", headers="Range: bytes=0-99999,100001-\r\n")
        assert large[:100_000] in some.body
        assert large[100_001:] in some.body
        head = await connection.ask("/file", "HEAD")
        assert head.headers["content-length"] == "200000"
        held.leave()
        await running.until(lambda: counters.files <= 1)


async def test_what_was_not_submitted_is_closed(public: Path) -> None:
    async with memory() as running:
        with (public / "app.js").open("rb") as file:
            assert running.core.file(1, file.fileno(), 0, 5)
            copy = running.core._files[0]
            assert not running.core.file(1, -1, 0, 5)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(copy)


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.EIO])
async def test_python_says_the_same_of_the_system(
    public: Path, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: object, segments: object) -> None:
        raise OSError(error, "no")

    async with compiled(http=static(public)) as application:
        monkeypatch.setattr("covet_http._folder.Folder.open", fails)
        status, fields, body = await portable(application, "GET", "/assets/app.js")
        if error == errno.EIO:
            assert status == 500
            return
        leaf, _ = application.dispatcher.routes.find("/assets/app.js")
        route = leaf.methods["GET"]
        expected = route.folder.busy(route).reply
        assert (status, body) == (expected[0], expected[2])
        assert fields["retry-after"] == "1"


HELD = [
    ("/assets/app.js", {"accept-encoding": "br"}),
    ("/assets/large.bin", {}),
    ("/assets/large.bin", {"range": "bytes=7-150000"}),
    ("/assets/large.bin", {"range": "bytes=0-99999,100001-100009,199999-"}),
    ("/assets/docs/", {"if-modified-since": WHEN}),
    ("/assets/nothing", {}),
    ("/assets/app.js", {"if-match": '"x"'}),
    ("/assets/docs", {}),
    ("/assets/empty/none.txt", {}),
    ("/file", {}),
    ("/file", {"range": "bytes=0-99999,100001-"}),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_same_by_http2(public: Path, method: str) -> None:
    @http.get("/file")
    async def file() -> http.File:
        return http.File(public / "large.bin")

    async with compiled(file, http=static(public)) as application:
        server = EngineServer(EngineConfig(http2=True))
        async with server.listen([], ServerOptions(linger=0.05)) as listener:
            listener.begin(application)
            async with connected(listener) as client:
                streams = [
                    await client.request(target, method, more=list(headers.items()))
                    for target, headers in HELD
                ]
                await client.until_over(*streams)
                for stream, (target, headers) in zip(streams, HELD, strict=True):
                    status, _, body = await portable(application, method, target, headers)
                    assert stream not in client.reset
                    assert client.status[stream] == status
                    found = client.body.get(stream, b"")
                    marks = [re.findall(rb"--([0-9a-f]{32})", each) for each in (found, body)]
                    for each in {*marks[0], *marks[1]}:
                        found, body = found.replace(each, b""), body.replace(each, b"")
                    assert found == body
            core = listener._core
            assert core.counters.files <= 128
            asked_python = sum(target in ("/assets/docs", "/file") for target, _ in HELD)
            assert core.counters.native == len(HELD) - asked_python


async def test_a_stream_of_http2_ends_with_a_file_that_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(FILES["large.bin"])
    async with compiled(http=static(tmp_path)) as application:
        server = EngineServer(EngineConfig(http2=True))
        async with server.listen([], ServerOptions(linger=0.05)) as listener:
            listener.begin(application)
            async with connected(listener, reads=False) as client:
                stream = await client.request("/assets/large.bin")
                while len(client.body.get(stream, b"")) < 60_000:
                    await client.step()
                os.truncate(path, 60_000)
                client.h2.acknowledge_received_data(60_000, stream)
                await client.flush()
                await client.until_over(stream)
                assert client.reset[stream] == 2
                assert (await client.ask("/assets/nothing"))[0] == 404
