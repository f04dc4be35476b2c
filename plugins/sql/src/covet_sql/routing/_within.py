"""An `SqlDatabase` each of whose statements has to enter something first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

from covet_kernel.contracts import Params, Row, SqlDatabase, SqlSession


class WithinDatabase(ABC):
    """Runs each statement on what `within` gives for as long as it takes.

    A subclass has ``dialect`` and ``transaction`` besides.
    """

    @abstractmethod
    def within(self) -> AbstractAsyncContextManager[SqlDatabase | SqlSession]:
        """What one statement is run on."""

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        async with self.within() as inner:
            return await inner.fetch_all(sql, params)

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        async with self.within() as inner:
            return await inner.fetch_one(sql, params)

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        async with self.within() as inner:
            return await inner.fetch_value(sql, params)

    async def execute(self, sql: str, params: Params = ()) -> int:
        async with self.within() as inner:
            return await inner.execute(sql, params)

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        async with self.within() as inner:
            return await inner.execute_many(sql, rows)

    async def stream(self, sql: str, params: Params = ()) -> AsyncGenerator[Row, None]:
        async with self.within() as inner, aclosing(inner.stream(sql, params)) as rows:
            async for row in rows:
                yield row
