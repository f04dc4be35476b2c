"""REST for covet: ``import covet_http as http`` and decorate with ``http.get``, ``http.post`` and so on."""

from covet_http._binding import Header, HttpBinding, Query, delete, get, patch, post, put
from covet_http._config import HttpConfig
from covet_http._plugin import HTTP, Http, HttpService
from covet_http._problem import BodyTimeout, Malformed
from covet_http._request import Request
from covet_http._route import StreamAbortedError
from covet_http._server import (
    DISCONNECT,
    HTTP_SERVER,
    Application,
    HttpListener,
    HttpServer,
    Message,
    Receive,
    Scope,
    Send,
    ServerOptions,
)

__all__ = [
    "DISCONNECT",
    "HTTP",
    "HTTP_SERVER",
    "Application",
    "BodyTimeout",
    "Header",
    "Http",
    "HttpBinding",
    "HttpConfig",
    "HttpListener",
    "HttpServer",
    "HttpService",
    "Malformed",
    "Message",
    "Query",
    "Receive",
    "Request",
    "Scope",
    "Send",
    "ServerOptions",
    "StreamAbortedError",
    "delete",
    "get",
    "patch",
    "post",
    "put",
]
