"""WebSockets that exist only in a test, both ends of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from anyio.lowlevel import checkpoint
from pydantic_core import to_json
from room_members import Connection

from covet_http import WebSocketClosed


class Socket(Connection):
    """What the handler holds; the client's end is `say`, `read`, `next` and `close`.

    Attributes:
        accepted: How often the handshake was answered.
    """

    def __init__(self, room: int | None = None) -> None:
        super().__init__(room)
        self.request: Any = SimpleNamespace(credentials=lambda: None)
        self.on_drain: Any = None
        self.accepted = 0
        self._in: deque[str] = deque()

    # The client's end.

    def say(self, **members: Any) -> None:
        self._in.append(to_json(members).decode())
        self._has_changed()

    # The handler's.

    async def accept(
        self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        # Answered or cancelled, as with servers.
        await checkpoint()
        self.accepted += 1

    async def receive(self) -> str:
        while not self._in:
            if self.close_code is not None:
                raise WebSocketClosed("", close_code=self.close_code)
            await self._changed.wait()
        return self._in.popleft()

    async def send(self, message: Any) -> None:
        while not self.try_send(message):
            await self.drained()

    def problem(self, error: Any) -> bytes:
        return to_json({"code": error.code})
