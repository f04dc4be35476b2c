"""Notifications for whoever has a database: what is heard, and what may have been missed."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, cast

import anyio
import anyio.lowlevel

from covet_kernel.contracts import SqlDatabase, SqlError, SqlSession

LONGEST = 63
"""Bytes of a channel's name; PostgreSQL would cut a longer one off without a word."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One call of NOTIFY.

    Attributes:
        channel: Where it was sent to.
        payload: What was sent; empty if nothing was.
        pid: The server process of who sent it.
    """

    channel: str
    payload: str
    pid: int


@dataclass(frozen=True, slots=True)
class Gap:
    """In this place of the sequence notifications may be missing: look at the data itself.

    Attributes:
        reason: ``"reconnected"``, the connection had been lost; ``"overflow"``, more came than was read.
    """

    reason: Literal["reconnected", "overflow"]


Heard: TypeAlias = Notification | Gap


class Listener:
    """What was heard and not read yet; an iterator that ends when the database is closed.

    Args:
        size: How many notifications wait at most. Those that are read too late leave first.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._queue: deque[Heard] = deque()
        self._missed = False
        self._ended = False
        self._changed = anyio.Event()

    def put(self, item: Heard) -> None:
        """Keep it for the reader."""
        if len(self._queue) >= self._size:
            self._queue.popleft()
            self._missed = True
        self._queue.append(item)
        self._wake()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> Heard:
        await anyio.lowlevel.checkpoint()
        while True:
            if self._missed:
                self._missed = False
                return Gap("overflow")
            if self._queue:
                return self._queue.popleft()
            if self._ended:
                raise StopAsyncIteration
            await self._changed.wait()


class ListeningDatabase(Protocol):
    """A database that can be listened to."""

    def listen(
        self, channels: tuple[str, ...], buffer: int
    ) -> AbstractAsyncContextManager[AsyncIterator[Heard]]: ...


def listen(
    db: SqlDatabase, *channels: str, buffer: int = 1000
) -> AbstractAsyncContextManager[AsyncIterator[Heard]]:
    """Hear what is sent to the channels, from the moment the block is entered until it is left.

    All listeners of a database share one connection beside its pool. When it is lost it is opened
    again, for as long as it takes, and the iterator gives a `Gap`: what was sent meanwhile is lost.

    Args:
        db: A PostgreSQL database.
        channels: Names of at most 63 bytes, upper and lower case being different; at least one.
        buffer: How many notifications wait for the reader. When more come the oldest are dropped, and a
            `Gap` stands for them.

    Raises:
        SqlUnavailableError: On entering: the database cannot be reached, or is closed.
        SqlError: A name cannot be used, or the database is none that can be listened to.
    """
    if not hasattr(db, "listen"):
        raise SqlError(
            f"{type(db).__name__} cannot be listened to: it takes a database of covet-postgres",
            sqlstate="0A000",
        )
    if not channels or buffer < 1:
        raise SqlError("listen takes a channel at least, and room for one", sqlstate="42601")
    for channel in channels:
        _check(channel)
    return cast("ListeningDatabase", db).listen(channels, buffer)


async def notify(session: SqlSession, channel: str, payload: str = "") -> None:
    """Send to whoever listens; within a transaction, when it has been committed.

    Args:
        session: A PostgreSQL database, or a session of one.
        channel: A name of at most 63 bytes.
        payload: At most 8,000 bytes, less in some versions; send the key of a row rather than the row.

    Raises:
        SqlError: The name or the payload cannot be sent, or the database has no channels.
    """
    if session.dialect != "postgresql":
        raise SqlError(f"{session.dialect} has no channels to notify", sqlstate="0A000")
    _check(channel)
    await session.fetch_value("SELECT CAST(pg_notify(?, ?) AS text)", (channel, payload))


def _check(channel: str) -> None:
    if not channel or "\0" in channel or len(channel.encode("utf-8", "replace")) > LONGEST:
        raise SqlError(
            f"a channel's name has 1 to {LONGEST} bytes, and no NUL characters", sqlstate="42602"
        )
