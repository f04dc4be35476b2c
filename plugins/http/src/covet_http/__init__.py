"""REST for covet."""

from covet_http._server import (
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
    "HTTP_SERVER",
    "Application",
    "HttpListener",
    "HttpServer",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "ServerOptions",
]
