"""A driver's database with the numbers of its statements, and with what the query cache has to know."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio

from covet_kernel.contracts import Params, Row, SqlDatabase, SqlSession
from covet_sql.profile._profile import Profile
from covet_sql.profile._recording import Recording
from covet_sql.profile._slow import SlowLog

if TYPE_CHECKING:
    from covet_sql.cache import QueryCache


class Observed:
    """Statements, each of which is counted.

    Its methods are written out, each like the others: a function that all of them called would be paid
    for by every statement.

    Args:
        inner: Runs them.
        profile: Counts them.
        database: What they are of, if it is not this itself.
    """

    def __init__(
        self, inner: SqlSession, profile: Profile, database: ObservedDatabase | None = None
    ) -> None:
        self._inner = inner
        self._profile = profile
        self._database: Any = self if database is None else database

    def __getattr__(self, name: str) -> Any:
        # What a driver has beyond the contract; of that, only a bulk load changes rows.
        found = getattr(self._inner, name)
        return partial(self._copy_in, found) if name == "copy_in" else found

    async def _copy_in(self, run: Callable[..., Awaitable[int]], sql: str, *rest: Any) -> int:
        begun = perf_counter()
        try:
            changed = await run(sql, *rest)
        except BaseException as error:
            self._failed(sql, begun, error)
            raise
        self._profile.ran(sql, begun, changed)
        if self._database.cache is not None:
            self._settled(sql)
        return changed

    def _settled(self, text: str) -> None:
        """A statement is over, however it ended; only asked where there is a query cache."""
        raise NotImplementedError

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        begun = perf_counter()
        try:
            rows = await self._inner.fetch_all(sql, params)
        except BaseException as error:
            self._failed(sql, begun, error)
            raise
        self._profile.ran(sql, begun, len(rows))
        if self._database.cache is not None:
            self._settled(sql)
        return rows

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        begun = perf_counter()
        try:
            row = await self._inner.fetch_one(sql, params)
        except BaseException as error:
            self._failed(sql, begun, error)
            raise
        self._profile.ran(sql, begun, row is not None)
        if self._database.cache is not None:
            self._settled(sql)
        return row

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        begun = perf_counter()
        try:
            value = await self._inner.fetch_value(sql, params)
        except BaseException as error:
            self._failed(sql, begun, error)
            raise
        self._profile.ran(sql, begun, value is not None)
        if self._database.cache is not None:
            self._settled(sql)
        return value

    async def execute(self, sql: str, params: Params = ()) -> int:
        begun = perf_counter()
        try:
            changed = await self._inner.execute(sql, params)
        except BaseException as error:
            self._failed(sql, begun, error)
            raise
        self._profile.ran(sql, begun, changed)
        if self._database.cache is not None:
            self._settled(sql)
        return changed

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        begun = perf_counter()
        try:
            changed = await self._inner.execute_many(sql, rows)
        except BaseException as error:
            self._failed(sql, begun, error)
            raise
        self._profile.ran(sql, begun, changed)
        if self._database.cache is not None:
            self._settled(sql)
        return changed

    async def stream(self, sql: str, params: Params = ()) -> AsyncGenerator[Row, None]:
        count, elsewhere = 0, 0.0
        begun = left = perf_counter()
        try:
            async with aclosing(self._inner.stream(sql, params)) as rows:
                async for row in rows:
                    count += 1
                    left = perf_counter()
                    yield row
                    elsewhere += perf_counter() - left
        except GeneratorExit:
            # Whoever reads it has had enough, which is no failure; it stood at the `yield`.
            self._profile.ran(sql, begun + elsewhere + perf_counter() - left, count)
            if self._database.cache is not None:
                self._settled(sql)
            raise
        except BaseException as error:
            self._failed(sql, begun + elsewhere, error)
            raise
        self._profile.ran(sql, begun + elsewhere, count)
        if self._database.cache is not None:
            self._settled(sql)

    def _failed(self, text: str, begun: float, error: BaseException) -> None:
        self._profile.failed(text, begun, error)
        if self._database.cache is not None:
            self._settled(text)


class ObservedSession(Observed):
    """A transaction's session. What it writes is known to the query cache once that has ended.

    Args:
        inner: The driver's.
        database: What it is a session of.
        outer: The session of the transaction that it is a part of.
    """

    def __init__(
        self, inner: SqlSession, database: ObservedDatabase, outer: ObservedSession | None = None
    ) -> None:
        super().__init__(inner, database.profile, database)
        self.dialect = database.dialect
        self._blind = database.cache is None
        self._written: set[str] = set() if outer is None else outer._written
        self._outer = outer
        self._task: int | None = None
        if outer is None:
            database.blind += self._blind

    def _settled(self, text: str) -> None:
        if tables := self._database.cache.written_by(text):
            self._note(tables)

    def _note(self, tables: frozenset[str]) -> None:
        if self._outer is not None:
            self._outer._note(tables)
            return
        self._written |= tables
        if self._task is None:
            self._task = anyio.get_current_task().id
            self._database.writers.add(self._task)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[ObservedSession]:
        """A part that happens as a whole or not at all, as the driver has it."""
        inner: Any = self._inner
        async with inner.transaction() as session:
            yield ObservedSession(session, self._database, self)

    def _over(self) -> None:
        """The transaction is over, or it cannot be told whether it is."""
        database = self._database
        database.blind -= self._blind
        if self._task is not None:
            database.writers.discard(self._task)
        if database.cache is None:
            return
        if self._blind:
            database.cache.clear()
        elif self._written:
            database.cache.invalidate(self._written)


class ObservedDatabase(Observed):
    """The `SqlDatabase` that plugins of databases provide: the driver's, observed.

    Args:
        name: The plugin instance's.
        inner: The driver's.
        profile: Counts its statements.

    Attributes:
        name: The plugin instance's.
        inner: The driver's, for what is not to be counted.
        profile: The numbers.
        slow_log: The last slow statements.
        recording: Who runs what, while that is recorded.
        cache: The query cache, if there is one.
        writers: The tasks whose transaction has written, while there is one.
        blind: Open transactions that began before there was one.
        cache_bounds: How many results it may keep, and how many bytes they may take.
    """

    def __init__(self, name: str, inner: SqlDatabase, profile: Profile) -> None:
        super().__init__(inner, profile)
        self.name = name
        self.inner = inner
        self.dialect = inner.dialect
        self.profile = profile
        self.slow_log: SlowLog | None = None
        self.recording: Recording | None = None
        self.cache: QueryCache | None = None
        self.writers: set[int] = set()
        self.blind = 0
        self.cache_bounds = (10_000, 64 << 20)

    def has_written(self) -> bool:
        """Whether the calling task is inside a transaction that has written, or may have."""
        if self.blind:
            return True
        return bool(self.writers) and anyio.get_current_task().id in self.writers

    def _settled(self, text: str) -> None:
        cache = self.cache
        if cache is not None and (tables := cache.written_by(text)):
            cache.invalidate(tables)

    def written_elsewhere(self) -> None:
        """Something was written past the sessions of this process; no result that is kept is sure."""
        if self.cache is not None:
            from covet_sql.cache import ANY

            self.cache.invalidate((ANY,))

    def transaction(
        self, *, read_only: bool = False, **options: Any
    ) -> AbstractAsyncContextManager[ObservedSession]:
        """As the driver has it, with the driver's own options.

        Args:
            read_only: Nothing can be changed in it.
            options: What else the driver takes.
        """
        return ObservedTransaction(self, self.inner.transaction(read_only=read_only, **options))


class ObservedTransaction(AbstractAsyncContextManager[ObservedSession]):
    """The block of a transaction; its beginning and end are counted as statements are."""

    def __init__(
        self, database: ObservedDatabase, inner: AbstractAsyncContextManager[SqlSession]
    ) -> None:
        self._database = database
        self._inner = inner
        self._session: ObservedSession

    async def __aenter__(self) -> ObservedSession:
        profile, begun = self._database.profile, perf_counter()
        try:
            session = await self._inner.__aenter__()
        except BaseException as error:
            profile.failed("BEGIN", begun, error)
            raise
        profile.ran("BEGIN", begun, 0)
        self._session = ObservedSession(session, self._database)
        return self._session

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        profile, begun = self._database.profile, perf_counter()
        end = "COMMIT" if error is None else "ROLLBACK"
        try:
            handled = await self._inner.__aexit__(kind, error, trace)
        except BaseException as raised:
            profile.failed(end, begun, raised)
            raise
        finally:
            self._session._over()
        profile.ran(end, begun, 0)
        return handled
