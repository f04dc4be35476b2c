"""Who gets a connection: first come, first served, and none is lost to a cancellation.

A call that waits is one small object in a queue, woken by the loop itself. All wait equally long, so
that the queue is also in the order of their limits: one alarm, for the first of them, does for all.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import uniform
from time import monotonic
from types import CodeType, FrameType
from typing import Any, Generic, Protocol, TypeVar

import anyio

from covet_kernel.contracts import SqlConflictError, SqlError, SqlUnavailableError
from covet_sql.driver._loop import Reply, current_scheduler

FRAMES = 12
"""How many of the innermost lines a lease remembers, the pool's and the driver's own included."""
OUR_OWN = ("covet_sql", "covet_sqlite", "covet_postgres", "covet_mysql", "contextlib")
"""Modules whose lines say nothing about who took a connection."""
JITTER = 0.1
"""Connections live this share of their lifetime longer or shorter, or all would end at once."""
LEFT = 32
"""Who has left stands in the queue until its turn, unless there are more of them, and more than others."""
SOON = 0.001
"""Seconds to the next look at the queue at least."""

Frame = tuple[dict[str, Any], CodeType, int]
"""A line of code: what its module has, the code, and where in it. Which line that is takes time to say."""


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

    __slots__ = ("connection", "due", "granted", "reply")

    def __init__(self, reply: Reply, due: float) -> None:
        self.reply = reply
        self.due = due
        self.granted = False
        self.connection: C | None = None


@dataclass(slots=True)
class Lease:
    """One connection in somebody's hands.

    Attributes:
        since: When it was taken, by the monotonic clock.
        frames: The code that took it, the innermost first; empty until that runs.
        task: The task whose transaction it is, ``None`` if it is lent for one statement.
    """

    since: float
    frames: tuple[Frame, ...] = ()
    task: int | None = None

    @property
    def where(self) -> list[tuple[str, int, str]]:
        """The lines of code that took it: file, number, and the function's name."""
        return [
            (code.co_filename, _line(code, place), code.co_name)
            for module, code, place in self.frames
            if not module.get("__name__", "").startswith(OUR_OWN)
        ]

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
        self._scheduler = current_scheduler()
        self._waiters: deque[Waiter[C]] = deque()
        self._left = 0
        self._alarm: Callable[[], None] | None = None
        self._closed = False
        self._returned = anyio.Event()

    @property
    def in_use(self) -> int:
        """How many are lent."""
        return len(self._leases)

    @property
    def waiting(self) -> int:
        """How many calls wait for one."""
        return sum(not waiter.reply.done() for waiter in self._waiters)

    @property
    def current_task(self) -> Callable[[], int]:
        """Says which task is running, as `hold` does."""
        return self._scheduler.task

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
        begun = monotonic()
        try:
            if self.opened < self.size:
                self.opened += 1
                return await self._open()
            return await self._wait()
        finally:
            if self.on_wait is not None:
                self.on_wait(monotonic() - begun)

    def hold(self, connection: C) -> int:
        """Note that the calling task is inside a transaction on its connection; the task's id."""
        task = self._leases[connection].task = self._scheduler.task()
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

    def lend(self) -> Loan[C]:
        """A connection for the block, restored for the next user if it needs that."""
        return Loan(self)

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
        elif not self._grant(connection):
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
        if self._alarm is not None:
            self._alarm()
        while self._grant(None):
            pass
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
        task = self._scheduler.task()
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
        self._leases[connection] = Lease(monotonic(), _callers())
        return connection

    async def _open(self) -> C:
        try:
            connection = await self._open_one()
        except BaseException:
            self._room()
            raise
        self._expires[connection] = monotonic() + self._lifetime * uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
        return self._lent(connection)

    def _suspect(self) -> str:
        """Who has had one for the longest, for whoever has got none."""
        held = self.leases()
        return f"; of {len(held)} in use one is {held[0]}" if held else ""

    async def _wait(self) -> C:
        timeout = self._acquire_timeout
        waiter: Waiter[C] = Waiter(self._scheduler.reply(), monotonic() + timeout)
        self._waiters.append(waiter)
        if self._alarm is None:
            self._alarm = self._scheduler.alarm(timeout, self._look)
        try:
            await waiter.reply
        except BaseException:
            self._leave(waiter)
            raise
        if not waiter.granted:
            raise SqlConflictError(
                f"no connection came free within {timeout} s{self._suspect()}", sqlstate="40001"
            )
        connection = waiter.connection
        if connection is not None:
            # Only now: so far it was the code that gave it back that ran.
            self._leases[connection].frames = _callers()
            return connection
        self._refuse_if_closed()
        return await self._open()

    def _leave(self, waiter: Waiter[C]) -> None:
        if waiter.connection is not None:
            self.give_back(waiter.connection)
        elif waiter.granted:
            if not self._closed:
                self._room()
        else:
            self._left += 1
            if self._left > LEFT and 2 * self._left > len(self._waiters):
                self._waiters = deque(each for each in self._waiters if not each.reply.done())
                self._left = 0

    def _grant(self, connection: C | None) -> bool:
        """Wake the first in the queue, if anybody waits: it has the connection, or may open one."""
        waiters = self._waiters
        while waiters:
            waiter = waiters.popleft()
            if not waiter.reply.done():
                if connection is not None:
                    self._leases[connection] = Lease(monotonic())
                    waiter.connection = connection
                waiter.granted = True
                waiter.reply.set_result(None)
                return True
        return False

    def _look(self) -> None:
        """Answer those who have waited for too long, and look again when the next one will have."""
        self._alarm = None
        now = monotonic()
        while self._waiters:
            waiter = self._waiters[0]
            if not waiter.reply.done():
                if waiter.due > now:
                    wait = max(waiter.due - now, SOON)
                    self._alarm = self._scheduler.alarm(wait, self._look)
                    return
                waiter.reply.set_result(None)
            self._waiters.popleft()

    def _drop(self, connection: C) -> None:
        connection.discard()
        self._gone(connection)

    def _gone(self, connection: C) -> None:
        self._expires.pop(connection, None)
        self._idle_since.pop(connection, None)
        self._room()

    def _room(self) -> None:
        # One fewer: the right to open another passes to the next in the queue.
        if not self._grant(None):
            self.opened -= 1


class Loan(Generic[C]):
    """The block for which a connection is lent."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: Pool[C]) -> None:
        self._pool = pool

    async def __aenter__(self) -> C:
        connection = self._connection = await self._pool.acquire()
        return connection

    async def __aexit__(self, *error: object) -> None:
        connection = self._connection
        if connection.clean:
            self._pool.give_back(connection)
        else:
            await self._pool.take_back(connection)


def _callers() -> tuple[Frame, ...]:
    # On the path of every transaction: no more is asked of a frame than where it is.
    frame: FrameType | None = sys._getframe(2)
    found: list[Frame] = []
    for _ in range(FRAMES):
        if frame is None:
            break
        found.append((frame.f_globals, frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return tuple(found)


def _line(code: CodeType, place: int) -> int:
    lines = (line for start, end, line in code.co_lines() if start <= place < end)
    return next(lines, None) or code.co_firstlineno
