"""An `SqlDatabase` that is another one at each call."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing
from functools import lru_cache
from typing import Any

from covet_kernel.contracts import Isolation, Params, Row, SqlDatabase, SqlSession

READS = re.compile(r"[\s(]*(?:SELECT|VALUES)\b", re.IGNORECASE)
CHANGES = re.compile(
    r"\b(?:INSERT|UPDATE|DELETE|MERGE|REPLACE|INTO|NEXTVAL|SETVAL|SHARE|LOCK|SET_CONFIG)\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def only_reads(sql: str) -> bool:
    """Whether a text is a query whose words neither change nor lock anything.

    A quoted word counts like any other, and a query with one of them in it is merely taken to be more
    than it is. A function that changes something cannot be seen: it is for a transaction.
    """
    return READS.match(sql) is not None and CHANGES.search(sql) is None


class RoutedDatabase:
    """Each statement, and each transaction, goes to the database that ``route`` gives.

    Args:
        dialect: Of all of them.
        route: The one for the calling task, or an `SqlError` if there is none.
    """

    def __init__(self, dialect: str, route: Callable[[], SqlDatabase]) -> None:
        self.dialect = dialect
        self._route = route

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        return await self._route().fetch_all(sql, params)

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        return await self._route().fetch_one(sql, params)

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        return await self._route().fetch_value(sql, params)

    async def execute(self, sql: str, params: Params = ()) -> int:
        return await self._route().execute(sql, params)

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        return await self._route().execute_many(sql, rows)

    async def stream(self, sql: str, params: Params = ()) -> AsyncGenerator[Row, None]:
        async with aclosing(self._route().stream(sql, params)) as rows:
            async for row in rows:
                yield row

    def transaction(
        self, *, read_only: bool = False, isolation: Isolation | None = None
    ) -> AbstractAsyncContextManager[SqlSession]:
        return self._route().transaction(read_only=read_only, isolation=isolation)
