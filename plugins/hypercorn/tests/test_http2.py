"""HTTP/2 on the portable server: what every server does with it, and what is its own."""

from __future__ import annotations

from typing import Any

from services.http2 import NO_ERROR, connected, echo
from services.http2_suite import Http2ServerSuite

from covet_http import HttpServer
from covet_hypercorn import HypercornConfig, HypercornServer


class TestHypercorn(Http2ServerSuite):
    aborted = 504
    unwanted = frozenset({NO_ERROR, 5})

    def make(self, **config: Any) -> HttpServer:
        return HypercornServer(HypercornConfig(**config))

    async def test_a_body_that_does_not_come_is_given_up(self) -> None:
        # bad input 21
        async with self.serve(echo, read_timeout=0.05) as listener:
            async with connected(listener) as client:
                await client.request("/", "POST", body=None)
                await client.until_closed()
                assert client.goaway == NO_ERROR
