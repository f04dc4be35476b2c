"""A transaction on a connection of a pool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Generic, Protocol, TypeVar, get_args

from covet_kernel.contracts import Isolation, SqlError
from covet_sql.driver._pool import Pool, Pooled

LEVELS: tuple[Isolation, ...] = get_args(Isolation)


def check_isolation(isolation: Isolation | None) -> None:
    """Refuse what is no isolation level, before it becomes part of a statement.

    Raises:
        SqlError: It is none of the contract's.
    """
    if isolation is not None and isolation not in LEVELS:
        valid = ", ".join(map(repr, LEVELS))
        raise SqlError(
            f"{isolation!r} is not an isolation level that can be had; these are: {valid}",
            sqlstate="0A000",
        )


class Transacts(Pooled, Protocol):
    """What a transaction asks of its connection."""

    def begin(self, *, read_only: bool, isolation: Isolation | None) -> Awaitable[None] | None:
        """Begin one, now or with what is asked for next."""

    async def commit(self) -> None:
        """Commit, or say why not and leave nothing open."""

    async def roll_back(self) -> None:
        """Undo it, if it is still open."""


C = TypeVar("C", bound=Transacts)
S = TypeVar("S")


class Transaction(AbstractAsyncContextManager[S], Generic[C, S]):
    """The block of a transaction, which has a connection of a pool for its time.

    Written out rather than made of generators: thousands of calls may wait for a connection, and each
    of them stands in here.

    Args:
        pool: Lends the connection.
        begun: Makes what the block gets, of the connection whose transaction has begun.
        ended: Is told when the block has ended, before the transaction does.
        read_only: Nothing can be changed in it.
        isolation: How far it is kept apart from others, the database's own setting if ``None``.
    """

    __slots__ = ("_begun", "_connection", "_ended", "_given", "_isolation", "_pool", "_read_only")

    def __init__(
        self,
        pool: Pool[C],
        begun: Callable[[C], S],
        ended: Callable[[S], object],
        *,
        read_only: bool = False,
        isolation: Isolation | None = None,
    ) -> None:
        self._pool = pool
        self._begun = begun
        self._ended = ended
        self._read_only = read_only
        self._isolation = isolation

    async def __aenter__(self) -> S:
        check_isolation(self._isolation)
        connection = self._connection = await self._pool.acquire()
        try:
            begins = self._begin(connection)
            if begins is not None:
                await begins
            given = self._given = self._begun(connection)
        except BaseException:
            await self._undo()
            raise
        return given

    def _begin(self, connection: C) -> Awaitable[None] | None:
        return connection.begin(read_only=self._read_only, isolation=self._isolation)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended(self._given)
        if kind is not None:
            await self._undo()
            return
        try:
            await self._connection.commit()
        finally:
            await self._over()

    async def _undo(self) -> None:
        # The server may be gone, the file too, or a thread stuck: the pool discards the connection then,
        # the database undoes what was done, and the block's own error is the one to raise.
        try:
            with suppress(SqlError):
                await self._connection.roll_back()
        finally:
            await self._over()

    async def _over(self) -> None:
        connection = self._connection
        if connection.clean:
            self._pool.give_back(connection)
        else:
            await self._pool.take_back(connection)
