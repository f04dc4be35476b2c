"""What a service asks for, and what it gets."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from covet_kernel.contracts import Capability, Isolation, SqlDatabase, SqlSession


class TwoPhaseTransaction(Protocol):
    """One transaction over several databases, for the task that began it.

    Attributes:
        id: What its branches are named by, on every database.
        pending: The databases, by the names of their instances, whose part is decided and not done yet,
            because they could not be reached; they get it when they can. Known when the block has
            ended.
    """

    @property
    def id(self) -> str: ...
    @property
    def pending(self) -> frozenset[str]: ...

    async def session(
        self,
        database: Capability[SqlDatabase],
        *,
        read_only: bool = False,
        isolation: Isolation | None = None,
    ) -> SqlSession:
        """The session of this transaction on a database, begun when it is first asked for.

        Whoever asks for several should do so in the same order everywhere: each holds a connection
        while it waits for the next.

        Args:
            database: `SQL` or `SQL.named(...)`, one of those that are configured.
            read_only: Nothing can be changed in it, so it need not be prepared.
            isolation: As a database's own transactions have it.

        Raises:
            SqlError: The database refuses, as for any transaction; or it has begun already, with
                other words.
            LookupError: It is none of those configured.
        """


class TwoPhase(Protocol):
    """Transactions over several databases."""

    def transaction(self) -> AbstractAsyncContextManager[TwoPhaseTransaction]:
        """A block that happens on all databases, or on none.

        When the block ends, every database is asked to prepare; once all have, the decision is recorded
        and then they commit. Raised through or cancelled before that, the block is undone on all of
        them. Cancelled later, it is finished first. A block in which only one database can have been
        changed is committed there as any transaction is.

        Raises:
            SqlError: A database could not prepare, or the decision not be recorded; nothing was done.
            InDoubtError: What was decided is not known until the log can be written again.
            HeuristicError: Somebody else has ended a part of it, perhaps in another way.
        """


TWO_PHASE: Final = Capability[TwoPhase]("sql.two_phase", plugins=("twophase",))
"""Transactions over several databases."""
