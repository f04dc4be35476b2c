"""Who gets a connection: first come, first served, and none is lost to a cancellation."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import uniform
from time import monotonic
from types import FrameType
from typing import Generic, Protocol, TypeVar

import anyio

from covet_kernel.contracts import SqlConflictError, SqlError, SqlUnavailableError

FRAMES = 8
"""How many of the innermost lines a lease remembers."""
OUR_OWN = ("covet_sql", "covet_sqlite", "covet_postgres", "covet_mysql", "contextlib")
"""Modules whose lines say nothing about who took a connection."""
JITTER = 0.1
"""Connections live this share of their lifetime longer or shorter, or all would end at once."""


class Pooled(Protocol):
    """What a pool asks of a connection."""

    @property
    def usable(self) -> bool:
        """Whether it may be lent: it works, and is neither in a transaction nor in a statement."""

    @property
    def clean(self) -> bool:
        """Whether nothing of the last user's is left in it; else `restore` has to be called."""

    async def restore(self) -> None:
        """Undo what the last user has left: settings, temporary tables, locks."""

    def discard(self) -> None:
        """End it without waiting."""

    async def close(self) -> None:
        """End it as the protocol says, within a time of its own."""

    def abandon(self) -> None:
        """Have whoever still uses it fail, and end it."""


C = TypeVar("C", bound=Pooled)


class Waiter(Generic[C]):
    """A call in the queue. Granted, it has a connection, or the right to open one."""

    __slots__ = ("connection", "granted")

    def __init__(self) -> None:
        self.granted = anyio.Event()
        self.connection: C | None = None


@dataclass
class Lease:
    """One connection in somebody's hands.

    Attributes:
        since: When it was taken, by the monotonic clock.
        where: The lines of code that took it, the innermost first.
        task: The task whose transaction it is, ``None`` if it is lent for one statement.
    """

    since: float
    where: tuple[tuple[str, int, str], ...]
    task: int | None = None

    def __str__(self) -> str:
        lines = (f"{file}:{line} in {name}" for file, line, name in self.where)
        return f"for {monotonic() - self.since:.1f} s, taken at " + " < ".join(lines)


