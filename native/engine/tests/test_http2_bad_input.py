"""What no HTTP/2 client should send to the engine: the suite of every server, and what is the engine's own."""

from __future__ import annotations

from typing import Any

import anyio.lowlevel
import pytest
from http2_serving import OnEngine, counters, pass_time
from services.http2 import PROTOCOL, PSEUDO, Calls, frame, hello, raw
from services.http2_bad_input_suite import Http2BadInputSuite

pytest.importorskip("covet_engine._native", reason="the library is not built")


class TestEngine(OnEngine, Http2BadInputSuite):
    at_once = {
        "made-to-reset-by-no-window": PROTOCOL,
        "made-to-reset-by-priority": PROTOCOL,
        "made-to-reset-by-more": 5,
        "oversized": 6,
    }

    @pytest.mark.parametrize("more", [[("a", "x" * 3900)] * 2000, [("cookie", "a=b")] * 5000])
    async def test_a_bomb_of_headers_is_refused_where_it_is_unpacked(self, more: Any) -> None:
        # bad input 30
        calls = Calls()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            with calls.one():
                await hello(scope, receive, send)

        async with self.serve(application) as listener, raw(listener) as client:
            for stream in (1, 3):
                block = client.block([*PSEUDO, *more])
                assert len(block) < 16_000
                await client.send(frame(1, stream, block, 0x5))
                await client.until_over(stream)
                assert client.status[stream] == 431
            # The tables of both sides are still the same.
            await client.send(frame(1, 5, client.block(PSEUDO), 0x5))
            await client.until_over(5)
            assert client.status[5] == 200
            assert calls.all == 1

    async def test_answers_that_nobody_reads_are_bounded_and_given_up(self) -> None:
        # bad input 30
        calls = Calls()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            with calls.one():
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"x" * 500_000})

        async with self.serve(application) as listener, raw(listener) as client:
            settings = frame(4, 0, b"\0\x04\0\0\0\0")  # windows of nothing
            await client.send(settings)
            for n in (1, 3, 5):
                await client.send(frame(1, n, client.block(PSEUDO), 0x5))
                await client.until_over(n)
            await client.send(*(frame(1, n, client.block(PSEUDO), 0x5) for n in range(7, 101, 2)))
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            # More than a megabyte waits, so the others are not even asked for.
            assert calls.all == 3
            pass_time(listener, 60)
            assert counters(listener).write_timeouts == 3
            while len(client.reset) < 3:
                await client.step()
            assert client.reset == {1: 8, 3: 8, 5: 8}

    async def test_too_many_trailers_leave_a_body_incomplete(self) -> None:
        # bad input 32, 33
        await self.refuses_trailers([("x", "1")] * 200)
