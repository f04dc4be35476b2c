"""The native engine keeps the contract of WebSockets."""

from __future__ import annotations

from covet_http.testing import WebSocketServerSuite


class TestEngine(WebSocketServerSuite):
    server = "engine"
