"""The plugin: what channels need of each serving phase."""

from __future__ import annotations

from covet_kernel import Plugin
from covet_operations import OPERATIONS
from covet_websocket._config import WebSocketsConfig


class WebSockets(Plugin[WebSocketsConfig]):
    """Typed channels over the WebSockets of covet-http."""

    requires = (OPERATIONS,)
    implies = ("operations", "http")
