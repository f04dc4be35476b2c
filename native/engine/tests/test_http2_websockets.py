"""WebSockets over HTTP/2 (RFC 8441) keep the same contract on the engine."""

from __future__ import annotations

import pytest
from services.http2_websockets import Http2WebSocketSuite

pytest.importorskip("covet_engine._native", reason="the library is not built")
pytestmark = pytest.mark.once


class TestEngine(Http2WebSocketSuite):
    server = "engine"
    tables = {"engine": {"http2": True}}
