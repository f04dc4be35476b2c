"""Covet inside of another server: its lifespan in process, and real servers on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import covet_http as http
from covet_http import Message, StartupFailedError

SHOP = """
import anyio
import covet_http as http
from covet_kernel import Plugin
from contextlib import asynccontextmanager

LIFE = []


@http.get("/books/{id:int}")
async def book(id: int) -> int:
    return id


@http.get("/who")
async def who(request: http.Request) -> list[str | None]:
    return [request.method, request.path, request.headers["host"], request.client]


@http.get("/closed/")
async def closed() -> None: ...


@http.websocket("/rooms/{room}")
async def room(socket: http.WebSocket, room: int) -> None:
    await socket.accept()
    async for message in socket:
        await socket.send(f"{room}: {message}")


@http.get("/slow")
async def slow() -> str:
    LIFE.append("slow")
    await anyio.sleep(0.2)
    return "slow"


class Store(Plugin[None]):
    @asynccontextmanager
    async def covet_lifespan(self, ctx):
        LIFE.append("started")
        yield
        LIFE.append("stopped")
        if "fails" in LIFE:
            raise RuntimeError("the disk is full")
        print("stopped", flush=True)


class Crash(Plugin[None]):
    @asynccontextmanager
    async def covet_lifespan(self, ctx):
        crash = anyio.Event()
        LIFE.append(crash)

        async def serve(serving):
            await crash.wait()
            raise RuntimeError("crashed")

        ctx.serve(serve)
        yield


