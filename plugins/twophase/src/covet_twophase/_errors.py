"""What may go wrong with a transaction of several databases, beyond what may with one."""

from __future__ import annotations

from collections.abc import Iterable

from covet_kernel.contracts import SqlError, SqlUnavailableError


class InDoubtError(SqlUnavailableError):
    """What was decided is not known: the log took the decision neither for sure nor for sure not.

    Nothing of the transaction is committed or rolled back before the log can be written again, which
    is tried, or the service is started anew.

    Attributes:
        id: The transaction's.
    """

    def __init__(self, id: str, reason: object) -> None:
        super().__init__(
            f"whether transaction {id} is to be committed is not known before its log can be written"
            f" again: {reason}",
            sqlstate="08007",
        )
        self.id = id


class HeuristicError(SqlError):
    """It was decided to commit, and somebody else had ended a part of it, perhaps by a rollback.

    Attributes:
        id: The transaction's.
        databases: Where, by the names of the instances.
    """

    def __init__(self, id: str, databases: Iterable[str]) -> None:
        self.id = id
        self.databases = tuple(sorted(databases))
        names = ", ".join(each or "the default database" for each in self.databases)
        super().__init__(
            f"transaction {id} is committed, but somebody else had ended its part on {names}, perhaps by"
            " rolling it back",
            sqlstate="40003",
        )


class UnrecordedError(SqlUnavailableError):
    """The decision could not be recorded; it is sure not to be in the log."""

    def __init__(self, reason: object) -> None:
        super().__init__(
            f"the decision to commit could not be recorded, so nothing was committed: {reason}",
            sqlstate="58030",
        )
