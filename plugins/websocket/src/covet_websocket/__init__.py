"""Typed WebSocket channels for covet."""

from covet_websocket._config import WebSocketsConfig
from covet_websocket._plugin import WebSockets

__all__ = [
    "WebSockets",
    "WebSocketsConfig",
]
