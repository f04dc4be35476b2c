"""Bodies at the ASGI boundary: there at once or later, in one piece or in many, as announced or not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Generator
from itertools import pairwise
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from asgi_boundary import application, scope
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import covet_http as http
from covet_kernel.contracts import Call, Layer, Phase

LIMIT = 64


class Server:
    """Gives a body away in pieces, in one of the ways in which servers do.

    Args:
        pieces: The body.
        how: ``"at once"``, ``"later"`` each after a turn of the loop, or ``"awaitable"``: by something
            that is no coroutine.
        leaves: Whether the client is gone after the last of them, which is then not the end.
    """

    def __init__(self, pieces: list[bytes], how: str, *, leaves: bool = False) -> None:
        self._messages: list[Any] = [
            {"type": "http.request", "body": piece, "more_body": leaves or index < len(pieces) - 1}
            for index, piece in enumerate(pieces)
        ]
        if leaves:
            self._messages.append({"type": "http.disconnect"})
        self._how = how
        self.asked = 0
        self.sent: list[Any] = []

    def receive(self) -> Any:
        self.asked += 1
        return Message(self) if self._how == "awaitable" else self.take()

    async def take(self) -> Any:
        if self._how != "at once":
            await anyio.lowlevel.checkpoint()
        if not self._messages:
            await anyio.sleep_forever()
        if len(self._messages) > 1 or self._messages[0]["type"] != "http.disconnect":
            return self._messages.pop(0)
        return self._messages[0]

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def answer(self, app: Any, headers: list[tuple[bytes, bytes]], path: str) -> Any:
        """Status and body; ``None`` if nothing was said."""
        await app(scope("POST", path, headers=headers), self.receive, self.send)
        if not self.sent:
            return None
        start, *rest = self.sent
        return start["status"], json.loads(b"".join(each["body"] for each in rest))


class Message:
    """Awaitable, but no coroutine."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._server.take().__await__()


@http.post("/plain")
def plain(words: list[str]) -> list[str]:
    return words


@http.post("/waits")
async def waits(words: list[str]) -> list[str]:
    await anyio.lowlevel.checkpoint()
    return words


class Slow:
    """Stands before the body is read, and waits."""

    name = "slow"
    phase = Phase.LIMIT
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def bind(self, operation: Any, binding: Any) -> Layer | None:
        async def wait(call: Call) -> None:
            await anyio.lowlevel.checkpoint()

        return Layer(before=wait) if operation.name.endswith("slow") else None


def split(body: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    return [body[a:b] for a, b in pairwise(edges)] or [b""]


HOW = ["at once", "later", "awaitable"]
PATHS = ["/plain", "/waits"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(max_size=12), max_size=6),
    st.lists(st.integers(0, 90), max_size=4),
    st.sampled_from(HOW),
    st.sampled_from(PATHS),
    st.sampled_from([None, 0, 1, -1]),
)
async def test_however_it_comes(
    web: Any, words: list[str], cuts: list[int], how: str, path: str, off: int | None
) -> None:
    body = json.dumps({"words": words}).encode()
    headers = [(b"content-type", b"application/json")]
    if off is not None:
        headers.append((b"content-length", b"%d" % (len(body) + off)))
    async with application(web, plain, waits, max_body_bytes=LIMIT) as app:
        server = Server(split(body, cuts), how)
        status, answer = await server.answer(app, headers, path)
        if len(body) > LIMIT or (off is not None and len(body) + off > LIMIT):
            assert status == 413
            if off is not None and len(body) + off > LIMIT:
                assert server.asked == 0
        elif off:
            assert (status, answer["code"]) == (400, "malformed")
        else:
            assert (status, answer) == (200, words)
        assert app.in_flight == set()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("pieces", [[], [b'{"wo'], [b'{"wo', b"rds"]])
async def test_the_client_leaves_before_its_end(
    web: Any, how: str, pieces: list[bytes], path: str
) -> None:
    async with application(web, plain, waits) as app:
        server = Server(pieces, how, leaves=True)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"15")]
        assert await server.answer(app, headers, path) is None
        assert app.in_flight == set()


@pytest.mark.parametrize("how", HOW)
async def test_compressed(web: Any, how: str) -> None:
    body = gzip.compress(b'{"words": ["a"]}')
    headers = [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")]
    async with application(web, plain, decompress=["gzip"]) as app:
        assert await Server([body], how).answer(app, headers, "/plain") == (200, ["a"])
        server = Server([b"no gzip"], how)
        assert (await server.answer(app, headers, "/plain"))[0] == 400


TWICE = [
    [(b"content-type", b"application/json"), (b"content-type", b"application/json")],
    [
        (b"content-type", b"application/json"),
        (b"content-length", b"15"),
        (b"content-length", b"15"),
    ],
]


@pytest.mark.parametrize("headers", TWICE)
async def test_a_header_of_which_there_is_one_comes_twice(web: Any, headers: Any) -> None:
    async with application(web, plain) as app:
        server = Server([b'{"words":["a"]}'], "at once")
        status, answer = await server.answer(app, headers, "/plain")
        assert (status, answer["code"]) == (400, "malformed")
        assert server.asked == 0


async def test_other_headers_may_come_twice(web: Any) -> None:
    headers = [(b"x-a", b"1"), (b"content-type", b"application/json"), (b"x-a", b"2")]
    async with application(web, plain) as app:
        server = Server([b'{"words":["a"]}'], "at once")
        assert await server.answer(app, headers, "/plain") == (200, ["a"])


@pytest.mark.parametrize("length", [b"-1", b"1x", b"", b"9" * 30, b"\xb2"])
async def test_lengths_that_are_none(web: Any, length: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    async with application(web, plain) as app:
        server = Server([b'{"words":["a"]}'], "at once")
        assert (await server.answer(app, headers, "/plain"))[0] == 400


@pytest.mark.parametrize("how", HOW)
async def test_a_layer_that_waits_before_it_is_read(web: Any, how: str) -> None:
    @http.post("/slow")
    def slow(words: list[str]) -> list[str]:
        return words

    more = web.plugin_of(covet_interceptors=lambda self: [Slow()])
    async with application(web, slow, plugins={"more": more}) as app:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"15")]
        server = Server([b'{"words', b'":["a"]}'], how)
        assert await server.answer(app, headers, "/slow") == (200, ["a"])


async def test_what_a_server_raises_is_its_own_business(web: Any) -> None:
    class BrokenError(Exception): ...

    async def receive() -> Any:
        raise BrokenError

    async with application(web, plain) as app:
        server = Server([], "at once")
        headers = [(b"content-type", b"application/json")]
        await app(scope("POST", "/plain", headers=headers), receive, server.send)
        assert server.sent[0]["status"] == 500
