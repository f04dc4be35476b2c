"""Work in a transaction that leaves nothing behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from covet_kernel.contracts import SqlDatabase, SqlSession

T = TypeVar("T")


class _EnoughError(Exception):
    """Rolls a transaction back."""


async def undone(
    database: SqlDatabase, work: Callable[[SqlSession], Awaitable[T]], *, writes: bool = False
) -> T:
    """Do some work in a transaction and roll it back.

    Args:
        database: Where.
        work: Gets the transaction's session.
        writes: The work may change something; else the database refuses that.

    Returns:
        What the work did.
    """
    results: list[T] = []
    with suppress(_EnoughError):
        async with database.transaction(read_only=not writes) as session:
            results.append(await work(session))
            raise _EnoughError
    return results[0]
