"""A transaction that is one branch of several: prepared first, and ended by who knows of the others."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from covet_kernel.contracts import Isolation, SqlError, SqlSession
from covet_sql.driver._pool import Pool, Pooled
from covet_sql.driver._session import Session, SessionConnection
from covet_sql.driver._transactions import Transaction

NAME = re.compile(r"[A-Za-z0-9._:-]{1,64}")
"""What a branch may be called: what both an XA identifier and PostgreSQL's text can be."""


class PreparedBranch(NamedTuple):
    """A branch that waits for its end.

    Attributes:
        name: What it was begun with.
        age: Seconds since it was prepared, ``None`` if the database does not know.
    """

    name: str
    age: float | None


class Branch(SqlSession, Protocol):
    """A session of a transaction that was begun as a branch.

    Until `prepare` it is a session like any other, and a block that ends commits in one phase. Behind
    `prepare` no statement is taken, and the end of the block ends what is prepared: committed when it
    ends by itself, rolled back when it is raised through. Neither of the two asks which task calls it.
    """

    async def prepare(self) -> bool:
        """Promise that it can be committed, whatever happens.

        Returns:
            Whether there is anything to be ended later. A branch that was begun as read-only, or did
            nothing, is committed at once.

        Raises:
            SqlError: It cannot. If the connection was lost (class 08), it may be prepared all the same.
        """

    def leave(self) -> None:
        """Have the block not end what is prepared: somebody else will."""


@runtime_checkable
class Branching(Protocol):
    """A driver's database whose transactions can be branches."""

    def transaction(
        self,
        *,
        read_only: bool = False,
        isolation: Isolation | None = None,
        branch: str | None = None,
    ) -> AbstractAsyncContextManager[SqlSession]:
        """As the contract has it; with a name for the ``branch`` the session is a `Branch`."""

    async def refuses_branches(self) -> str:
        """Why the server takes none; empty if it does."""

    async def prepared(self) -> list[PreparedBranch]:
        """The branches that wait for their end, whoever has prepared them."""

    async def end_prepared(self, branch: str, *, commit: bool) -> bool:
        """Commit or roll back one that waits.

        Returns:
            Whether there was one of that name. MariaDB finds none, either, as long as the connection
            that has prepared it is open.
        """


class BranchConnection(SessionConnection, Pooled, Protocol):
    """What such a session, and its transaction, ask of a connection on top."""

    def begin(
        self, *, read_only: bool, isolation: Isolation | None, branch: str | None = None
    ) -> Awaitable[None] | None:
        """Begin a transaction; with a name, one that can be prepared."""

    async def commit(self) -> None:
        """Commit, what is prepared as well."""

    async def roll_back(self) -> None:
        """Undo it, what is prepared as well."""

    async def prepare(self) -> bool:
        """As `Branch` has it."""

    def leave(self) -> None:
        """As `Branch` has it."""


B = TypeVar("B", bound=BranchConnection)
S = TypeVar("S")


class BranchSession(Session[B]):
    """A driver's session, with what a branch needs."""

    async def prepare(self) -> bool:
        """As `Branch` has it."""
        self.end()
        return await self._connection.prepare()

    def leave(self) -> None:
        """As `Branch` has it."""
        self._connection.leave()


class BranchTransaction(Transaction[B, S]):
    """The block of a transaction that is a branch.

    Args:
        pool: Lends the connection.
        begun: Makes what the block gets, of the connection whose transaction has begun.
        ended: Is told when the block has ended, before the transaction does.
        branch: Its name.
        read_only: Nothing can be changed in it.
        isolation: How far it is kept apart from others, the database's own setting if ``None``.

    Raises:
        SqlError: The name is none.
    """

    __slots__ = ("_branch",)

    def __init__(
        self,
        pool: Pool[B],
        begun: Callable[[B], S],
        ended: Callable[[S], object],
        branch: str,
        *,
        read_only: bool = False,
        isolation: Isolation | None = None,
    ) -> None:
        check_branch(branch)
        super().__init__(pool, begun, ended, read_only=read_only, isolation=isolation)
        self._branch = branch

    def _begin(self, connection: B) -> Awaitable[None] | None:
        return connection.begin(
            read_only=self._read_only, isolation=self._isolation, branch=self._branch
        )


def check_branch(name: str) -> None:
    """Refuse what cannot be the name of a branch, before it becomes part of a statement.

    Raises:
        SqlError: It cannot.
    """
    if not NAME.fullmatch(name):
        raise SqlError(
            f"{name!r} cannot be the name of a branch: 1 to 64 letters, digits and . _ : -",
            sqlstate="42602",
        )
