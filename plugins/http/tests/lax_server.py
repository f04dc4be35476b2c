"""A server that believes whatever it is sent, in front of the ASGI boundary.

It is no worse than what may be in front of `covet_http.asgi_app`: what it lets pass covet has to
refuse itself, and what covet hands to it goes out as it is.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import anyio
import anyio.abc

from covet_http import HTTP_SERVER, Application, Calls, ServerOptions, StreamAbortedError
from covet_kernel import Context, Plugin

_PASSED_OVER = 1 << 16
_LEFT = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


class LaxServer(Plugin[None]):
    """Provides `HTTP_SERVER`. Every request of HTTP/1 is one, be it ever so odd."""

    provides = (HTTP_SERVER,)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(HTTP_SERVER, self)
        yield

    @asynccontextmanager
    async def listen(
        self, sockets: Sequence[socket.socket], options: ServerOptions
    ) -> AsyncIterator[_Listener]:
        async with anyio.create_task_group() as tasks:
            listener = _Listener(sockets, tasks)
            try:
                yield listener
            finally:
                tasks.cancel_scope.cancel()
                for each in sockets:
                    each.close()


class _Listener:
    def __init__(self, sockets: Sequence[socket.socket], tasks: anyio.abc.TaskGroup) -> None:
        self._sockets = sockets
        self._tasks = tasks
        self._calls = Calls()
        self._begun = False

    def begin(self, application: Application) -> None:
        self._calls.open(application)
        if not self._begun:
            self._begun = True
            for each in self._sockets:
                self._tasks.start_soon(self._accept, each)

    async def pause(self) -> None:
        await self._calls.close()

    async def stop(self) -> None:
        await self._calls.close()

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            await anyio.wait_readable(listening)
            accepted, _ = listening.accept()
            accepted.setblocking(False)
            stream = await anyio.abc.SocketStream.from_socket(accepted)
            self._tasks.start_soon(self._serve, stream)

    async def _serve(self, stream: anyio.abc.SocketStream) -> None:
        connection = _Connection(stream)
        async with stream:
            try:
                while await self._one(connection):
                    pass
            except _LEFT:
                pass

    async def _one(self, connection: _Connection) -> bool:
        """Answer one request; whether the connection goes on."""
        exchange = await connection.next()
        application = await self._calls.enter()
        try:
            await application(exchange.scope, exchange.receive, exchange.send)
        except StreamAbortedError:
            return False
        except Exception:
            if not exchange.began:
                await exchange.answer(500, b"it has failed")
            return False
        finally:
            self._calls.leave()
        await exchange.drain()
        return exchange.complete and not exchange.last


class _Connection:
    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self.stream = stream
        self.rest = b""

    async def more(self) -> None:
        self.rest += await self.stream.receive()

    async def take_to(self, *ends: bytes) -> bytes:
        """The bytes up to the first of these ends, without it."""
        while not (found := [(at, end) for end in ends if (at := self.rest.find(end)) >= 0]):
            await self.more()
        at, end = min(found)
        taken, self.rest = self.rest[:at], self.rest[at + len(end) :]
        return taken

    async def next(self) -> _Exchange:
        head = await self.take_to(b"\r\n\r\n", b"\n\n")
        first, *lines = [line.rstrip(b"\r") for line in head.split(b"\n")]
        method, _, rest = first.partition(b" ")
        target, _, version = rest.rpartition(b" ")
        headers = []
        for line in lines:
            name, _, value = line.partition(b":")
            headers.append((name.strip().lower(), value.strip()))
        path, _, query = target.partition(b"?")
        address = self.stream.extra(anyio.abc.SocketAttribute.remote_address)
        return _Exchange(
            self,
            {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.4"},
                "http_version": version.rpartition(b"/")[2].decode("latin-1"),
                "method": method.decode("latin-1"),
                "scheme": "http",
                "path": unquote(path.decode("latin-1"), errors="surrogateescape"),
                "raw_path": path,
                "query_string": query,
                "root_path": "",
                "headers": headers,
                "client": tuple(address[:2]),
                "server": None,
            },
        )


class _Exchange:
    """ASGI's callables for one request."""

    def __init__(self, connection: _Connection, scope: dict[str, Any]) -> None:
        self.scope = scope
        self.began = False
        self.complete = False
        self._connection = connection
        headers = dict(scope["headers"])
        self.last = headers.get(b"connection") == b"close"
        self._chunked = b"chunked" in headers.get(b"transfer-encoding", b"")
        try:
            self._left = int(headers.get(b"content-length", b"0"))
        except ValueError:
            self._left = 0
        self._ended = False
        self._head = b""
        self._framed = True

    async def receive(self) -> dict[str, Any]:
        try:
            if not self._ended:
                body = await self._body()
                return {"type": "http.request", "body": body, "more_body": not self._ended}
            while True:
                await self._connection.more()
        except _LEFT:
            return {"type": "http.disconnect"}

    async def _body(self) -> bytes:
        connection = self._connection
        if self._chunked and self._left <= 0:
            size = (await connection.take_to(b"\n")).partition(b";")[0].strip()
            self._left = int(size or b"0", 16)
            if not self._left:
                await connection.take_to(b"\n")
                self._ended = True
                return b""
        if self._left > 0 and not connection.rest:
            await connection.more()
        piece, connection.rest = (
            connection.rest[: max(0, self._left)],
            connection.rest[max(0, self._left) :],
        )
        self._left -= len(piece)
        if self._chunked:
            if self._left == 0:
                await connection.take_to(b"\n")
        elif self._left <= 0:
            self._ended = True
        return piece

    async def drain(self) -> None:
        """Pass over what nobody has read, if that is little."""
        if self._left > _PASSED_OVER:
            self.complete = False
        while not self._ended and self.complete:
            await self._body()

    async def send(self, message: Any) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self.began = True
            headers = message.get("headers", ())
            lines = [b"HTTP/1.1 %d X" % message["status"]]
            lines += [name + b": " + value for name, value in headers]
            names = [name for name, _ in headers]
            bodiless = message["status"] in (204, 304)
            self._framed = b"content-length" in names or bodiless
            if not self._framed:
                lines.append(b"transfer-encoding: chunked")
            self._head = b"\r\n".join(lines) + b"\r\n\r\n"
            return
        assert kind == "http.response.body"
        data, self._head = self._head, b""
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._framed or self.scope["method"] == "HEAD":
            data += body
        else:
            data += b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            data += b"" if more else b"0\r\n\r\n"
        self.complete = not more
        await self._connection.stream.send(data)

    async def answer(self, status: int, body: bytes) -> None:
        headers = [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
