"""WebSockets over HTTP/2 (RFC 8441) keep the same contract."""

from __future__ import annotations

import pytest
from services.http2_websockets import Http2WebSocketSuite

pytestmark = pytest.mark.once


class TestHttp2(Http2WebSocketSuite):
    server = "hypercorn"
    tables = {"hypercorn": {"http2": True}}
