"""REST for covet: ``import covet_http as http`` and decorate with ``http.get``, ``http.post`` and so on."""

from typing import TYPE_CHECKING, Any

from covet_http._answers import PreparedAnswer
from covet_http._asgi import AsgiApplication
from covet_http._binding import HttpBinding
from covet_http._calls import Calls
from covet_http._certificate import CERTIFICATE, ClientCertificate
from covet_http._codecs import MediaCodec, MessagePack
from covet_http._config import HttpConfig
from covet_http._dispatch import Choice, Dispatcher, Find, Target
from covet_http._event_streams import EventStreams
from covet_http._events import Event, LastEventId
from covet_http._fixed import Fixed, fixed, redirect
from covet_http._forms._limits import FormLimits
from covet_http._forms._parts import Part, Parts
from covet_http._group import (
    Group,
    delete,
    get,
    head,
    options,
    patch,
    post,
    put,
    route,
    websocket,
)
from covet_http._lifespan import StartupFailedError, asgi_lifespan
from covet_http._mounts import Mount, Mounted, mount
from covet_http._openapi._config import OpenApiConfig
from covet_http._openapi._facts import DeclaredAnswer, Webhook, openapi
from covet_http._openapi._part import OpenApiPart
from covet_http._plugin import HTTP, Http, HttpService
from covet_http._problem import (
    BodyTimeout,
    Malformed,
    NotAcceptable,
    Problems,
    RangeNotSatisfiable,
)
from covet_http._request import Limits, Request
from covet_http._response import ResponseHead
from covet_http._results import Content, HttpResult, Redirect
from covet_http._route import Reply, Route, StreamAbortedError
from covet_http._route_rules import RouteRules
from covet_http._router import Leaf, Router
from covet_http._rules._hosts import AllowedHosts, HostPattern
from covet_http._rules._keys import IdempotencyConfig
from covet_http._rules._proxies import Caller, Proxies
from covet_http._rules._security import SecurityHeaders
from covet_http._server import (
    DISCONNECT,
    HTTP_SERVER,
    Application,
    HttpListener,
    HttpServer,
    MemoryListener,
    Message,
    Receive,
    Scope,
    Send,
    ServerOptions,
)
from covet_http._slash import SlashPolicy, SlashRedirect
from covet_http._sources import Body, Cookie, Form, Header, Query
from covet_http._versions._changes import (
    VersionChange,
    downgrade_response,
    upgrade_request,
    version_changes_of,
)
from covet_http._websocket._channel import CHANNEL, Channel, ChannelLimits
from covet_http._websocket._closed import WebSocketClosed
from covet_http._websocket._handshake import HandshakeRequest, judge_handshake, wants_websocket
from covet_http._websocket._socket import WebSocket, broadcast

if TYPE_CHECKING:
    from covet_http._file import File, FileContent, NoSuchPath
    from covet_http._forms._upload import Upload
    from covet_http._openapi._body import DescribedBody
    from covet_http._openapi._description import Description
    from covet_http._outer import AsgiHost, AsgiService, asgi_app
    from covet_http._pieces import Pieces
    from covet_http._rules._compression import CompressionConfig
    from covet_http._rules._cors import CorsConfig
    from covet_http._rules._idempotency import AnswerNotKept, KeyInUse, KeyReused
    from covet_http._rules._request_id import RequestIdConfig, RequestIdFilter, request_id
    from covet_http._rules._trust import TrustedProxies
    from covet_http._server_config import ServerConfig
    from covet_http._static import ServedFolder, StaticFolder, static_folder
    from covet_http._tls import (
        TlsCertificate,
        TlsConfig,
        password_of,
        read_certificate,
        tls_extension,
        tls_unsupported,
        tls_unusable,
    )
    from covet_http._versions._config import VersionConfig, VersionsConfig
    from covet_http._websocket._binding import WebSocketBinding
    from covet_http._websocket._config import WebSocketConfig
    from covet_http._websocket._messages import ChannelMessages
    from covet_http._websocket._queued import QueuedChannel

