"""Server-sent events as a browser understands them (WHATWG HTML, 9.2.6)."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Self

from covet_kernel.contracts import Record


class ServerSentEvent(Record):
    """One event.

    Attributes:
        event: Its type.
        data: Its lines, joined by line feeds.
        id: The last one that was sent, which a client that comes back shows.
        retry: Milliseconds a client waits before it comes back, where this event says so.
        comments: What stood behind colons since the event before: keep-alives, mostly.
    """

    event: str = "message"
    data: str = ""
    id: str = ""
    retry: int | None = None
    comments: tuple[str, ...] = ()


class Lines:
    r"""The lines of UTF-8 text, each ended by ``\n``, ``\r\n`` or ``\r``; the ends are left out.

    The last one need not be ended. A block may stop reading them anywhere: nothing is left open.
    """

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""
        self._lines: deque[bytes] = deque()
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while not self._lines:
            if self._ended:
                raise StopAsyncIteration
            try:
                self._take(await anext(self._pieces))
            except StopAsyncIteration:
                self._ended = True
                if self._rest:
                    self._lines.append(self._rest.removesuffix(b"\r"))
        return self._lines.popleft().decode("utf-8")

    def _take(self, piece: bytes) -> None:
        data = self._rest + piece
        # A carriage return may be the first half of a line end.
        held = b"\r" if data.endswith(b"\r") else b""
        whole = data.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, last = whole.split(b"\n")
        self._lines += lines
        self._rest = last + held


class Events:
    """The events of a stream of lines. One that is not ended by an empty line is none."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._first = True
        self._last_id = ""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerSentEvent:
        kind, data, comments, retry = "", list[str](), list[str](), None
        while True:
            line = await anext(self._lines)
            if self._first:
                line, self._first = line.removeprefix("\ufeff"), False
            if not line and data:
                return ServerSentEvent(
                    event=kind or "message",
                    data="\n".join(data),
                    id=self._last_id,
                    retry=retry,
                    comments=tuple(comments),
                )
            if not line:
                kind, retry = "", None
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not name:
                comments.append(value)
            elif name == "event":
                kind = value
            elif name == "data":
                data.append(value)
            elif name == "id" and "\0" not in value:
                self._last_id = value
            elif name == "retry" and value.isascii() and value.isdigit():
                retry = int(value)
