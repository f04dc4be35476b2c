"""Clients on sockets, which send what no client should."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import anyio
import anyio.abc

from covet_graphql._accept import RESPONSE
from covet_http import WebSocketClosed
from covet_http.testing import Answer, Connection, WebSocketSession

PATH = "/graphql"
STREAM = "/graphql/stream"
TOKEN = "x-graphql-event-stream-token"
PROTOCOL = "graphql-transport-ws"
PATIENCE = 60.0
"""Seconds after which a server that does nothing is taken to hang."""
HANDSHAKE = (
    "connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip
GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


class Wire:
    """What reaches a service.

    Args:
        url: Where it is.
    """

    def __init__(self, url: str) -> None:
        self._port = int(url.rpartition(":")[2])

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """A connection, which is reset at the end of the block."""
        stream = await anyio.connect_tcp("127.0.0.1", self._port)
        async with Connection(stream) as connection:
            yield connection

    async def ask(self, method: str, target: str, *fields: str, body: bytes = b"") -> Answer:
        """One request on a connection of its own."""
        async with self.connect() as connection:
            return await ask(connection, method, target, *fields, body=body)

    async def who(self) -> bool:
        """Whether a good client is answered."""
        answer = await self.ask("POST", PATH, body=json.dumps({"query": "{ who }"}).encode())
        return answer.status == 200 and answer.json() == {"data": {"who": ""}}

    @asynccontextmanager
    async def open(
        self, *subprotocols: str, init: bool = True, fields: Iterable[str] = ()
    ) -> AsyncIterator[WebSocketSession]:
        """A WebSocket, with its greeting or before it; its connection is reset at the end."""
        offered = ", ".join(subprotocols or (PROTOCOL,))
        async with self.connect() as connection:
            connection.begin()
            lines = (*HANDSHAKE, f"sec-websocket-protocol: {offered}", *fields)
            await connection.send(request("GET", PATH, *lines))
            head = await connection.head()
            assert head.status == 101, head.status
            session = WebSocketSession(connection, head, PATIENCE)
            if init:
                await session.send_json({"type": "connection_init"})
                assert await session.receive_json() == {"type": "connection_ack"}
            yield session


def request(method: str, target: str, *fields: str, body: bytes = b"") -> bytes:
    """The bytes of a request, whose body is JSON unless the fields say otherwise."""
    lines = [f"{method} {target} HTTP/1.1", "host: localhost", *fields]
    if body or method in ("POST", "PUT"):
        lines.append(f"content-length: {len(body)}")
        if not any(each.startswith("content-type:") for each in fields):
            lines.append("content-type: application/json")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


async def ask(
    connection: Connection, method: str, target: str, *fields: str, body: bytes = b""
) -> Answer:
    """One request and its answer."""
    with anyio.fail_after(PATIENCE):
        await connection.send(request(method, target, *fields, body=body))
        return await connection.answer(method)


async def post(connection: Connection, asked: object, target: str = PATH) -> Answer:
    """One request of GraphQL's by POST, as newer clients do."""
    body = json.dumps(asked).encode()
    return await ask(connection, "POST", target, f"accept: {RESPONSE}", body=body)


async def get(connection: Connection, query: str, target: str = PATH) -> Answer:
    """One by GET."""
    return await ask(connection, "GET", f"{target}?query={quote(query)}", f"accept: {RESPONSE}")


async def subscribe(session: WebSocketSession, name: Any, query: str) -> None:
    """Begin an operation."""
    await session.send_json({"id": name, "type": "subscribe", "payload": {"query": query}})


async def closed(session: WebSocketSession) -> int | None:
    """Read until the server closes; the code."""
    try:
        while True:
            await session.receive()
    except WebSocketClosed:
        return session.close_code


def keep_closed(connection: Connection) -> None:
    """Have the system take little of what is not read."""
    stream: Any = connection.stream
    raw: socket.socket = stream.extra(anyio.abc.SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
