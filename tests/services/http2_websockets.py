"""WebSockets over HTTP/2 (RFC 8441): a client of them, and the suite over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlencode

import anyio
import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from h2.exceptions import ProtocolError

from covet_http.testing import (
    Answer,
    Client,
    HandshakeRefused,
    Head,
    Headers,
    WebSocketServerSuite,
    WebSocketSession,
)

_HEAD = 9
_GOAWAY = 7
_LEFT = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


class Tunnel:
    """One stream as a connection of bytes."""

    closes = False

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self.stream = stream
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
        self.head: Head | None = None
        self.id = 0
        self._data = bytearray()
        self._raw = bytearray()
        self._ended = False

    async def open(self, path: str, headers: Mapping[str, str], **pseudo: str) -> None:
        """Ask for a WebSocket, and wait for the head of the answer."""
        self.h2.initiate_connection()
        await self._flush()
        while not self.h2.remote_settings.enable_connect_protocol:
            await self._more()
        fields = {
            ":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":path": path,
            ":authority": "localhost", **pseudo,
        }  # fmt: skip
        self.id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(self.id, [*fields.items(), *headers.items()])
        await self._flush()
        while self.head is None and not self._ended:
            await self._more()

    async def send(self, data: bytes, *, split: int = 0) -> None:
        size = split or len(data) or 1
        for at in range(0, len(data), size):
            piece = memoryview(data)[at : at + size]
            while piece:
                window = min(
                    self.h2.local_flow_control_window(self.id), self.h2.max_outbound_frame_size
                )
                if not window:
                    await self._flush()
                    await self._more()
                    continue
                try:
                    self.h2.send_data(self.id, bytes(piece[:window]))
                except ProtocolError:
                    raise anyio.BrokenResourceError from None
                piece = piece[window:]
            await self._flush()

    async def receive(self) -> bytes:
        while not self._data and not self._ended:
            await self._more()
        data, self._data = bytes(self._data), bytearray()
        if data:
            with suppress(ProtocolError, *_LEFT):
                self.h2.acknowledge_received_data(len(data), self.id)
                await self._flush()
        return data

    async def send_eof(self) -> None:
        with suppress(ProtocolError, *_LEFT):
            self.h2.end_stream(self.id)
            await self._flush()

    async def reset(self) -> None:
        self.closes = True
        await anyio.aclose_forcefully(self.stream)

    def _without_goaway(self, data: bytes) -> bytes:
        """Whole frames: h2 takes every GOAWAY for the end, also one that lets our stream go on."""
        self._raw += data
        kept = bytearray()
        while len(self._raw) >= _HEAD:
            size = _HEAD + int.from_bytes(self._raw[:3])
            if len(self._raw) < size:
                break
            frame = bytes(self._raw[:size])
            del self._raw[:size]
            if frame[3] != _GOAWAY or int.from_bytes(frame[_HEAD : _HEAD + 4]) < self.id:
                kept += frame
        return bytes(kept)

    async def _flush(self) -> None:
        await self.stream.send(self.h2.data_to_send())

    async def _more(self) -> None:
        try:
            data = await self.stream.receive()
        except _LEFT:
            self._ended = True
            return
        for event in self.h2.receive_data(self._without_goaway(data)):
            if isinstance(event, h2.events.ResponseReceived):
                fields = [(str(name), str(value)) for name, value in event.headers]
                plain = Headers(each for each in fields if each[0][:1] != ":")
                self.head = Head(int(dict(fields)[":status"]), "", plain)
            elif isinstance(event, h2.events.DataReceived):
                if event.stream_id == self.id:
                    self._data += event.data
            elif isinstance(event, h2.events.ConnectionTerminated) or (
                isinstance(event, h2.events.StreamEnded | h2.events.StreamReset)
                and event.stream_id == self.id
            ):
                self._ended = True
        with suppress(*_LEFT):
            await self._flush()


@asynccontextmanager
async def websocket(
    client: Client,
    path: str,
    *,
    subprotocols: tuple[str, ...] = (),
    deflate: bool = False,
    early: bytes = b"",
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    **pseudo: str,
) -> AsyncIterator[WebSocketSession]:
    """What `Client.websocket` does, over HTTP/2."""
    lines = {"sec-websocket-version": "13"}
    if subprotocols:
        lines["sec-websocket-protocol"] = ", ".join(subprotocols)
    if deflate:
        lines["sec-websocket-extensions"] = "permessage-deflate"
    tunnel = Tunnel((await client._connect()).stream)
    try:
        target = f"{path}?{urlencode(params)}" if params else path
        with anyio.fail_after(30):
            await tunnel.open(target, {**lines, **(headers or {})}, **pseudo)
            if early:
                await tunnel.send(early)
            assert tunnel.head is not None
            if tunnel.head.status != 200:
                body = bytearray()
                while piece := await tunnel.receive():
                    body += piece
                answer = Answer(tunnel.head, bytes(body), Headers(()), method="GET", path=path)
                raise HandshakeRefused(answer)
        session = WebSocketSession(tunnel, tunnel.head, 30)  # type: ignore[arg-type]
        yield session
        if session.close_code is None:
            with anyio.fail_after(30):
                await session.close()
    finally:
        with anyio.CancelScope(shield=True):
            await tunnel.reset()


class Http2WebSocketSuite(WebSocketServerSuite):
    """What every server that speaks both has to do. Subclass it, with a table that turns HTTP/2 on."""

    @asynccontextmanager
    async def service(
        self, config: Mapping[str, Any] | None = None, **http: Any
    ) -> AsyncIterator[Client]:
        async with super().service(config, **http) as client:
            client.websocket = partial(websocket, client)  # type: ignore[method-assign]
            yield client

    @pytest.mark.parametrize(
        ("pseudo", "headers", "status"),
        [
            ({":protocol": "connect-udp"}, {}, 501),
            ({}, {"sec-websocket-version": "8"}, 426),
            ({}, {"sec-websocket-protocol": "a b"}, 400),
            ({}, {"content-length": "3"}, 400),
        ],
    )
    async def test_what_is_no_handshake(
        self, pseudo: dict[str, str], headers: dict[str, str], status: int
    ) -> None:
        async with self.service() as client:
            with pytest.raises(HandshakeRefused) as refused:
                async with client.websocket("/echo", headers=headers, **pseudo):  # type: ignore[arg-type]
                    pass
            assert refused.value.answer.status == status

    async def test_streams_beside_it_are_served(self) -> None:
        async with self.opened("/echo") as socket:
            tunnel: Any = socket.connection
            await socket.send("x")
            fields = [
                (":method", "GET"), (":scheme", "http"), (":path", "/plain"), (":authority", "a"),
            ]  # fmt: skip
            tunnel.h2.send_headers(3, fields, end_stream=True)
            await tunnel._flush()
            tunnel.head = None
            while tunnel.head is None:
                await tunnel._more()
            assert tunnel.head.status == 200
