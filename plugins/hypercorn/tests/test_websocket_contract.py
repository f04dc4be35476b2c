"""The portable server keeps the contract of WebSockets."""

from __future__ import annotations

from covet_http.testing import WebSocketServerSuite


class TestHypercorn(WebSocketServerSuite):
    server = "hypercorn"
