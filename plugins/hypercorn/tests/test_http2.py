"""HTTP/2 on the portable server: what every server does with it, and what is its own."""

from __future__ import annotations

from typing import Any

from services.http2 import NO_ERROR
from services.http2_suite import Http2ServerSuite

from covet_http import HttpServer
from covet_hypercorn import HypercornConfig, HypercornServer


class TestHypercorn(Http2ServerSuite):
    aborted = 504
    unwanted = frozenset({NO_ERROR, 5})

    def make(self, **config: Any) -> HttpServer:
        return HypercornServer(HypercornConfig(**config))
