"""The coordinator: begins transactions over several databases, and knows what became of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from covet_kernel.contracts import SQL, Capability, SqlDatabase
from covet_twophase._config import TwoPhaseConfig
from covet_twophase._counts import Counts
from covet_twophase._log import Log
from covet_twophase._recovery import Recovery
from covet_twophase._transaction import Transaction


class Coordinator:
    """Transactions over several databases, decided in one log.

    Args:
        databases: As plugins provide them, by the names of the instances.
        log: The decisions.
        recovery: Takes what a transaction cannot end itself.
        config: How long things may take.
        counts: Of the plugin.
    """

    def __init__(
        self,
        databases: Mapping[str, SqlDatabase],
        log: Log,
        recovery: Recovery,
        config: TwoPhaseConfig,
        counts: Counts,
    ) -> None:
        self.databases = {SQL.named(name): (name, each) for name, each in databases.items()}
        self.log = log
        self.recovery = recovery
        self.config = config
        self.counts = counts

    def database(self, token: Capability[SqlDatabase]) -> tuple[str, SqlDatabase]:
        """The name of a database and the database.

        Raises:
            LookupError: It is none that takes part.
        """
        found = self.databases.get(token)
        if found is None:
            known = ", ".join(each.id for each in self.databases)
            raise LookupError(
                f"{token!r} takes no part in transactions over several databases; these do: {known}."
                " Add it to plugins.twophase.databases"
            )
        return found

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A block that happens on all databases, or on none."""
        transaction = Transaction(self)
        self.recovery.active.add(transaction.id)
        try:
            try:
                yield transaction
            except BaseException:
                await transaction.roll_back()
                raise
            await transaction.commit()
        finally:
            self.recovery.active.discard(transaction.id)
            for name, outcome, problem in transaction.left:
                self.recovery.hand_over(transaction.id, name, outcome, problem)

    def reached(self, point: str) -> None:
        """A transaction has come to a point of the protocol; for tests that end the process there."""
