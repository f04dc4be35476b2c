"""Test HTTP services in memory: every byte through the chosen server's own parser, no sockets."""

from typing import TYPE_CHECKING, Any

from covet_http.testing._answer import Answer, StreamedAnswer
from covet_http.testing._client import Client, ClientOptions, RequestParts, client_of
from covet_http.testing._connection import Connection, Disconnected
from covet_http.testing._cookies import Cookie, Cookies
from covet_http.testing._events import ServerSentEvent
from covet_http.testing._headers import Headers
from covet_http.testing._read import AnswerReader, Head, WireError
from covet_http.testing._run import run_service, usable_servers
from covet_http.testing._websocket import HandshakeRefused, WebSocketSession

if TYPE_CHECKING:
    from covet_http.testing._websocket_suite import WebSocketServerSuite, WebSocketSuite

__all__ = [
    "Answer",
    "AnswerReader",
    "Client",
    "ClientOptions",
    "Connection",
    "Cookie",
    "Cookies",
    "Disconnected",
    "HandshakeRefused",
    "Head",
    "Headers",
    "RequestParts",
    "ServerSentEvent",
    "StreamedAnswer",
    "WebSocketServerSuite",
    "WebSocketSession",
    "WebSocketSuite",
    "WireError",
    "client_of",
    "run_service",
    "usable_servers",
]


def __getattr__(name: str) -> Any:
    # Their handlers are operations, which only those need who test a server.
    if name not in ("WebSocketServerSuite", "WebSocketSuite"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from covet_http.testing import _websocket_suite

    return getattr(_websocket_suite, name)