async def legacy(scope, receive, send):
    assert scope["root_path"] in ("/legacy", "/api/legacy")
    headers = [(b"content-length", b"0"), (b"x-path", scope["path"].encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def covet_http_mounts():
    yield http.mount("/legacy", legacy)
"""
TOML = """
[app]
modules = ["{module}"]

[plugins.http]
port = 1
trailing_slash = "redirect"

[plugins.http.tls]
certificate = "nowhere.pem"

[plugins.hypercorn]
http2 = true

[plugins.store]
use = "{module}:Store"
"""
_numbers = iter(range(1_000_000))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    module = f"outer_shop_{next(_numbers)}"
    (tmp_path / f"{module}.py").write_text(SHOP)
    (tmp_path / "covet.toml").write_text(TOML.format(module=module))
    (tmp_path / "service.py").write_text("import covet_http\napp = covet_http.asgi_app()\n")
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path


def source_of(folder: Path) -> Path:
    return next(folder.glob("outer_shop_*.py"))


def module_of(folder: Path) -> Any:
    return sys.modules[source_of(folder).stem]


async def ask(
    app: Any, method: str, path: str, *, headers: Any = ((b"host", b"a"),), **more: Any
) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Message] = []
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not messages:
            await anyio.sleep_forever()
        return messages.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": list(headers),
        **more,
    }
    await app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(m["body"] for m in sent[1:])


@asynccontextmanager
async def living(app: Any) -> AsyncIterator[None]:
    async with http.asgi_lifespan(app):
        yield


async def test_it_lives_in_the_lifespan(folder: Path) -> None:
    app = http.asgi_app(folder / "covet.toml", environ={})
    assert (await ask(app, "GET", "/books/7"))[0] == 503
    async with living(app):
        status, _, body = await ask(app, "GET", "/books/7")
        assert (status, body) == (200, b"7")
        assert (await ask(app, "GET", "/books/seven"))[0] == 404
        assert module_of(folder).LIFE == ["started"]
    assert module_of(folder).LIFE == ["started", "stopped"]
    assert (await ask(app, "GET", "/books/7"))[0] == 503


async def test_it_lives_again(folder: Path) -> None:
    app = http.asgi_app(str(folder / "covet.toml"), environ={})
    for _ in range(2):
        async with living(app):
            assert (await ask(app, "GET", "/books/7"))[0] == 200


async def test_a_stop_waits_for_what_is_in_flight(folder: Path) -> None:
    app = http.asgi_app(folder / "covet.toml", environ={})
    answers = []

    async def slow() -> None:
        answers.append(await ask(app, "GET", "/slow"))

    async with anyio.create_task_group() as tasks:
        async with living(app):
            tasks.start_soon(slow)
            while "slow" not in module_of(folder).LIFE:
                await anyio.sleep(0.01)
        assert answers[0][2] == b'"slow"'


async def test_it_may_be_mounted_itself(folder: Path) -> None:
    app = http.asgi_app(folder / "covet.toml", environ={})
    async with living(app):
        for path, more in (
            ("/api/closed", {"root_path": "/api", "raw_path": b"/api/closed"}),
            ("/api/closed", {"root_path": "/api/"}),
            # Of servers that take the root away.
            ("/closed", {"root_path": "/api"}),
        ):
            status, headers, _ = await ask(app, "GET", path, **more)
            assert (status, headers[b"location"]) == (308, b"/api/closed/")
        assert (await ask(app, "GET", "/apix/closed/", root_path="/api"))[0] == 404
        _, headers, _ = await ask(app, "GET", "/api/legacy/x", root_path="/api")
        assert headers[b"x-path"] == b"/api/legacy/x"
        _, headers, _ = await ask(app, "GET", "/legacy/x", root_path="/api")
        assert headers[b"x-path"] == b"/api/legacy/x"


async def test_overrides_and_variables_count(folder: Path) -> None:
    app = http.asgi_app(
        folder / "covet.toml",
        overrides=["plugins.http.trailing_slash=ignore"],
        environ={"COVET_PLUGINS__HTTP__HEALTH_PATH": "/health"},
    )
    async with living(app):
        assert (await ask(app, "GET", "/closed"))[0] == 204
        assert (await ask(app, "GET", "/health"))[0] == 200


async def test_what_is_wrong_is_told_at_the_start(folder: Path) -> None:
    app = http.asgi_app(folder / "covet.toml", overrides=["plugins.http.prot=1"], environ={})
    with pytest.raises(StartupFailedError, match="COVET-CONFIG-KEY"):
        async with living(app):
            raise AssertionError("it started")
    app = http.asgi_app(folder / "none.toml", environ={})
    with pytest.raises(StartupFailedError, match="COVET-CONFIG-FILE"):
        async with living(app):
            raise AssertionError("it started")


async def test_a_mounted_application_that_fails_is_a_failed_start(folder: Path) -> None:
    module = source_of(folder)
    failing = (
        "async def legacy(scope, receive, send):\n    await receive()\n"
        '    await send({"type": "lifespan.startup.failed", "message": "no database"})\n\n\n'
        "def covet_http_mounts"
    )
    module.write_text(SHOP.replace("def covet_http_mounts", failing))
    app = http.asgi_app(folder / "covet.toml", environ={})
    with pytest.raises(StartupFailedError, match="no database"):
        async with living(app):
            raise AssertionError("it started")


async def test_a_crash_is_answered_503(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    name = source_of(folder).stem
    with (folder / "covet.toml").open("a") as file:
        file.write(f'\n[plugins.crash]\nuse = "{name}:Crash"\n')
    app = http.asgi_app(folder / "covet.toml", environ={})
    async with living(app):
        assert (await ask(app, "GET", "/books/7"))[0] == 200
        next(each for each in module_of(folder).LIFE if isinstance(each, anyio.Event)).set()
        with anyio.fail_after(5):
            while (await ask(app, "GET", "/books/7"))[0] != 503:
                await anyio.sleep(0.01)
    assert "crashed" in caplog.text
    assert module_of(folder).LIFE[-1] == "stopped"


async def test_a_stop_that_fails_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = http.asgi_app(folder / "covet.toml", environ={})
    async with living(app):
        module_of(folder).LIFE.append("fails")
    assert "the disk is full" in caplog.text


async def test_websockets_are_refused_where_there_are_none(folder: Path) -> None:
    app = http.asgi_app(folder / "covet.toml", environ={})
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async with living(app):
        await app({"type": "websocket", "path": "/none", "headers": []}, receive, send)
    await app({"type": "websocket", "path": "/none", "headers": []}, receive, send)
    assert [each["type"] for each in sent] == ["websocket.close", "websocket.close"]


# The ASGI boundary, whatever the server in front lets through.


async def test_bad_input_at_the_boundary(folder: Path) -> None:
    app = http.asgi_app(folder / "covet.toml", environ={})
    async with living(app):
        for host in (b"a/admin?", b"a@b", b"a b", b"a\x00", b"a,b", b"[::1", b"a:b"):
            # bad input 35
            assert (await ask(app, "GET", "/who", headers=[(b"host", host)]))[0] == 400, host
        twice = [(b"host", b"a"), (b"host", b"a")]
        assert (await ask(app, "GET", "/who", headers=twice))[0] == 400
        for target in ("@evil.example", "evil.example", "*", "", "http://evil.example/who"):
            # bad input 36
            status, _, _ = await ask(app, "GET", target, raw_path=target.encode())
            assert status == 400, target
        for method in ("__init__", "dispatch", "get", "Get", "GET ", ""):
            # bad input 37
            assert (await ask(app, method, "/who"))[0] == 405, method
        for path in ("//evil.example/closed", "/\\evil.example/closed", "//closed", "/%2F/closed"):
            # bad input 38
            status, headers, _ = await ask(app, "GET", path)
            assert (status, b"location" in headers) == (404, False), path


# Real servers


@contextmanager
def process(folder: Path, *command: str) -> Iterator[int]:
    """A server that answers on the port it yields, and stops cleanly at SIGTERM."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [each.format(port=port) for each in command]
    running = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert running.poll() is None, running.communicate()[0]
                assert time.monotonic() < until
                time.sleep(0.05)
        yield port
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=20)
        assert b"stopped" in said, said
        assert b"Traceback" not in said, said
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate()


def exchange(port: int, raw: bytes) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(raw)
        said = b""
        while piece := client.recv(65536):
            said += piece
    return int(said.split(b" ", 2)[1]), said


SERVERS = {
    "uvicorn": (
        "uvicorn", "service:app", "--port", "{port}", "--log-level", "warning",
        "--ws", "websockets-sansio",
    ),
    "hypercorn": ("hypercorn", "service:app", "--bind", "127.0.0.1:{port}"),
    "hypercorn-trio": ("hypercorn", "service:app", "--bind", "127.0.0.1:{port}", "-k", "trio"),
}  # fmt: skip


@pytest.mark.once
@pytest.mark.parametrize("server", SERVERS)
def test_a_real_server(server: str, folder: Path) -> None:
    def get(target: bytes, host: bytes = b"localhost", method: bytes = b"GET") -> tuple[int, bytes]:
        return exchange(
            port,
            b"%b %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % (method, target, host),
        )

    with process(folder, *SERVERS[server]) as port:
        status, said = get(b"/books/7")
        assert (status, said.endswith(b"\r\n\r\n7")) == (200, True)
        status, said = get(b"/who?x=1")
        assert json.loads(said.rpartition(b"\r\n\r\n")[2])[:3] == ["GET", "/who", "localhost"]
        assert b"\r\nlocation: /closed/?a=%20b\r\n" in get(b"/closed?a=%20b")[1].lower()
        assert get(b"/legacy/a%20b")[0] == 200
        assert get(b"/who", host=b"a/admin?")[0] == 400  # bad input 35
        assert get(b"@evil.example")[0] in (400, 404)  # bad input 36
        assert get(b"/who", method=b"__init__")[0] in (400, 405, 501)  # bad input 37
        for target in (b"//evil.example/closed", b"/%5Cevil.example/closed"):
            # bad input 38
            status, said = get(target)
            assert (status, b"location:" in said.lower()) == (404, False)
        with connect(f"ws://127.0.0.1:{port}/rooms/3") as ws:
            for text in ("a", "b" * 100_000):
                ws.send(text)
                assert ws.recv() == f"3: {text}"
        for path, origin, refused in (
            ("/none", None, {403, 404}),
            ("/rooms/3", "https://x", {403}),
        ):
            with pytest.raises(InvalidStatus) as raised:
                with connect(f"ws://127.0.0.1:{port}{path}", origin=origin):  # type: ignore[arg-type]
                    pass
            assert raised.value.response.status_code in refused


@pytest.mark.once
def test_a_real_server_does_not_start_what_is_wrong(folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "uvicorn", "service:app", "--port", "0"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "COVET_PLUGINS__HTTP__PROT": "1",
        },
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode != 0
    assert b"COVET-CONFIG-KEY" in ran.stderr + ran.stdout
