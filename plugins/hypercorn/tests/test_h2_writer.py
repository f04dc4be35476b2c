"""What is said over HTTP/2 leaves together, and whoever is cancelled takes nothing of others with him."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from services.http2 import connected

from covet_hypercorn._h2_writer import Writer


class Line:
    """What writes go to.

    Attributes:
        writes: So many have begun.
        open: Set while a write does not wait.
    """

    def __init__(self) -> None:
        self.writes = 0
        self.open = anyio.Event()

    async def flush(self) -> None:
        self.writes += 1
        await self.open.wait()


async def test_what_is_said_in_one_turn_is_one_write() -> None:
    line = Line()
    line.open.set()
    writer = Writer(line.flush)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        for turn in range(1, 4):
            for _ in range(5):
                writer.soon()
                await writer.said(100)
            while line.writes < turn:
                await checkpoint()
        for _ in range(5):
            await checkpoint()
        assert line.writes == 3
        writer.stop()


@pytest.mark.parametrize(("pieces", "size"), [(31, 10), (0, 65_536), (3, 21_845)])
async def test_whoever_says_much_waits_until_it_has_left(pieces: int, size: int) -> None:
    line = Line()
    writer = Writer(line.flush)
    said = 0

    async def say() -> None:
        nonlocal said
        await writer.said(size)
        said += 1

    async with anyio.create_task_group() as tasks:
        writer.soon()
        tasks.start_soon(writer.run)
        while not line.writes:
            await checkpoint()
        for _ in range(pieces + 3):
            tasks.start_soon(say)
        for _ in range(10):
            await checkpoint()
        assert said == pieces
        line.open.set()
        while said < pieces + 3:
            await checkpoint()
        assert line.writes == 2
        writer.stop()


async def test_a_stop_writes_what_was_said_and_lets_everybody_go() -> None:
    line = Line()
    line.open.set()
    writer = Writer(line.flush)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        await checkpoint()
        writer.soon()
        writer.stop()
    assert line.writes == 1
    for _ in range(100):
        await writer.said(65_536)


async def test_whoever_only_sends_notices_that_he_was_cancelled() -> None:
    writer = Writer(Line().flush)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await writer.said(1)
    assert scope.cancelled_caught


async def test_a_call_that_is_cancelled_takes_no_frames_of_others_with_it(server: Any) -> None:
    """Each head builds on those before it: one that was lost would garble all that follow."""
    cancelled = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].encode()
        head = [(b"x-path", path)]
        with anyio.CancelScope() as own:
            await send({"type": "http.response.start", "status": 200, "headers": head})
            if path == b"/much":
                await send({"type": "http.response.body", "body": b"x" * 300_000})
                return
            if path == b"/short":
                await send({"type": "http.response.body", "body": b"short"})
                return
            own.cancel()
            try:
                while True:
                    await send({"type": "http.response.body", "body": b"y", "more_body": True})
            finally:
                cancelled.set()

    async with (
        server.listening(application, config={"http2": True}) as (listener, _),
        connected(listener) as client,
    ):
        client.h2.update_settings({4: 1 << 20})
        client.h2.increment_flow_control_window(1 << 20)
        # More than fits between the two, of which nothing is read yet.
        much = await client.request("/much")
        for _ in range(20):
            await checkpoint()
        lost = await client.request("/lost")
        await cancelled.wait()
        short = await client.request("/short")
        await client.until_over(much, lost, short)
        assert client.body[much] == b"x" * 300_000
        assert client.body[short] == b"short"
        assert client.reset[lost] == 2
        for stream, path in ((much, b"/much"), (lost, b"/lost"), (short, b"/short")):
            assert (b"x-path", path) in client.fields[stream]
