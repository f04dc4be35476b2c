"""The ASGI scope of a request, whatever protocol it came by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import unquote

from covet_http import CHANNEL, Channel


class Origin(Protocol):
    """What a scope says of the connection that its request has come by."""

    @property
    def scheme(self) -> str: ...
    @property
    def client(self) -> tuple[str, int] | None: ...
    @property
    def server(self) -> tuple[str, int] | None: ...
    @property
    def extensions(self) -> Mapping[str, Any]: ...


def make_websocket_scope(
    connection: Origin,
    version: str,
    target: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    channel: Channel,
) -> dict[str, Any]:
    """A scope of its own for one handshake.

    Args:
        connection: It came by.
        version: Of HTTP, as ASGI writes it.
        target: As of `make_scope`.
        headers: Names in lower case.
        channel: What the handshake becomes.
    """
    scope = make_scope(connection, version, b"GET", target, headers)
    del scope["method"]
    offered = [value for name, value in headers if name == b"sec-websocket-protocol"]
    names = (each.strip(b" \t") for each in b",".join(offered).split(b","))
    return {
        **scope,
        "type": "websocket",
        "scheme": "wss" if scope["scheme"] == "https" else "ws",
        "subprotocols": [each.decode("ascii") for each in names if each],
        "extensions": {**scope["extensions"], CHANNEL: channel, "websocket.http.response": {}},
    }


def make_scope(
    connection: Origin,
    version: str,
    method: bytes,
    target: bytes,
    headers: Sequence[tuple[bytes, bytes]],
) -> dict[str, Any]:
    """A scope of its own for one request.

    Args:
        connection: It came by.
        version: Of HTTP, as ASGI writes it.
        method: As it was sent.
        target: Path and query as they were sent, in printable ASCII.
        headers: Names in lower case.
    """
    path, _, query = target.partition(b"?")
    text = path.decode("ascii")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": version,
        "method": method.decode("ascii"),
        "scheme": connection.scheme,
        "path": unquote(text) if "%" in text else text,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": connection.client,
        "server": connection.server,
        "extensions": {**connection.extensions},
        "state": {},
    }
