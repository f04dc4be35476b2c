"""Connections without sockets: bytes go into the engine and come out of it where a client says so."""

from __future__ import annotations

import anyio
import anyio.abc
import anyio.lowlevel

from covet_engine._core import Core

_ROOM = 1 << 16


class MemoryStream(anyio.abc.ByteStream):
    """The client's side of one connection to an engine.

    The engine parses what is sent at once; what it answers waits in it until it is received, as if
    the client's window were as far open as the client reads.
    """

    def __init__(self, core: Core) -> None:
        if core.engine is None:
            raise ConnectionRefusedError("the listener is closed")
        self._core = core
        self._lib, self._ffi = core.lib, core.ffi
        self._number = self._lib.cv_engine_open(core.engine)
        self._closed = False
        if not self._number:
            raise ConnectionRefusedError("there are too many connections")
        self._into = self._ffi.new("uint8_t[]", _ROOM)

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        core, data = self._core, bytes(item)
        while data:
            if self._closed:
                raise anyio.ClosedResourceError
            if core.engine is None:
                raise anyio.BrokenResourceError
            taken = self._lib.cv_engine_feed(core.engine, self._number, data, len(data))
            if taken < 0:
                raise anyio.BrokenResourceError
            core.wake()
            data = data[taken:]
            if data:
                await core.woken()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.lowlevel.checkpoint()
        core, most = self._core, min(max_bytes, _ROOM)
        while True:
            if self._closed:
                raise anyio.ClosedResourceError
            if core.engine is None:
                raise anyio.EndOfStream
            size = self._lib.cv_engine_drain(core.engine, self._number, self._into, most)
            if size < 0:
                raise anyio.EndOfStream
            if size:
                core.wake()
                return bytes(self._ffi.buffer(self._into, size))
            await core.woken()

    async def send_eof(self) -> None:
        if self._core.engine is not None:
            self._lib.cv_engine_feed_end(self._core.engine, self._number)
            self._core.wake()
        await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            if self._core.engine is not None:
                self._lib.cv_engine_drop(self._core.engine, self._number)
            self._core.wake()
        await anyio.lowlevel.checkpoint()
