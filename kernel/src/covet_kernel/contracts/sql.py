"""The SQL contract: one database, reached without blocking the event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Literal, Protocol, TypeAlias

from covet_kernel.contracts._capability import Capability

Params: TypeAlias = Sequence[Any] | Mapping[str, Any]
"""Values for ``?`` (a sequence) or for ``:name`` (a mapping)."""

Row: TypeAlias = dict[str, Any]
"""A row by column name."""

Isolation: TypeAlias = Literal["read committed", "repeatable read", "serializable"]
"""How far a transaction is kept apart from others, as ISO 9075 names it."""


class SqlSession(Protocol):
    """One conversation with the database: every statement on the same connection, in order.

    Parameters are written ``?`` (a sequence) or ``:name`` (a mapping), whatever the database;
    values are always sent apart from the text. A text holds one statement, its columns have
    different names, and its parameters are neither missing nor too many; anything else, a session
    used after its block or from another task included, is an error of the ``SqlError`` family below.

    Attributes:
        dialect: ``"sqlite"``, ``"postgresql"``, ``"mysql"``.
    """

    @property
    def dialect(self) -> str: ...

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]: ...
    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        """The first row, or ``None``; further rows are dropped."""

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        """The first column of the first row, or ``None``."""

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run one statement; the number of rows it changed."""

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        """Run one statement once per row of parameters; the number of rows changed in all.

        On the database itself all rows are stored or none.
        """

    def stream(self, sql: str, params: Params = ()) -> AsyncGenerator[Row, None]:
        """Rows as they are read; memory stays bounded. Close it (``aclosing``) when done early."""

    def transaction(self) -> AbstractAsyncContextManager[SqlSession]:
        """A block that happens as a whole or not at all; use the session that it gives.

        Inside a transaction it is a savepoint: raised through or cancelled, the block is undone, and
        what was done before it stays. An error of the database ends at most the block.
        """


class SqlDatabase(SqlSession, Protocol):
    """A database. Its own methods run one statement each and commit by themselves."""

    def transaction(
        self, *, read_only: bool = False, isolation: Isolation | None = None
    ) -> AbstractAsyncContextManager[SqlSession]:
        """A session inside one transaction, with at least the isolation that is named, if one is.

        Commits when the block ends, rolls back when it raises or is cancelled; entering and leaving
        may raise `SqlConflictError`. Beginning and ending it by SQL is refused. The clean-up is
        shielded and has a deadline; a connection left in the middle of the protocol is discarded.
        An isolation that the database does not have is an error before anything is begun.
        """


class SqlError(Exception):
    """The database refused. ``sqlstate`` is the five-character class of ISO 9075 if known."""

    def __init__(self, message: str, *, sqlstate: str = "HY000") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class SqlIntegrityError(SqlError):
    """A constraint was violated (class 23)."""


class SqlConflictError(SqlError):
    """Another transaction was in the way (class 40, or a busy database); trying again may help."""


class SqlUnavailableError(SqlError):
    """The database cannot be reached or opened (class 08).

    With ``sqlstate`` 08007 a transaction may have been committed, or not: it cannot be told.
    """


SQL: Final = Capability[SqlDatabase]("sql.database", plugins=("sqlite", "postgres", "mysql"))
"""The default SQL database."""
