"""What a room asks of a member's connection, and of how it is written to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

Frame: TypeAlias = "str | bytes"
"""What is sent: text for ``str``."""


class Outlet(Protocol):
    """A connection, as `covet_http.WebSocket` is one."""

    @property
    def subprotocol(self) -> str | None:
        """The one that was chosen."""

    @property
    def close_code(self) -> int | None:
        """How it was closed, ``None`` while it is not."""

    @property
    def buffered(self) -> int:
        """Bytes that wait to leave."""

    @property
    def queued(self) -> int:
        """Messages that wait to leave."""

    def try_send(self, message: Frame, /) -> bool:
        """Send without waiting; ``False`` where there is no room, and then nothing has happened.

        Raises:
            WebSocketClosed: It is closed.
        """

    async def drained(self) -> None:
        """Return when there is room again.

        Raises:
            WebSocketClosed: It is closed.
        """

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it behind what is queued."""


class Encoding(Protocol):
    """How frames are written for some of the members: see `covet_websocket._encodings`."""

    @property
    def name(self) -> str:
        """What tells it from others."""

    def plain(self, value: Any, /) -> Any:
        """Plain data, to be a member of a frame."""

    def json(self, value: bytes, /) -> Any:
        """The same of what is JSON already."""

    def frame(self, members: Mapping[str, Any], /) -> Frame:
        """The frame of such members."""


Broadcast: TypeAlias = Callable[[Iterable[Any], Frame], Iterable[Any]]
"""Sends one frame to many outlets without waiting, and returns those that have no room."""
