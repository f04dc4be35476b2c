"""What a call has written: the reads behind it are to see that, wherever they run.

The position of a commit is asked for right behind it, in the same pipeline: no further trip. It is
kept in the context of the call, or of the task where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar

import anyio
from psycopg.pq.abc import PGresult

from covet_kernel.contracts import (
    Binding,
    Call,
    Isolation,
    Layer,
    Operation,
    Params,
    Phase,
    SqlError,
    SqlUnavailableError,
)
from covet_postgres._config import PostgresConfig
from covet_postgres._connection import Connection
from covet_postgres._link import Counts, Link, Text
from covet_postgres._position import BLOCK, position
from covet_postgres._prepared import Prepared, checked
from covet_postgres._statement import PostgresStatement
from covet_sql.driver import Reply

INSERTED = "SELECT pg_current_wal_insert_lsn()"


class Written:
    """What one call has written to one database.

    Attributes:
        position: Where its last commit ends.
        unknown: Something may have been committed since that it has no position of.
        in_vain: The position that was waited for, and no replica had it in time.
    """

    __slots__ = ("in_vain", "position", "unknown")

    def __init__(self) -> None:
        self.position = 0
        self.unknown = False
        self.in_vain = -1


WRITTEN: ContextVar[dict[object, Written] | None] = ContextVar(
    "covet_postgres.written", default=None
)
"""By database. The tasks a call starts share what the call has."""


class WriteLog:
    """What the calls have written to one database.

    Attributes:
        block: The size of a page of the server's log.
    """

    def __init__(self) -> None:
        self.block = BLOCK

    def of_call(self) -> Written | None:
        """What the current call, or task, has written."""
        written = WRITTEN.get()
        return written.get(self) if written else None

    def committed(self, text: str) -> None:
        """The current call has committed, at this position or before it."""
        one = self._own()
        one.position = max(one.position, position(text, self.block))

    def learned(self, text: str) -> None:
        """Whatever the current call may have committed ends at this position or before it."""
        self.committed(text)
        self._own().unknown = False

    def unknown(self) -> None:
        """The current call may have committed something."""
        self._own().unknown = True

    def _own(self) -> Written:
        written = WRITTEN.get()
        if written is None:
            WRITTEN.set(written := {})
        return written.setdefault(self, Written())


class WrittenByCall:
    """An interceptor: each call begins with nothing written, and shares that with its tasks."""

    phase = Phase.OBSERVE
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def __init__(self, instance: str) -> None:
        self.name = f"{instance}.written"

    def bind(self, operation: Operation, binding: Binding) -> Layer:
        return Layer(before=_begin)


def _begin(call: Call) -> None:
    WRITTEN.set({})


class LoggedConnection(Connection):
    """A connection to the primary whose commits are logged for the reads behind them."""

    def __init__(self, link: Link, config: PostgresConfig, counts: Counts, log: WriteLog) -> None:
        super().__init__(link, config, counts)
        self._patience = config.cleanup_timeout
        self._log = log
        self._logs = False
        self._reads_only = False
        self._behind: Reply | None = None

    def begin(
        self,
        *,
        read_only: bool = False,
        isolation: Isolation | None = None,
        branch: str | None = None,
    ) -> None:
        self._reads_only = read_only
        super().begin(read_only=read_only, isolation=isolation, branch=branch)

    async def commit(self) -> None:
        if self._reads_only:
            await super().commit()
            return
        try:
            await super().commit()
        except BaseException as error:
            await self._failed(error)
            raise
        await self._succeeded()

    def _send_command(self, command: bytes, before: Sequence[Text]) -> Reply:
        reply = super()._send_command(command, before)
        commits = command == b"COMMIT" or (self._stage == "prepared" and command[:6] == b"COMMIT")
        if commits and not self._reads_only:
            self._behind = self.link.run_text(INSERTED.encode())
        return reply

    async def _run(
        self, statement: PostgresStatement, params: Params, *, rows: bool = True
    ) -> tuple[Prepared | None, PGresult]:
        if statement.shared or self.within:
            return await super()._run(statement, params, rows=rows)
        self._logs = True
        try:
            outcome = await super()._run(statement, params, rows=rows)
        except BaseException as error:
            await self._failed(error)
            raise
        finally:
            self._logs = False
        await self._succeeded()
        return outcome

    async def _finish(self, reply: Reply) -> PGresult:
        if not self._logs:
            return await super()._finish(reply)
        self._behind = self.link.run_text(INSERTED.encode())
        try:
            return await self.link.ask(reply)
        except SqlError:
            # Nothing of it is left to end on the server; the position comes right behind.
            await self._position()
            raise
        except BaseException:
            self._behind = None
            await self._settle()
            raise

    async def _succeeded(self) -> None:
        if self._behind is None:
            return
        result = await self._position()
        if result is None:
            self._log.unknown()
        else:
            self._log.committed((result.get_value(0, 0) or b"0/0").decode())

    async def _failed(self, error: BaseException) -> None:
        if self._behind is not None:
            await self._position()
        # An error of the server's own has undone the statement, or the transaction.
        if isinstance(error, SqlUnavailableError) or not isinstance(error, SqlError):
            self._log.unknown()

    async def _position(self) -> PGresult | None:
        """The reply that is under way behind the last one, so that nothing is left of it."""
        behind, self._behind = self._behind, None
        if behind is None or self.link.lost:
            return None
        with anyio.move_on_after(self._patience, shield=True):
            try:
                return checked(await behind)[-1]
            except SqlError:
                return None
        self.link.give_up("it was not answered where the log ends")
        return None
