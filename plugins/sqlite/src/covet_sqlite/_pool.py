"""Who gets a connection: first come, first served, and none is lost to a cancellation."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import anyio

from covet_kernel.contracts import SqlConflictError, SqlError, SqlUnavailableError
from covet_sqlite._connection import Connection


class Waiter:
    """A call in the queue. Granted, it has a connection, or the right to open one."""

    __slots__ = ("connection", "granted")

    def __init__(self) -> None:
        self.granted = anyio.Event()
        self.connection: Connection | None = None


class Pool:
    """Up to ``size`` connections, opened when first needed.

    State changes are synchronous: only opening, waiting and closing suspend.

    Attributes:
        size: How many there may be.
        opened: How many there are, those being opened included.
        idle: Those nobody uses, the last used on top.
        holders: The tasks inside a transaction, by the connection they hold.
    """

    def __init__(
        self, open_one: Callable[[], Awaitable[Connection]], size: int, acquire_timeout: float
    ) -> None:
        self._open_one = open_one
        self._acquire_timeout = acquire_timeout
        self.size = size
        self.opened = 0
        self.idle: list[Connection] = []
        self.holders: dict[Connection, int] = {}
        self._waiters: deque[Waiter] = deque()
        self._closed = False
        self._in_use: set[Connection] = set()
        self._returned = anyio.Event()

    @property
    def in_use(self) -> int:
        return len(self._in_use)

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    async def acquire(self) -> Connection:
        """A connection that is the caller's until it gives it back.

        Raises:
            SqlConflictError: None came free in time.
            SqlUnavailableError: The pool is closed, or a connection could not be opened.
            SqlError: The calling task already holds all there are.
        """
        self._refuse_if_closed()
        if self.idle:
            return self._used(self.idle.pop())
        if self.opened < self.size:
            self.opened += 1
            return await self._open()
        return await self._wait()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise SqlUnavailableError("the database is closed", sqlstate="08003")

    def _used(self, connection: Connection) -> Connection:
        self._in_use.add(connection)
        return connection

    async def _open(self) -> Connection:
        try:
            connection = await self._open_one()
        except BaseException:
            self._room()
            raise
        return self._used(connection)

    async def _wait(self) -> Connection:
        if len(self.holders) == self.opened and self._all_held_by(anyio.get_current_task().id):
            raise SqlError(
                "this task is inside a transaction that holds the only connection;"
                " use the transaction's session instead of the database",
                sqlstate="25001",
            )
        waiter = Waiter()
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

    def _all_held_by(self, task: int) -> bool:
        return self.opened == self.size and all(each == task for each in self.holders.values())

    def _leave(self, waiter: Waiter) -> None:
        if not waiter.granted.is_set():
            self._waiters.remove(waiter)
        elif waiter.connection is not None:
            self.give_back(waiter.connection)
        elif not self._closed:
            self._room()

    def give_back(self, connection: Connection) -> None:
        """End the use of a connection; the next in the queue gets it."""
        self._in_use.discard(connection)
        self.holders.pop(connection, None)
        if connection.lost or connection.in_transaction or self._closed:
            connection.discard()
            self._room()
        elif self._waiters:
            waiter = self._waiters.popleft()
            waiter.connection = self._used(connection)
            waiter.granted.set()
        else:
            self.idle.append(connection)
        if self._closed:
            self._returned.set()

    def _room(self) -> None:
        # One fewer: the right to open another passes to the next in the queue.
        if self._waiters:
            self._waiters.popleft().granted.set()
        else:
            self.opened -= 1

    async def close(self, timeout: float) -> None:
        """Refuse new calls, let those in flight finish within ``timeout`` seconds, close all."""
        self._closed = True
        while self._waiters:
            self._waiters.popleft().granted.set()
        with anyio.move_on_after(timeout):
            while self._in_use:
                self._returned = anyio.Event()
                await self._returned.wait()
        while self.idle:
            await self.idle.pop().close()
        for connection in tuple(self._in_use):
            connection.abandon()
