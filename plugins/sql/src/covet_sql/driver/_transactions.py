"""What databases with more than one connection can do beyond the kernel's contract."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, TypeAlias

from covet_kernel.contracts import SqlDatabase, SqlSession

Isolation: TypeAlias = Literal["read committed", "repeatable read", "serializable"]
"""How much of other transactions one sees, as ISO 9075 names it."""


class SavepointSession(SqlSession, Protocol):
    """A transaction's session in which a part can fail alone."""

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A block within the transaction: what it did is undone when it raises or is cancelled.

        Where an error of the database ends a transaction, it ends the block instead.
        """


class TransactionalDatabase(SqlDatabase, Protocol):
    """A database that says how far transactions are kept apart."""

    def transaction(
        self, *, read_only: bool = False, isolation: Isolation | None = None
    ) -> AbstractAsyncContextManager[SavepointSession]:
        """As the contract has it.

        Args:
            read_only: Nothing can be changed in it.
            isolation: ``None`` leaves it to the database's own setting.
        """
