"""A unit of work that is done again when another transaction was in the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from random import uniform
from typing import TypeVar

import anyio

from covet_kernel.contracts import Isolation, SqlConflictError, SqlDatabase, SqlSession

S = TypeVar("S")
T = TypeVar("T")

FIRST_WAIT = 0.01
LONGEST_WAIT = 1.0
"""Seconds; between two attempts it is a random part of a time that doubles up to this."""
UNKNOWN = "40003"
"""The sqlstate of a conflict of which it is not known whether the work was undone."""


async def run_transaction(
    db: SqlDatabase,
    work: Callable[[SqlSession], Awaitable[T]],
    *,
    isolation: Isolation | None = None,
    read_only: bool = False,
    attempts: int = 10,
) -> T:
    """Do the work in a transaction, and again in a new one when the database says it conflicted.

    A serialization failure or a deadlock (sqlstate class 40) means that nothing of the attempt was
    stored. Nothing else is tried again: not a connection that was lost, not a lock that was not had
    in time, not a pool or a file that is busy before the work begins, and never a commit of which it
    is not known whether it happened; that is `SqlUnavailableError` with sqlstate 08007.

    Args:
        db: The database. Calling it in a task that is in a transaction of it already is an error: use
            the session's own `transaction` there.
        work: What is done, with the session of the attempt. It may run several times, so what it does
            outside of the session has to be safe to repeat.
        isolation: How far it is kept apart from others, the database's own setting if ``None``.
        read_only: Nothing can be changed in it.
        attempts: How often it is tried at most.

    Returns:
        What the work returned in the attempt that was committed.

    Raises:
        SqlConflictError: It conflicted at each attempt, or the caller's deadline comes before
            the next one could begin; a note on it says which and how often it was tried.
        SqlError: The database refused, as for any transaction.
    """
    return await run_again(
        partial(db.transaction, read_only=read_only, isolation=isolation), work, attempts=attempts
    )


async def run_again(
    begin: Callable[[], AbstractAsyncContextManager[S]],
    work: Callable[[S], Awaitable[T]],
    *,
    attempts: int = 10,
) -> T:
    """`run_transaction` for anything that begins like a transaction, one over several databases, say.

    Args:
        begin: Makes the block of an attempt.
        work: What is done in it, with what it gives.
        attempts: How often it is tried at most.

    Returns:
        What the work returned in the attempt that was committed.

    Raises:
        SqlConflictError: As for `run_transaction`.
    """
    if attempts < 1:
        raise ValueError("a transaction is tried once at least")
    tried = 0
    while True:
        tried += 1
        began = False
        try:
            async with begin() as given:
                began = True
                result = await work(given)
        except SqlConflictError as error:
            if not began or not error.sqlstate.startswith("40") or error.sqlstate == UNKNOWN:
                raise
            if tried >= attempts:
                error.add_note(f"the transaction conflicted with others {tried} times")
                raise
            # By chance, or those who met would meet again.
            wait = uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**tried))  # noqa: S311
            deadline = anyio.current_effective_deadline()
            # Minus infinity stands for a caller that is cancelled already: the wait ends at once.
            if float("-inf") < deadline <= anyio.current_time() + wait:
                error.add_note(
                    f"the transaction conflicted with others {tried} times, and the caller's deadline"
                    " leaves no time to try again"
                )
                raise
        else:
            return result
        await anyio.sleep(wait)