class Pool(Generic[C]):
    """Up to ``size`` connections, opened when first needed, the last used lent first.

    State changes are synchronous: only opening, waiting, restoring and closing suspend.

    Args:
        open_one: Opens a connection.
        size: How many there may be.
        acquire_timeout: Seconds a call waits for one.
        restore_timeout: Seconds that restoring one for the next user may take.
        lifetime: Seconds after which one is replaced, a tenth more or less.
        idle_timeout: Seconds after which one that nobody uses is closed by `prune`.
        nested: A task inside a transaction may take another connection if one is free. Where all
            connections are alike that is a mistake at best, and many who do it wait for each other.

    Attributes:
        opened: How many there are, those being opened included.
        idle: Those nobody uses, the last used on top.
        on_wait: Is told, in the task of a call that had to wait for a connection, how many seconds
            that took; of one that found none and opened it, too.
    """

    def __init__(
        self,
        open_one: Callable[[], Awaitable[C]],
        size: int,
        acquire_timeout: float,
        *,
        restore_timeout: float = 5.0,
        lifetime: float = float("inf"),
        idle_timeout: float = float("inf"),
        nested: bool = False,
    ) -> None:
        self._open_one = open_one
        self._acquire_timeout = acquire_timeout
        self._restore_timeout = restore_timeout
        self._lifetime = lifetime
        self._idle_timeout = idle_timeout
        self._nested = nested
        self.size = size
        self.opened = 0
        self.idle: list[C] = []
        self.on_wait: Callable[[float], None] | None = None
        self._idle_since: dict[C, float] = {}
        self._expires: dict[C, float] = {}
        self._leases: dict[C, Lease] = {}
        self._holding = 0
        self._waiters: deque[Waiter[C]] = deque()
        self._closed = False
        self._returned = anyio.Event()

    @property
    def in_use(self) -> int:
        """How many are lent."""
        return len(self._leases)

    @property
    def waiting(self) -> int:
        """How many calls wait for one."""
        return len(self._waiters)

    def leases(self) -> list[Lease]:
        """Who has a connection, the longest first: what to look at when none comes back."""
        return sorted(self._leases.values(), key=lambda lease: lease.since)

    async def acquire(self) -> C:
        """A connection that is the caller's until it gives it back.

        Raises:
            SqlConflictError: None came free in time.
            SqlUnavailableError: The pool is closed, or a connection could not be opened.
            SqlError: The calling task is inside a transaction, and this would be its second
                connection.
        """
        self._refuse_if_closed()
        if self._holding:
            self._refuse_a_second()
        while self.idle:
            connection = self.idle.pop()
            if connection.usable:
                return self._lent(connection)
            self._drop(connection)
        if self.opened < self.size:
            self.opened += 1
            return await self._timed(self._open())
        return await self._timed(self._wait())

    async def _timed(self, way: Awaitable[C]) -> C:
        begun = monotonic()
        try:
            return await way
        finally:
            if self.on_wait is not None:
                self.on_wait(monotonic() - begun)

    def hold(self, connection: C) -> int:
        """Note that the calling task is inside a transaction on its connection; the task's id."""
        task = anyio.get_current_task().id
        self._leases[connection].task = task
        self._holding += 1
        return task

    async def take_back(self, connection: C) -> None:
        """`give_back`, after restoring the connection if it needs that; shielded, with a deadline."""
        try:
            if connection.usable and not connection.clean:
                with anyio.move_on_after(self._restore_timeout, shield=True):
                    await connection.restore()
        finally:
            self.give_back(connection)

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[C]:
        """A connection for the block, restored for the next user if it needs that."""
        connection = await self.acquire()
        try:
            yield connection
        finally:
            if connection.clean:
                self.give_back(connection)
            else:
                await self.take_back(connection)

    def give_back(self, connection: C) -> None:
        """End the use of a connection; the next in the queue gets it."""
        lease = self._leases.pop(connection)
        self._holding -= lease.task is not None
        if (
            self._closed
            or not (connection.usable and connection.clean)
            or self._expires[connection] <= monotonic()
        ):
            connection.discard()
            self._gone(connection)
        elif self._waiters:
            waiter = self._waiters.popleft()
            waiter.connection = self._lent(connection)
            waiter.granted.set()
        else:
            self._idle_since[connection] = monotonic()
            self.idle.append(connection)
        if self._closed:
            self._returned.set()

    def prune(self) -> None:
        """Close connections that are too old, broken, or were not needed for long."""
        now = monotonic()
        for connection in tuple(self.idle):
            if (
                not connection.usable
                or self._expires[connection] <= now
                or now - self._idle_since[connection] >= self._idle_timeout
            ):
                self.idle.remove(connection)
                self._drop(connection)

    async def close(self, timeout: float) -> None:
        """Refuse new calls, let those in flight finish within ``timeout`` seconds, close all."""
        self._closed = True
        while self._waiters:
            self._waiters.popleft().granted.set()
        with anyio.move_on_after(timeout):
            while self._leases:
                self._returned = anyio.Event()
                await self._returned.wait()
        while self.idle:
            connection = self.idle.pop()
            await connection.close()
            self._gone(connection)
        for connection in tuple(self._leases):
            connection.abandon()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise SqlUnavailableError("the database is closed", sqlstate="08003")

    def _refuse_a_second(self) -> None:
        task = anyio.get_current_task().id
        held = next((lease for lease in self._leases.values() if lease.task == task), None)
        if held is None:
            return
        if self._nested and (
            self.opened < self.size
            or self.idle
            or any(lease.task != task for lease in self._leases.values())
        ):
            return
        raise SqlError(
            "this task is inside a transaction that holds a connection, and would wait for a second"
            f" one: use the transaction's session instead of the database. The first it has {held}",
            sqlstate="25001",
        )

    def _lent(self, connection: C) -> C:
        self._leases[connection] = Lease(monotonic(), tuple(_callers()))
        return connection

    async def _open(self) -> C:
        try:
            connection = await self._open_one()
        except BaseException:
            self._room()
            raise
        self._expires[connection] = monotonic() + self._lifetime * uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
        return self._lent(connection)

    async def _wait(self) -> C:
        waiter: Waiter[C] = Waiter()
        self._waiters.append(waiter)
        try:
            with anyio.move_on_after(self._acquire_timeout):
                await waiter.granted.wait()
        except BaseException:
            self._leave(waiter)
            raise
        if not waiter.granted.is_set():
            self._waiters.remove(waiter)
            raise SqlConflictError(
                f"no connection came free within {self._acquire_timeout} s", sqlstate="40001"
            )
        if waiter.connection is not None:
            return waiter.connection
        self._refuse_if_closed()
        return await self._open()

    def _leave(self, waiter: Waiter[C]) -> None:
        if not waiter.granted.is_set():
            self._waiters.remove(waiter)
        elif waiter.connection is not None:
            self.give_back(waiter.connection)
        elif not self._closed:
            self._room()

    def _drop(self, connection: C) -> None:
        connection.discard()
        self._gone(connection)

    def _gone(self, connection: C) -> None:
        self._expires.pop(connection, None)
        self._idle_since.pop(connection, None)
        self._room()

    def _room(self) -> None:
        # One fewer: the right to open another passes to the next in the queue.
        if self._waiters:
            self._waiters.popleft().granted.set()
        else:
            self.opened -= 1


def _callers() -> Iterator[tuple[str, int, str]]:
    # A tenth of what the traceback module takes for it; files are not read before somebody asks.
    frame: FrameType | None = sys._getframe(1)
    left = FRAMES
    while frame is not None and left:
        if not frame.f_globals.get("__name__", "").startswith(OUR_OWN):
            yield frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
            left -= 1
        frame = frame.f_back
