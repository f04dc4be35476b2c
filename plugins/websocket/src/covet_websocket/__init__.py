"""Typed channels, calls and rooms over WebSockets: ``import covet_websocket as websocket``."""

from covet_websocket._channel._binding import ChannelBinding, channel
from covet_websocket._channel._connection import Connection
from covet_websocket._config import RpcConfig, WebSocketsConfig
from covet_websocket._encodings import Encoding
from covet_websocket._errors import (
    BadFrame,
    DuplicateId,
    NotAcknowledged,
    TooManyCalls,
    UnknownMethod,
    WrongEncoding,
)
from covet_websocket._plugin import WebSockets
from covet_websocket._rooms import ROOMS, Membership, Rooms, RoomsConfig, WhenSlow
from covet_websocket._rpc._binding import MethodBinding, method
from covet_websocket._rpc._call import MethodCall

__all__ = [
    "ROOMS",
    "BadFrame",
    "ChannelBinding",
    "Connection",
    "DuplicateId",
    "Encoding",
    "Membership",
    "MethodBinding",
    "MethodCall",
    "NotAcknowledged",
    "Rooms",
    "RoomsConfig",
    "RpcConfig",
    "TooManyCalls",
    "UnknownMethod",
    "WebSockets",
    "WebSocketsConfig",
    "WhenSlow",
    "WrongEncoding",
    "channel",
    "method",
]
