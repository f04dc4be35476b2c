"""A query over all shards: bounded in what runs at once, in rows and in time, and in one order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from functools import cmp_to_key
from typing import Any, NamedTuple

import anyio

from covet_kernel.contracts import Params, Row, SqlDatabase, SqlError
from covet_sharding._errors import GatherError, GatherLimitError

Compare = Callable[[Row, Row], int]
Keep = Callable[[str, Row], bool]
"""Whether a row of a shard counts."""


class Gathered(NamedTuple):
    """What the shards have answered.

    Attributes:
        rows: Of all of them.
        failed: What went wrong, by shard; empty unless a part of the answer was asked for.
    """

    rows: list[Row]
    failed: dict[str, Exception]


class Limits(NamedTuple):
    """Attributes: ``concurrency`` in shards, ``rows`` of all shards, ``timeout`` of each in seconds."""

    concurrency: int
    rows: int
    timeout: float


def comparison(order_by: Sequence[str], *, nulls_last: bool) -> Compare:
    """Compares rows as ``ORDER BY`` does: columns, a ``-`` before those that go down."""
    columns = [(name.removeprefix("-"), name.startswith("-")) for name in order_by]

    def compare(one: Row, other: Row) -> int:
        for name, down in columns:
            a, b = one[name], other[name]
            if a is None or b is None:
                result = ((a is None) - (b is None)) * (1 if nulls_last else -1)
            else:
                result = (a > b) - (a < b)
            if result:
                return -result if down else result
        return 0

    return compare


class Gather:
    """One query, over some shards.

    Args:
        sql: Of each shard. It has no LIMIT: rows are read until there are enough.
        params: Its parameters.
        order_by: The columns that the query orders by.
        limit: How many rows are wanted.
        limits: What may not be exceeded.
        keep: Which rows of a shard count; all if ``None``.
    """

    def __init__(
        self,
        sql: str,
        params: Params,
        *,
        order_by: Sequence[str],
        limit: int | None,
        limits: Limits,
        keep: Keep | None,
    ) -> None:
        self._sql = sql
        self._params = params
        self._order_by = order_by
        self._limit = limit
        self._limits = limits
        self._keep = keep
        self._rows: dict[str, list[Row]] = {}
        self._failed: dict[str, Exception] = {}
        self._count = 0

    async def run(self, databases: Mapping[str, SqlDatabase], *, partial: bool) -> Gathered:
        """The rows of the shards.

        Raises:
            GatherError: A shard has failed, and not a part of the answer was asked for.
            GatherLimitError: There are too many rows.
        """
        limiter = anyio.CapacityLimiter(self._limits.concurrency)
        async with anyio.create_task_group() as tasks:

            async def ask(name: str, database: SqlDatabase) -> None:
                async with limiter:
                    await self._ask(name, database)
                if self._failed and (
                    not partial or isinstance(self._failed.get(name), GatherLimitError)
                ):
                    tasks.cancel_scope.cancel()

            for name, database in databases.items():
                tasks.start_soon(ask, name, database)
        for error in self._failed.values():
            if isinstance(error, GatherLimitError):
                raise error
        if self._failed and not partial:
            name, error = next(iter(self._failed.items()))
            raise GatherError(f"shard {name!r} did not answer: {error}", self._failed) from error
        return Gathered(self._merged(databases), self._failed)

    async def _ask(self, name: str, database: SqlDatabase) -> None:
        try:
            with anyio.fail_after(self._limits.timeout):
                self._rows[name] = await self._read(name, database)
        except TimeoutError:
            self._failed[name] = TimeoutError(f"it took longer than {self._limits.timeout:g} s")
        except SqlError as error:
            self._failed[name] = error

    async def _read(self, name: str, database: SqlDatabase) -> list[Row]:
        found: list[Row] = []
        compare = self._compare(database.dialect) if self._order_by else None
        async with aclosing(database.stream(self._sql, self._params)) as rows:
            last: Row | None = None
            async for row in rows:
                if compare is not None and last is not None and compare(last, row) > 0:
                    raise GatherError(
                        "the rows do not come in the order of order_by; texts are compared by code"
                        ' point here, as COLLATE "C", utf8mb4_bin or BINARY has it in a query'
                    )
                last = row
                if self._keep is not None and not self._keep(name, row):
                    continue
                self._count += 1
                if self._count > self._limits.rows:
                    raise GatherLimitError(
                        f"the shards have more than {self._limits.rows} rows; ask for less, or for a limit"
                    )
                found.append(row)
                if self._limit is not None and len(found) >= self._limit:
                    break
        return found

    def _compare(self, dialect: str) -> Compare:
        return comparison(self._order_by, nulls_last=dialect == "postgresql")

    def _merged(self, databases: Mapping[str, SqlDatabase]) -> list[Row]:
        rows = [row for name in databases for row in self._rows.get(name, ())]
        if self._order_by:
            dialect = next(iter(databases.values())).dialect
            try:
                rows.sort(key=cmp_to_key(self._compare(dialect)))
            except TypeError as error:
                raise GatherError(f"the shards' values cannot be compared: {error}") from error
        return rows if self._limit is None else rows[: self._limit]


def key_column(row: Row, key: str) -> Any:
    """The value of the column that was said to hold the key.

    Raises:
        GatherError: The rows have none of that name.
    """
    if key not in row:
        raise GatherError(f"the rows have no column {key!r}, which was to hold the key")
    return row[key]
