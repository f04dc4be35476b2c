"""A request as bytes: its head, and a body that is known or comes in pieces."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from typing import Any
from urllib.parse import quote

from pydantic_core import to_json

from covet_http.testing._multipart import (
    Content,
    Fields,
    Files,
    as_bytes,
    closing,
    encode_multipart,
    encode_query,
)

_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
# What a path may consist of as it is; everything else is percent-encoded.
_PATH = "/%:@!$&'()*+,;=~-._"
_QUERY = _PATH + "?"


class Outgoing:
    """One request, ready to be sent.

    Attributes:
        method: As it is sent.
        target: The path with its query.
        head: Request line and fields, with the empty line.
        body: Everything that follows, or its pieces.
    """

    def __init__(
        self, method: str, target: str, head: bytes, body: bytes | AsyncIterable[bytes]
    ) -> None:
        self.method = method
        self.target = target
        self.head = head
        self.body = body

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The bytes to send."""
        if isinstance(self.body, bytes):
            yield self.head + self.body
            return
        yield self.head
        async with closing(self.body) as pieces:
            async for piece in pieces:
                if piece:
                    yield b"%x\r\n%b\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"


def encode_request(
    method: str,
    path: str,
    *,
    host: str,
    params: Fields | None = None,
    headers: Mapping[str, str] | None = None,
    content: Content | None = None,
    json: Any = None,
    data: Fields | None = None,
    files: Files | None = None,
    cookies: str = "",
) -> Outgoing:
    """Make a request out of its parts.

    Raises:
        ValueError: Two kinds of body were given, the path does not begin with a slash, or a field
            has a line end; bytes that no client should send go through `Connection.send`.
    """
    if [content, json, data or files].count(None) < 2:
        raise ValueError("content, json and forms are different bodies: give one of them")
    given = {name.lower(): value for name, value in (headers or {}).items()}
    fields = {"host": host, **given}
    body: bytes | AsyncIterable[bytes] = b""
    if json is not None:
        body = to_json(json)
        fields.setdefault("content-type", "application/json")
    elif files is not None:
        kind, encoded = encode_multipart(data, files)
        body = as_bytes(encoded) if isinstance(encoded, str) else encoded
        fields.setdefault("content-type", kind)
    elif data is not None:
        body = encode_query(data).encode("ascii")
        fields.setdefault("content-type", "application/x-www-form-urlencoded")
    elif content is not None:
        body = as_bytes(content) if isinstance(content, str) else content
    if not isinstance(body, bytes):
        fields.setdefault("transfer-encoding", "chunked")
    elif body or method in _WITH_BODY:
        fields.setdefault("content-length", str(len(body)))
    if cookies:
        fields.setdefault("cookie", cookies)
    target = _target(path, params)
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line end in a request; send such bytes by a connection of its own")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return Outgoing(method, target, head, body)


def _target(path: str, params: Fields | None) -> str:
    if path == "*":
        return path
    if not path.startswith("/"):
        raise ValueError(f"a path begins with a slash, and this is {path!r}")
    plain, mark, query = path.partition("?")
    target = quote(plain, safe=_PATH)
    more = encode_query(params) if params else ""
    if mark:
        query = quote(query, safe=_QUERY)
        more = f"{query}&{more}" if more else query
    return f"{target}?{more}" if more or mark else target
