"""Typed WebSocket channels for covet."""

from covet_websocket._config import WebSocketsConfig
from covet_websocket._plugin import WebSockets
from covet_websocket._rooms import ROOMS, Membership, Rooms, RoomsConfig, WhenSlow

__all__ = [
    "ROOMS",
    "Membership",
    "Rooms",
    "RoomsConfig",
    "WebSockets",
    "WebSocketsConfig",
    "WhenSlow",
]
