"""The ASGI boundary, as any other server would drive it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from asgi_boundary import Exchange, application, scope

import covet_http as http
from covet_http import StreamAbortedError
from covet_operations import operation

JSON = [(b"content-type", b"application/json")]


@http.get("/items/{name}")
async def item(name: str) -> str:
    return name


@http.post("/echo")
async def echo(text: str) -> str:
    return text


ZEROCOPYSEND = "http.response.zerocopysend"


async def test_a_scope_without_the_optional_keys(web: Any) -> None:
    async with application(web, item, echo) as app:
        exchange = Exchange()
        await app(scope("GET", "/items/ü%"), exchange.receive, exchange.send)
        assert (exchange.status, exchange.body) == (200, '"ü%"'.encode())
        exchange = Exchange(b'{"te', b"", b'xt":"t"}')
        await app(scope("POST", "/echo", headers=JSON), exchange.receive, exchange.send)
        assert (exchange.status, exchange.body) == (200, b'"t"')


@pytest.mark.parametrize("path", ["/items/\udcff", "/items/\0", "/items/a\udc80/b"])
async def test_a_path_that_is_no_text(web: Any, path: str) -> None:
    # bad input 41: what a server could not decode it may hand on as surrogates
    async with application(web, item) as app:
        exchange = Exchange()
        await app(scope("GET", path), exchange.receive, exchange.send)
        assert exchange.status == 400


async def test_raw_path_counts_where_there_is_one(web: Any) -> None:
    async with application(web, item) as app:
        exchange = Exchange()
        given = scope("GET", "/items/a/b", raw_path=b"/items/a%2Fb")
        await app(given, exchange.receive, exchange.send)
        assert exchange.body == b'"a/b"'


@pytest.mark.parametrize("pieces", [(b'{"text"', b':"t"}'), (b'{"text":"t"}',), (b"",)])
@pytest.mark.parametrize("length", [b"3", b"30", b"x", b"-1", b"+7", b"9" * 30])
async def test_a_content_length_that_lies(
    web: Any, length: bytes, pieces: tuple[bytes, ...]
) -> None:
    # bad input 3: at this boundary too, where the server in front may be a lax one
    async with application(web, echo) as app:
        exchange = Exchange(*pieces)
        given = scope("POST", "/echo", headers=[*JSON, (b"content-length", length)])
        await app(given, exchange.receive, exchange.send)
        assert exchange.status == 400


async def test_an_announced_body_that_is_not_there_is_no_empty_one(web: Any) -> None:
    # bad input 12
    @http.post("/optional")
    async def optional(text: str = "none") -> str:
        return text

    async with application(web, optional) as app:
        for length, status in ((b"0", 200), (b"5", 400)):
            exchange = Exchange(b"")
            headers = [*JSON, (b"content-length", length)]
            await app(scope("POST", "/optional", headers=headers), exchange.receive, exchange.send)
            assert exchange.status == status


@pytest.mark.parametrize("name", [b"content-length", b"content-type", b"host", b"authorization"])
async def test_headers_that_must_come_once(web: Any, name: bytes) -> None:
    # bad input 2, 20
    @operation(requires=("a:b",))
    @http.post("/guarded")
    async def guarded(text: str) -> str:
        return text

    async with application(web, echo, guarded) as app:
        values = {
            b"content-length": b"12",
            b"content-type": b"application/json",
            b"host": b"a",
            b"authorization": b"Bearer x",
        }
        headers = [(key, value) for key, value in values.items() if key != b"host"]
        exchange = Exchange(b'{"text":"t"}')
        path = "/guarded" if name == b"authorization" else "/echo"
        given = scope("POST", path, headers=[*headers, (name, values[name])])
        await app(given, exchange.receive, exchange.send)
        assert exchange.status == 400


@pytest.mark.parametrize("pieces", [(b"",), (b"{}", b""), (b"{", b"}", b"")])
async def test_a_disconnect_is_watched_for(web: Any, pieces: tuple[bytes, ...]) -> None:
    cancelled = anyio.Event()
    started = anyio.Event()

    @http.post("/wait")
    async def wait(text: str = "") -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    async with application(web, wait) as app:
        exchange = Exchange(*pieces)
        async with anyio.create_task_group() as tasks:
            length = (b"content-length", b"%d" % sum(map(len, pieces)))
            given = scope("POST", "/wait", headers=[*JSON, length])
            tasks.start_soon(app, given, exchange.receive, exchange.send)
            with anyio.fail_after(5):
                await started.wait()
                exchange.gone.set()
                await cancelled.wait()
        assert exchange.sent == []


async def test_a_disconnect_before_the_body_is_there(web: Any) -> None:
    async with application(web, echo) as app:
        exchange = Exchange(b'{"te', b"xt", leaves=True)
        exchange._incoming[-1]["more_body"] = True
        with anyio.fail_after(5):
            await app(scope("POST", "/echo", headers=JSON), exchange.receive, exchange.send)
        assert exchange.sent == []


async def test_an_aborted_stream_raises(web: Any) -> None:
    @http.get("/broken")
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise ValueError("secret")

    async with application(web, broken) as app:
        exchange = Exchange()
        with pytest.raises(StreamAbortedError):
            await app(scope("GET", "/broken"), exchange.receive, exchange.send)
        assert exchange.body == b"1\n"
        assert exchange.sent[-1]["more_body"]


@pytest.mark.parametrize("kind", ["lines", "events"])
async def test_a_client_that_leaves_a_stream_is_no_failure(web: Any, kind: Any) -> None:
    closed = anyio.Event()

    @http.get("/endless", stream=kind)
    async def endless() -> AsyncIterator[int]:
        try:
            yield 1
            await anyio.sleep_forever()
        finally:
            closed.set()

    async with application(web, endless) as app:
        exchange = Exchange()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(app, scope("GET", "/endless"), exchange.receive, exchange.send)
            with anyio.fail_after(5):
                while len(exchange.sent) < 2:
                    await anyio.sleep(0.01)
                exchange.gone.set()
                await closed.wait()
        assert exchange.sent[-1]["more_body"]
        assert app.in_flight == set()


async def test_what_is_not_http(web: Any) -> None:
    async with application(web, item) as app:
        exchange = Exchange()
        with pytest.raises(NotImplementedError):
            await app({"type": "lifespan"}, exchange.receive, exchange.send)
        assert exchange.sent == []


async def test_no_request_is_left_behind(web: Any) -> None:
    async with application(web, item, echo) as app:
        for _ in range(3):
            exchange = Exchange()
            await app(scope("GET", "/items/x"), exchange.receive, exchange.send)
            exchange = Exchange(b"{")
            await app(scope("POST", "/echo", headers=JSON), exchange.receive, exchange.send)
            assert app.in_flight == set()


BESIDE = [
    "/assets/../public-secret/x.txt",
    "/assets/..\\public-secret\\x.txt",
    "/assets//etc/passwd",
    "/assets/x/../../public-secret/x.txt",
    "/assets/\\\\server\\share",
    "/assets/../assets-secret/x.txt",
    "/assets-secret/x.txt",
    "/assets/link.txt",
    "/assets/.env",
    "/assets/none.txt",
]


@pytest.fixture
def public(tmp_path: Path) -> Path:
    root = tmp_path / "public"
    root.mkdir()
    (tmp_path / "public-secret").mkdir()
    (tmp_path / "public-secret" / "x.txt").write_text("secret")
    (root / "a.txt").write_text("0123456789")
    (root / ".env").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "public-secret" / "x.txt")
    return root


async def test_folders_at_this_boundary(web: Any, public: Path) -> None:
    # bad input 53: where the server in front may have decoded the path, or not have looked at it
    async with application(web, static={"/assets": {"folder": str(public)}}) as app:
        missing = Exchange()
        await app(scope("GET", "/assets/none.txt"), missing.receive, missing.send)
        for path in BESIDE:
            for raw in (
                {},
                {"raw_path": quote(path, safe="").encode()},
                {"raw_path": path.encode()},
            ):
                exchange = Exchange()
                await app(scope("GET", path, **raw), exchange.receive, exchange.send)
                assert exchange.status in (400, 404), path
                if exchange.status == 404:
                    assert exchange.sent == missing.sent, path
        for path in ("/assets/a.txt\0", "/assets/\0"):
            exchange = Exchange()
            await app(scope("GET", path), exchange.receive, exchange.send)
            assert exchange.status in (400, 404)
        exchange = Exchange()
        await app(scope("GET", "/assets/a.txt"), exchange.receive, exchange.send)
        assert (exchange.status, exchange.body) == (200, b"0123456789")


async def test_ranges_at_this_boundary(web: Any, public: Path) -> None:
    # bad input 54
    async with application(web, static={"/assets": {"folder": str(public)}}) as app:
        for value, status, body in (
            (b"bytes=" + b"0-," * 10_000, 200, b"0123456789"),
            (b"bytes=" + b",".join(b"%d-%d" % (n, n + 5) for n in range(5000)), 200, b"0123456789"),
            (b"bytes=0-,0-,0-", 206, b"0123456789"),
            (b"bytes=5-2", 200, b"0123456789"),
            (b"bytes=" + b"9" * 30 + b"-", 200, b"0123456789"),
            (b"bytes=8-" + b"9" * 18, 206, b"89"),
        ):
            exchange = Exchange()
            given = scope("GET", "/assets/a.txt", headers=[(b"range", value)])
            await app(given, exchange.receive, exchange.send)
            assert (exchange.status, exchange.body) == (status, body), value[:40]


async def test_a_file_that_shrinks_raises(web: Any, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(b"x" * 500_000)

    @http.get("/file")
    async def file() -> http.File:
        return http.File(path)

    class Shrinking(Exchange):
        async def send(self, message: Any) -> None:
            await super().send(message)
            path.write_bytes(b"")

    async with application(web, file) as app:
        exchange = Shrinking()
        with pytest.raises(StreamAbortedError):
            await app(scope("GET", "/file"), exchange.receive, exchange.send)
        assert (b"content-length", b"500000") in exchange.sent[0]["headers"]
        assert exchange.sent[-1]["more_body"]


async def test_a_server_that_sends_files_is_given_spans_of_the_open_one(
    web: Any, tmp_path: Path
) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(b"x" * 500_000)

    @http.get("/large")
    async def large() -> http.File:
        return http.File("large.bin", within=tmp_path)

    class Sends(Exchange):
        async def send(self, message: Any) -> None:
            if message["type"] == ZEROCOPYSEND:
                found = os.pread(message["file"].fileno(), message["count"], message["offset"])
                if len(found) < message["count"]:
                    raise EOFError
                message = {"type": ZEROCOPYSEND, "body": found, "more_body": message["more_body"]}
            await super().send(message)

    async with application(web, large) as app:
        for headers, parts, kinds in (
            ([], [500_000, 0], [ZEROCOPYSEND, "http.response.body"]),
            ([(b"range", b"bytes=-400000")], [400_000, 0], [ZEROCOPYSEND, "http.response.body"]),
        ):
            exchange = Sends()
            given = scope("GET", "/large", headers=headers, extensions={ZEROCOPYSEND: {}})
            await app(given, exchange.receive, exchange.send)
            assert [each["type"] for each in exchange.sent[1:]] == kinds
            assert [len(each["body"]) for each in exchange.sent[1:]] == parts
            assert [each["more_body"] for each in exchange.sent[1:-1]] == [True]
        exchange = Sends()
        several = [(b"range", b"bytes=0-99999,200000-299999")]
        given = scope("GET", "/large", headers=several, extensions={ZEROCOPYSEND: {}})
        await app(given, exchange.receive, exchange.send)
        assert exchange.body.count(b"x") == 200_000
        assert (b"content-length", b"%d" % len(exchange.body)) in exchange.sent[0]["headers"]

        class Shrinking(Sends):
            async def send(self, message: Any) -> None:
                os.truncate(path, 1000)
                await super().send(message)

        exchange = Shrinking()
        given = scope("GET", "/large", extensions={ZEROCOPYSEND: {}})
        with pytest.raises(StreamAbortedError):
            await app(given, exchange.receive, exchange.send)


@pytest.mark.parametrize("name", ["plain", "within"])
async def test_a_server_that_sends_files_is_given_the_path(
    web: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(b"x" * 500_000)

    @http.get("/plain")
    async def plain() -> http.File:
        return http.File("large.bin")

    @http.get("/within")
    async def within() -> http.File:
        return http.File("large.bin", within=tmp_path)

    monkeypatch.chdir(tmp_path)
    extensions: Any = {"http.response.pathsend": {}}
    async with application(web, plain, within) as app:
        exchange = Exchange()
        given = scope("GET", f"/{name}", extensions=extensions)
        await app(given, exchange.receive, exchange.send)
        assert (b"content-length", b"500000") in exchange.sent[0]["headers"]
        if name == "plain":
            assert exchange.sent[1:] == [{"type": "http.response.pathsend", "path": str(path)}]
        else:
            # By a name from outside only this process finds the file that it has checked.
            assert exchange.body == b"x" * 500_000
        for method, more, size in (
            ("HEAD", [], 0),
            ("GET", [(b"range", b"bytes=0-99999")], 100_000),
        ):
            exchange = Exchange()
            given = scope(method, f"/{name}", headers=more, extensions=extensions)
            await app(given, exchange.receive, exchange.send)
            assert len(exchange.body) == size
