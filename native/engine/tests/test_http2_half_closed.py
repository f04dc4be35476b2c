"""HTTP/2 clients that send no more, as those do that were killed: nothing of theirs waits for a timeout.

Their windows never open again and their bodies never go on, though a whole request is still answered. All timeouts
are longer than any test may take.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from http2_serving import counters, pass_time
from memory import compiled
from pydantic import BaseModel
from services.http2 import BLOCK, PSEUDO, Client, body_of, connected, frame, held, hello, raw
from services.http2_websockets import Tunnel

from covet_engine import EngineConfig, EngineServer
from covet_http import (
    CHANNEL,
    Application,
    Channel,
    ChannelLimits,
    ServerOptions,
    WebSocketClosed,
    post,
)
from covet_operations import operation

pytest.importorskip("covet_engine._native", reason="the library is not built")

WINDOW = 65_535
CANCEL = 8
JSON = [*PSEUDO, ("content-type", "application/json")]
LONG = 600.0
NO_WINDOW = frame(4, 0, b"\0\x04\0\0\0\0")
"""SETTINGS: streams begin with a window of nothing."""


class Some(BaseModel):
    n: int


@asynccontextmanager
async def serve(application: Application) -> AsyncIterator[Any]:
    """A listener for an application, in memory."""
    server = EngineServer(EngineConfig(http2=True))
    limits = ServerOptions(
        linger=0.05, write_timeout=LONG, read_timeout=LONG, keep_alive_timeout=LONG
    )
    async with server.listen([], limits) as listener:
        listener.begin(application)
        yield listener


async def fill(client: Client, stream: int) -> None:
    """Take what the window allows, and open it no further."""
    while len(client.body.get(stream, b"")) < WINDOW:
        await client.step()


@pytest.mark.parametrize("whole", [False, True])
async def test_an_answer_that_waits_for_a_window_is_given_up(whole: bool) -> None:
    told = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"]["covet.disconnect"]["subscribe"](told.set)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(WINDOW + 1), "more_body": True})
        if not whole:
            await told.wait()
        await send({"type": "http.response.body", "body": b""})

    async with serve(application) as listener:
        async with connected(listener, reads=False) as client:
            stream = await client.request()
            await fill(client, stream)
            await client.stream.send_eof()
            await client.until_closed()
        assert client.reset[stream] == CANCEL
        assert counters(listener).connections == 0


async def test_a_websocket_that_waits_for_a_window_is_given_up() -> None:
    codes: list[int] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        channel: Channel = scope["extensions"][CHANNEL]
        await channel.accept(None, [], ChannelLimits())
        try:
            while True:
                while channel.offer(bytes(10_000)):
                    pass
                await channel.drained()
        except WebSocketClosed as closed:
            codes.append(closed.close_code)

    async with serve(application) as listener:
        tunnel = Tunnel(listener.connect())
        with anyio.fail_after(30):
            await tunnel.open("/", {"sec-websocket-version": "13"})
            while len(tunnel._data) < WINDOW:
                await tunnel._more()
            await tunnel.stream.send_eof()
            with pytest.raises(anyio.EndOfStream):
                while True:
                    await tunnel.stream.receive()
            while not codes:
                await anyio.lowlevel.checkpoint()
        assert codes == [1006]
        assert counters(listener).connections == 0


async def test_what_is_whole_is_answered() -> None:
    started, release = anyio.Event(), anyio.Event()

    @operation(on_disconnect="finish")
    @post("/")
    async def keep(some: Some) -> Some:
        started.set()
        await release.wait()
        return some

    async with compiled(keep) as application, serve(application) as listener:
        async with raw(listener) as client:
            for stream in (1, 3, 5):
                await client.send(frame(1, stream, client.block(JSON), 0x4))
                await client.send(frame(0, stream, b'{"n": 1}', 0x1))
            await started.wait()
            await client.stream.send_eof()
            release.set()
            await client.until_closed()
        assert client.status == {1: 200, 3: 200, 5: 200}
        ended = [stream for kind, flags, stream in client.frames if (kind, flags) == (0, 1)]
        assert sorted(ended) == [1, 3, 5]
        assert not client.reset


@pytest.mark.parametrize("later", [False, True])
async def test_a_body_that_does_not_go_on_is_broken_off(later: bool) -> None:
    seen: list[bytes] = []

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        seen.append(await body_of(receive))

    application, started, release = held(reads)
    async with serve(application) as listener:
        async with raw(listener) as client:
            await client.send(frame(1, 1, client.block(PSEUDO), 0x4))
            await started.wait()
            if later:
                await client.send(frame(0, 1, b"half"))
            else:
                release.set()
            await client.stream.send_eof()
            release.set()
            await client.until_closed()
        assert seen in ([b""], [b"half"])
        assert counters(listener).connections == 0


async def test_a_body_that_has_begun_and_nobody_has_seen_is_refused() -> None:
    """Python is not asked while a small body may still come whole."""

    @post("/")
    def keep(some: Some) -> Some:
        return some

    async with compiled(keep) as application, serve(application) as listener:
        async with raw(listener) as client:
            await client.send(frame(1, 1, client.block(JSON), 0x4), frame(0, 1, b'{"n'))
            await client.stream.send_eof()
            await client.until_closed()
        assert client.status == {1: 400}
        assert counters(listener).requests == 0


async def test_a_head_that_is_cut_off_waits_for_nothing() -> None:
    async with serve(hello) as listener:
        async with raw(listener) as client:
            await client.send(frame(1, 1, BLOCK[:-2], 0x1))
            await client.stream.send_eof()
            await client.until_closed()
        assert counters(listener).connections == 0


async def test_an_end_that_waits_for_a_window_has_a_timeout() -> None:
    """Though it carries nothing: a client that goes on must not keep it for ever."""
    done = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        done.set()

    async with serve(application) as listener, raw(listener) as client:
        await client.send(NO_WINDOW, frame(1, 1, client.block(PSEUDO), 0x5))
        await client.until_over(1)
        await done.wait()
        assert 1 not in client.reset
        pass_time(listener, LONG + 1)
        while 1 not in client.reset:
            await client.step()
        assert client.reset[1] == CANCEL
        assert counters(listener).write_timeouts == 1
