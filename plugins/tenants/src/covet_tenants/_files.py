"""A file for each tenant, of which some are open: those that were used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from covet_kernel.contracts import (
    Isolation,
    SqlConflictError,
    SqlDatabase,
    SqlSession,
    SqlUnavailableError,
)
from covet_sql.routing import WithinDatabase

Opener = Callable[[str], AbstractAsyncContextManager[SqlDatabase]]


class _File:
    """One that is open, or about to be.

    Attributes:
        users: How many use it now.
        ready: It is open, or could not be opened.
        database: What it holds.
        problem: Why it could not be opened.
        unneeded: It is to be closed.
        closed: It is.
    """

    def __init__(self) -> None:
        self.users = 0
        self.ready = anyio.Event()
        self.database: SqlDatabase | None = None
        self.problem: Exception | None = None
        self.unneeded = anyio.Event()
        self.closed = anyio.Event()


class Files:
    """The files of all tenants.

    Args:
        open: Opens one by its tenant's name, as a context manager.
        tasks: Where each open file has a task that opens and closes it.
        limit: How many may be open at once.
        timeout: Seconds to wait until one more may be.
    """

    def __init__(self, open: Opener, tasks: TaskGroup, *, limit: int, timeout: float) -> None:
        self._open = open
        self._tasks = tasks
        self._limit = limit
        self._timeout = timeout
        self._files: OrderedDict[str, _File] = OrderedDict()
        self._changed = anyio.Event()

    @property
    def open(self) -> int:
        """How many are open."""
        return len(self._files)

    @asynccontextmanager
    async def use(self, tenant: str) -> AsyncIterator[SqlDatabase]:
        """A tenant's database, which stays open for the block.

        Raises:
            SqlConflictError: As many as may be are in use.
        """
        file = await self._take(tenant)
        try:
            await file.ready.wait()
            if file.database is None:
                raise SqlUnavailableError("the tenant's file cannot be opened") from file.problem
            yield file.database
        finally:
            file.users -= 1
            if not file.users:
                self._tell()

    async def close(self) -> None:
        """Close all of them; nobody uses one any more."""
        files = [*self._files.values()]
        for file in files:
            file.unneeded.set()
        for file in files:
            await file.closed.wait()

    async def _take(self, tenant: str) -> _File:
        until = anyio.current_time() + self._timeout
        while True:
            file = self._files.get(tenant)
            if file is not None and not file.unneeded.is_set():
                file.users += 1
                self._files.move_to_end(tenant)
                return file
            if file is None and len(self._files) < self._limit:
                file = self._files[tenant] = _File()
                file.users += 1
                self._tasks.start_soon(self._keep, tenant, file)
                return file
            if file is None:
                self._let_go()
            changed = self._changed
            with anyio.move_on_after(until - anyio.current_time()) as scope:
                await changed.wait()
            if scope.cancelled_caught:
                raise SqlConflictError(
                    f"the files of {self._limit} tenants are in use, and none of them was free in"
                    f" {self._timeout:g} s",
                    sqlstate="53300",
                )

    def _let_go(self) -> None:
        """Have the one that nobody uses, and that was used the longest ago, closed."""
        for file in self._files.values():
            if file.unneeded.is_set():
                return  # there will be room in a moment
            if not file.users:
                file.unneeded.set()
                return

    async def _keep(self, tenant: str, file: _File) -> None:
        try:
            async with self._open(tenant) as database:
                file.database = database
                file.ready.set()
                await file.unneeded.wait()
                file.database = None
        except Exception as error:
            file.problem = error
            file.unneeded.set()
            file.ready.set()
        finally:
            del self._files[tenant]
            file.closed.set()
            self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


class FileDatabase(WithinDatabase):
    """The `SqlDatabase` of one tenant's file, opened when it is used."""

    dialect = "sqlite"

    def __init__(self, files: Files, tenant: str) -> None:
        self._files = files
        self._tenant = tenant

    def within(self) -> AbstractAsyncContextManager[SqlDatabase]:
        return self._files.use(self._tenant)

    @asynccontextmanager
    async def transaction(
        self, *, read_only: bool = False, isolation: Isolation | None = None
    ) -> AsyncIterator[SqlSession]:
        async with (
            self.within() as database,
            database.transaction(read_only=read_only, isolation=isolation) as session,
        ):
            yield session
