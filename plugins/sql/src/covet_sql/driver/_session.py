"""A transaction's statements."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, Generic, Protocol, Self, TypeVar

from covet_kernel.contracts import Params, Row, SqlError
from covet_sql.driver._statement import Statements


class HasSavepoints(Protocol):
    """What every session asks of its connection."""

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A part of the transaction that can fail alone."""


class SessionConnection(HasSavepoints, Protocol):
    """What a session asks of its connection, with statements of its own kind."""

    async def fetch(self, statement: Any, params: Params, /) -> list[Row]:
        """All rows."""

    async def execute(self, statement: Any, params: Params, /) -> int:
        """Run it; the number of rows changed."""

    async def execute_many(self, statement: Any, rows: Iterable[Params], /) -> int:
        """Run it once per row."""

    def stream(self, statement: Any, params: Params, /) -> AsyncGenerator[Row, None]:
        """Rows as they are fetched."""


H = TypeVar("H", bound=HasSavepoints)
C = TypeVar("C", bound=SessionConnection)
K_contra = TypeVar("K_contra", contravariant=True)


class Holds(Protocol[K_contra]):
    """What a session asks of the pool."""

    @property
    def current_task(self) -> Callable[[], int]:
        """Says which task is running."""

    def hold(self, connection: K_contra, /) -> int:
        """Note that the calling task is inside a transaction on its connection; the task's id."""


class OwnedSession(Generic[H]):
    """What a session is whatever runs its statements: open for its block, and the task's that began it.

    Args:
        connection: Runs its statements.
        pool: Has lent it to the calling task, and notes that it is inside a transaction.

    Attributes:
        dialect: The database's.
    """

    dialect: str

    def __init__(self, connection: H, pool: Holds[H]) -> None:
        self._connection = connection
        self._open = True
        self._task = pool.hold(connection)
        self._current_task = pool.current_task

    def end(self) -> None:
        """Refuse whatever is still asked."""
        self._open = False

    def _mine(self) -> H:
        if not self._open:
            raise SqlError("the session's transaction has ended", sqlstate="25000")
        if self._current_task() != self._task:
            raise SqlError(
                "a session belongs to the task that began its transaction; another task needs its own",
                sqlstate="25000",
            )
        return self._connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Self]:
        """A part of the transaction that happens as a whole or not at all."""
        async with self._mine().savepoint():
            yield self
            self._mine()


class Session(OwnedSession[C]):
    """Every statement on the transaction's connection, for the task that began it."""

    def __init__(self, connection: C, statements: Statements[Any], pool: Holds[C]) -> None:
        super().__init__(connection, pool)
        self._statements = statements

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        """As the contract has it, and so are the others."""
        return await self._mine().fetch(self._statements[sql], params)

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        return first(await self._mine().fetch(self._statements[sql], params))

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        return value(await self._mine().fetch(self._statements[sql], params))

    async def execute(self, sql: str, params: Params = ()) -> int:
        return await self._mine().execute(self._statements[sql], params)

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        return await self._mine().execute_many(self._statements[sql], rows)

    async def stream(self, sql: str, params: Params = ()) -> AsyncGenerator[Row, None]:
        connection = self._mine()
        async with aclosing(connection.stream(self._statements[sql], params)) as rows:
            async for row in rows:
                yield row
                self._mine()


def first(rows: list[Row]) -> Row | None:
    """The first row, if any."""
    return rows[0] if rows else None


def value(rows: list[Row]) -> Any:
    """The first column of the first row, if any."""
    return next(iter(rows[0].values())) if rows else None
