"""Test HTTP services in memory: every byte through the chosen server's own parser, no sockets."""

from covet_http.testing._answer import Answer, StreamedAnswer
from covet_http.testing._client import Client, ClientOptions, RequestParts, client_of
from covet_http.testing._connection import Connection, Disconnected
from covet_http.testing._cookies import Cookie, Cookies
from covet_http.testing._events import ServerSentEvent
from covet_http.testing._headers import Headers
from covet_http.testing._read import AnswerReader, Head, WireError
from covet_http.testing._run import run_service, usable_servers

__all__ = [
    "Answer",
    "AnswerReader",
    "Client",
    "ClientOptions",
    "Connection",
    "Cookie",
    "Cookies",
    "Disconnected",
    "Head",
    "Headers",
    "RequestParts",
    "ServerSentEvent",
    "StreamedAnswer",
    "WireError",
    "client_of",
    "run_service",
    "usable_servers",
]
