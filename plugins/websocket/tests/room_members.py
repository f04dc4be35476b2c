"""Connections of members that exist only in a test, as slow as it wants them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import anyio
from pydantic_core import from_json, to_json

from covet_http import WebSocketClosed


class Plain:
    """JSON, as `covet_websocket` writes it, counting how often it does."""

    name = "json"

    def __init__(self) -> None:
        self.frames = 0

    def plain(self, value: Any) -> Any:
        return to_json(value)

    def json(self, value: bytes) -> Any:
        return value

    def frame(self, members: Mapping[str, Any]) -> str:
        self.frames += 1
        inner = b",".join(b'"%b":%b' % (name.encode(), each) for name, each in members.items())
        return f"{{{inner.decode()}}}"


class Connection:
    """Has room for so many frames; what is sent stays in it until the test takes it.

    Attributes:
        room: How many frames it takes before it is full; ``None``: any number.
        got: Frames that the client has read.
    """

    def __init__(self, room: int | None = None) -> None:
        self.room = room
        self.subprotocol: str | None = None
        self.close_code: int | None = None
        self._queue: deque[str] = deque()
        self._changed = anyio.Event()
        self.got: list[Any] = []

    @property
    def buffered(self) -> int:
        return sum(map(len, self._queue))

    @property
    def queued(self) -> int:
        return len(self._queue)

    def _has_changed(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def try_send(self, message: Any) -> bool:
        if self.close_code is not None:
            raise WebSocketClosed("", close_code=self.close_code)
        if self.room is not None and len(self._queue) >= self.room:
            return False
        self._queue.append(message)
        self._has_changed()
        return True

    async def drained(self) -> None:
        while self.room is not None and 2 * len(self._queue) > self.room:
            if self.close_code is not None:
                raise WebSocketClosed("", close_code=self.close_code)
            await self._changed.wait()
        if self.close_code is not None:
            raise WebSocketClosed("", close_code=self.close_code)
        await anyio.lowlevel.checkpoint()

    def close(self, code: int = 1000, reason: str = "") -> None:
        if self.close_code is None:
            self.close_code = code
            self._has_changed()

    def read(self, most: int | None = None) -> list[Any]:
        """What the client reads now."""
        found = []
        while self._queue and (most is None or len(found) < most):
            found.append(from_json(self._queue.popleft()))
        self.got += found
        if found:
            self._has_changed()
        return found

    async def next(self) -> Any:
        """The next frame, once there is one."""
        with anyio.fail_after(30):
            while not self._queue:
                await self._changed.wait()
        return self.read(1)[0]

    async def message(self) -> Any:
        """The next frame with a message, or of a reset."""
        while True:
            frame = await self.next()
            if "message" in frame or "reset" in frame:
                return frame

    async def until(self, name: str) -> Any:
        """The next frame that has a member of this name."""
        while True:
            frame = await self.next()
            if name in frame:
                return frame


def broadcast(members: Iterable[Connection], message: Any) -> list[Connection]:
    return [each for each in members if each.close_code is None and not each.try_send(message)]