__all__ = [
    "CERTIFICATE",
    "CHANNEL",
    "DISCONNECT",
    "HTTP",
    "HTTP_SERVER",
    "AllowedHosts",
    "AnswerNotKept",
    "Application",
    "AsgiApplication",
    "AsgiHost",
    "AsgiService",
    "Body",
    "BodyTimeout",
    "Caller",
    "Calls",
    "Channel",
    "ChannelLimits",
    "ChannelMessages",
    "Choice",
    "ClientCertificate",
    "CompressionConfig",
    "Content",
    "Cookie",
    "CorsConfig",
    "DeclaredAnswer",
    "DescribedBody",
    "Description",
    "Dispatcher",
    "Event",
    "EventStreams",
    "File",
    "FileContent",
    "Find",
    "Fixed",
    "Form",
    "FormLimits",
    "Group",
    "HandshakeRequest",
    "Header",
    "HostPattern",
    "Http",
    "HttpBinding",
    "HttpConfig",
    "HttpListener",
    "HttpResult",
    "HttpServer",
    "HttpService",
    "IdempotencyConfig",
    "KeyInUse",
    "KeyReused",
    "LastEventId",
    "Leaf",
    "Limits",
    "Malformed",
    "MediaCodec",
    "MemoryListener",
    "Message",
    "MessagePack",
    "Mount",
    "Mounted",
    "NoSuchPath",
    "NotAcceptable",
    "OpenApiConfig",
    "OpenApiPart",
    "Part",
    "Parts",
    "Pieces",
    "PreparedAnswer",
    "Problems",
    "Proxies",
    "Query",
    "QueuedChannel",
    "RangeNotSatisfiable",
    "Receive",
    "Redirect",
    "Reply",
    "Request",
    "RequestIdConfig",
    "RequestIdFilter",
    "ResponseHead",
    "Route",
    "RouteRules",
    "Router",
    "Scope",
    "SecurityHeaders",
    "Send",
    "ServedFolder",
    "ServerConfig",
    "ServerOptions",
    "SlashPolicy",
    "SlashRedirect",
    "StartupFailedError",
    "StaticFolder",
    "StreamAbortedError",
    "Target",
    "TlsCertificate",
    "TlsConfig",
    "TrustedProxies",
    "Upload",
    "VersionChange",
    "VersionConfig",
    "VersionsConfig",
    "WebSocket",
    "WebSocketBinding",
    "WebSocketClosed",
    "WebSocketConfig",
    "Webhook",
    "asgi_app",
    "asgi_lifespan",
    "broadcast",
    "delete",
    "downgrade_response",
    "fixed",
    "get",
    "head",
    "judge_handshake",
    "mount",
    "openapi",
    "options",
    "password_of",
    "patch",
    "post",
    "put",
    "read_certificate",
    "redirect",
    "request_id",
    "route",
    "static_folder",
    "tls_extension",
    "tls_unsupported",
    "tls_unusable",
    "upgrade_request",
    "version_changes_of",
    "wants_websocket",
    "websocket",
]


_LATE = {
    "AnswerNotKept": "_rules._idempotency",
    "AsgiHost": "_outer",
    "AsgiService": "_outer",
    "ChannelMessages": "_websocket._messages",
    "CompressionConfig": "_rules._compression",
    "CorsConfig": "_rules._cors",
    "DescribedBody": "_openapi._body",
    "Description": "_openapi._description",
    "File": "_file",
    "FileContent": "_file",
    "KeyInUse": "_rules._idempotency",
    "KeyReused": "_rules._idempotency",
    "NoSuchPath": "_file",
    "Pieces": "_pieces",
    "QueuedChannel": "_websocket._queued",
    "RequestIdConfig": "_rules._request_id",
    "RequestIdFilter": "_rules._request_id",
    "ServedFolder": "_static",
    "ServerConfig": "_server_config",
    "StaticFolder": "_static",
    "TlsCertificate": "_tls",
    "TlsConfig": "_tls",
    "TrustedProxies": "_rules._trust",
    "Upload": "_forms._upload",
    "VersionConfig": "_versions._config",
    "VersionsConfig": "_versions._config",
    "WebSocketBinding": "_websocket._binding",
    "WebSocketConfig": "_websocket._config",
    "asgi_app": "_outer",
    "password_of": "_tls",
    "read_certificate": "_tls",
    "request_id": "_rules._request_id",
    "static_folder": "_static",
    "tls_extension": "_tls",
    "tls_unsupported": "_tls",
    "tls_unusable": "_tls",
}
"""What is imported when it is first asked for: few services need any one of these."""


def __getattr__(name: str) -> Any:
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
    return found
