"""A channel whose queues are Python's: what servers written in it have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Self

import anyio
import anyio.lowlevel

from covet_http._websocket._channel import Channel, ChannelLimits, Text

# Messages that came and were not received, by number; by size it is one of the largest.
_AHEAD = 16


class QueuedChannel(Channel):
    """Keeps messages in both directions. A server subclasses it, and writes what it is told to.

    `put` takes what has come, `take` gives what is to be written, in a task of the server's.

    Attributes:
        limits: From `accept` on.
        form: What `encode` depends on besides the message: channels of one form can be sent the same.
    """

    limits: ChannelLimits
    form: Hashable = None

    def __init__(self) -> None:
        self.limits = ChannelLimits()
        self._in: deque[Text] = deque()
        self._in_size = 0
        self._arrived: anyio.Event | None = None
        self._received: anyio.Event | None = None
        self._out: deque[tuple[Any, int]] = deque()
        self._buffered = 0
        self._writing = 0
        self._waking: anyio.Event | None = None
        self._leaving: anyio.Event | None = None
        self._over = False

    @abstractmethod
    def encode(self, message: Text) -> Any:
        """What is written for a message."""

    # Messages in.

    async def put(self, message: Text) -> None:
        """Take a message that has come; waits while many are there that nobody receives."""
        while self.is_behind:
            self._received = anyio.Event()
            await self._received.wait()
        if self.close_code is None:
            self._in.append(message)
            self._in_size += len(message)
            _set(self._arrived)

    @property
    def is_behind(self) -> bool:
        """Whether nothing more should be read before some of it is received."""
        most = self.limits.max_message_bytes
        full = len(self._in) >= _AHEAD or self._in_size >= most
        return full and self.close_code is None

    async def receive(self) -> Text:
        while not self._in:
            if self.close_code is not None:
                raise self.closed()
            self._arrived = anyio.Event()
            await self._arrived.wait()
            self.burst = 0
        message = self._in.popleft()
        self._in_size -= len(message)
        _set(self._received)
        return message

    # Messages out.

    def offer(self, message: Text) -> bool:
        if self.close_code is not None:
            raise self.closed()
        # A character may take four bytes; what is long is measured.
        size = len(message.encode()) if isinstance(message, str) else len(message)
        if not self._has_room(size):
            return False
        self._queue(self.encode(message), size)
        return True

    def _has_room(self, size: int) -> bool:
        if not self.queued:
            return True
        limits = self.limits
        return (
            self._buffered + size <= limits.max_queue_bytes
            and self.queued < limits.max_queue_messages
        )

    def _queue(self, encoded: Any, size: int) -> None:
        self._out.append((encoded, size))
        self._buffered += size
        _set(self._waking)

    @classmethod
    def broadcast(cls, channels: Iterable[Self], message: Text) -> Sequence[Self]:
        size = len(message.encode()) if isinstance(message, str) else len(message)
        encoded: dict[Hashable, Any] = {}
        left_out = []
        for each in channels:
            if each.close_code is not None or not each._has_room(size):
                left_out.append(each)
                continue
            if each.form not in encoded:
                encoded[each.form] = each.encode(message)
            each._queue(encoded[each.form], size)
        return left_out

    @property
    def buffered(self) -> int:
        return self._buffered

    @property
    def queued(self) -> int:
        return len(self._out) + self._writing

    async def drained(self) -> None:
        limits = self.limits
        while (
            2 * self._buffered > limits.max_queue_bytes
            or 2 * self.queued > limits.max_queue_messages
        ):
            if self._over:
                raise self.closed()
            if self._leaving is None:
                self._leaving = anyio.Event()
            await self._leaving.wait()
        if self._over:
            raise self.closed()
        await anyio.lowlevel.checkpoint()

    async def take(self) -> list[Any] | None:
        """What is to be written next, in its order; ``None`` once all is written and it is closed.

        What was taken before counts as written.
        """
        self._wrote()
        while not self._out:
            if self.close_code is not None:
                return None
            self._waking = anyio.Event()
            await self._waking.wait()
        pieces = [encoded for encoded, _ in self._out]
        self._taken = sum(size for _, size in self._out)
        self._writing = len(pieces)
        self._out.clear()
        return pieces

    _taken = 0

    def _wrote(self) -> None:
        self._buffered -= self._taken
        self._taken = self._writing = 0
        leaving, self._leaving = self._leaving, None
        _set(leaving)

    # The end.

    def end(self, code: int, reason: str) -> bool:
        news = super().end(code, reason)
        for each in (self._arrived, self._received, self._waking):
            _set(each)
        return news

    def over(self) -> None:
        """Nothing more will be written: whoever waits for that need not."""
        self.end(1006, "")
        self._over = True
        self._out.clear()
        self._buffered = self._writing = self._taken = 0
        _set(self._leaving)


def _set(event: anyio.Event | None) -> None:
    if event is not None:
        event.set()
