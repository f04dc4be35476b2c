"""The same requests to the engine and to uvicorn: where the standards leave no choice the answers are equal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from applications import Receive, Scope, Send, listening_socket, serving
from wire import PATIENCE, Answer, connected, request

DIFFERENT = {"date", "server", "connection", "keep-alive"}
"""Fields in which servers may differ."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it was told, in the way the path names."""
    if scope["type"] != "http":
        raise NotImplementedError
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    told = {
        name: scope[name].decode("latin-1") if isinstance(scope[name], bytes) else scope[name]
        for name in (
            "type", "http_version", "method", "scheme", "path", "raw_path", "query_string",
            "root_path",
        )
    }  # fmt: skip
    told["headers"] = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
    told["body"] = body.decode("latin-1")
    said = json.dumps(told).encode()
    headers = [(b"content-type", b"application/json"), (b"x-a", b"1"), (b"x-b", b"\xe9")]
    first, _, rest = scope["path"].lstrip("/").partition("/")
    status = int(rest) if first == "status" else 200
    if first == "declared":
        headers.append((b"content-length", b"%d" % len(said)))
    start = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    if first == "stream":
        for at in range(0, len(said), 50):
            piece = said[at : at + 50]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
    else:
        await send({"type": "http.response.body", "body": b"" if status in (204, 304) else said})


@pytest.fixture(scope="module")
def reference() -> Iterator[int]:
    """The same application on uvicorn, in a process of its own; gives its port."""
    with listening_socket() as bound:
        port: int = bound.getsockname()[1]
        bound.set_inheritable(True)
        command = [sys.executable, __file__, str(bound.fileno())]
        process = subprocess.Popen(command, pass_fds=[bound.fileno()])
    yield port
    process.terminate()
    process.wait(PATIENCE)


CORPUS: dict[str, bytes] = {
    "plain": request("/"),
    "query": request("/a?b=c&d=%20e"),
    "empty query": request("/a?"),
    "escapes": request("/%C3%A9/%2F/%zz/a+b"),
    "double slash": request("//a//b"),
    "dots": request("/a/../b"),
    "fields": request("/", "GET", b"", "X-One: 1", "x-one: 2", "X-Odd: \xe9 \t", "X-None:"),
    "head": request("/", "HEAD"),
    "head declared": request("/declared", "HEAD"),
    "options": request("/", "OPTIONS"),
    "delete": request("/", "DELETE"),
    "own method": request("/", "BREW"),
    "body": request("/", "POST", b"hello"),
    "empty body": request("/", "POST"),
    "get with a body": b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
    "chunked": (
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"
    ),
    "large body": request("/", "PUT", b"x" * 100_000),
    "stream": request("/stream"),
    "stream head": request("/stream", "HEAD"),
    "declared": request("/declared"),
    "201": request("/status/201"),
    "204": request("/status/204"),
    "304": request("/status/304"),
    "404": request("/status/404"),
    "418": request("/status/418"),
    "503": request("/status/503"),
    "old": b"GET /old HTTP/1.0\r\n\r\n",
    "old with a body": b"POST /old HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "bad name": b"GET / HTTP/1.1\r\nHost: h\r\nBad Name: 1\r\n\r\n",
    "bad length": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
    "bad line": b"GET\r\n\r\n",
    "control": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n",
}


async def ask(port: int, data: bytes) -> Answer:
    """The answer on a connection of its own."""
    method = data.partition(b" ")[0].decode()
    async with connected(port) as client:
        await client.send(data)
        return await client.answer(method)


def fixed(found: Answer, *, declared: bool) -> dict[str, Any]:
    """What the standards fix of an answer, whose length the application may have declared."""
    fields = {name: value for name, value in found.headers.items() if name not in DIFFERENT}
    if found.status >= 400 and "x-a" not in fields:
        return {"status": found.status}  # the server's own words are its own
    body: Any = json.loads(found.body) if found.body else None
    if not declared:
        # A server may know the length, or may not.
        fields.pop("transfer-encoding", None)
        fields.pop("content-length", None)
    return {"status": found.status, "fields": fields, "body": body}


@pytest.mark.parametrize("name", CORPUS)
async def test_answers_are_equal_where_the_standards_fix_them(name: str, reference: int) -> None:
    expected = await ask(reference, CORPUS[name])
    async with serving(app) as port:
        found = await ask(port, CORPUS[name])
    declared = b" /declared " in CORPUS[name]
    assert fixed(found, declared=declared) == fixed(expected, declared=declared)


if __name__ == "__main__":
    uvicorn.run(
        app, fd=int(sys.argv[1]), http="h11", loop="asyncio", ws="none", lifespan="off",
        log_level="critical",
    )  # fmt: skip
