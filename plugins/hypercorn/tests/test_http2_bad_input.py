"""What no HTTP/2 client should send to the portable server, and the guard that counts frames for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.http2 import BLOCK, CALM, PREFACE, PROTOCOL, PSEUDO, echo, frame, raw
from services.http2_bad_input_suite import Http2BadInputSuite

from covet_http import HttpServer
from covet_hypercorn import HypercornConfig, HypercornServer
from covet_hypercorn._frames import FloodError, FrameGuard


class TestHypercorn(Http2BadInputSuite):
    at_once = {
        "made-to-reset-by-header": PROTOCOL,
        "made-to-reset-by-no-window": PROTOCOL,
        "made-to-reset-by-priority": PROTOCOL,
        "empty-headers": PROTOCOL,
    }

    def make(self, **config: Any) -> HttpServer:
        return HypercornServer(HypercornConfig(**config))

    @pytest.mark.parametrize("more", [[("a", "x" * 3900)] * 2000, [("cookie", "a=b")] * 5000])
    async def test_a_bomb_of_headers_is_refused_where_it_is_unpacked(self, more: Any) -> None:
        # bad input 30
        async with self.serve(echo) as listener, raw(listener) as client:
            block = client.block([*PSEUDO, *more])
            assert len(block) < 16_000
            await client.send(frame(1, 1, block, 0x5))
            await client.until_closed()
            assert client.goaway == CALM

    async def test_a_length_among_trailers_is_not_one_of_the_body(self) -> None:
        # bad input 33
        said = [("host", "evil"), ("authorization", "x"), ("content-length", "9")]
        await self.passes_over_trailers([*said, ("cookie", "a=b")])


# The guard


@given(st.lists(st.integers(1, 60), max_size=20))
def test_frames_are_counted_however_they_are_split(sizes: list[int]) -> None:
    data = PREFACE + frame(1, 1, BLOCK, 0x4) + frame(3, 1, b"1234") * 501
    guard = FrameGuard(1000, lambda: 0.0)
    at = 0
    with pytest.raises(FloodError):
        for size in (*sizes, len(data)):
            guard.received(data[at : at + size])
            at += size
            assert at < len(data)
    calm = FrameGuard(1000, lambda: 0.0)
    calm.received(data[:-13])
    calm.sent(frame(1, 1, b"x") + frame(0, 1, b"x" * 100))


def test_budgets_are_refilled_with_time_and_with_what_is_sent() -> None:
    now = 0.0
    guard = FrameGuard(1000, lambda: now)
    guard.received(b"x" * 24)
    for _ in range(20):
        guard.received(frame(3, 1, b"1234") * 499)
        now += 10.0
    now = 200.0
    for _ in range(100):
        guard.received(frame(8, 1, b"1234") * 32)
        guard.sent(frame(0, 1, b"x" * 16_384))
    with pytest.raises(FloodError):
        guard.received(frame(8, 1, b"1234") * 5000)
