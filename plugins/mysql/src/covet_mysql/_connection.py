"""A connection in one caller's hands at a time."""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Any, Literal, TypeAlias

import anyio

from covet_kernel.contracts import Params, Row, SqlConflictError, SqlError, SqlUnavailableError
from covet_mysql._config import MysqlConfig
from covet_mysql._connect import Door, kill
from covet_mysql._errors import ENDED, LostError
from covet_mysql._link import Counts, Link
from covet_mysql._protocol import _constants as c
from covet_mysql._protocol._exchanges import Command, Exchange, Fetch, Prepared, Result
from covet_mysql._protocol._packets import ProtocolError
from covet_mysql._protocol._parameters import UnwritableError, execution
from covet_mysql._protocol._rows import UnreadableError, text_row
from covet_mysql._statement import MysqlStatement

MANY_ROWS = 200
MANY_BYTES = 1 << 15
"""What is sent at once of many rows of parameters, whichever comes first."""
CHUNK_ROWS = 1000
CHUNK_BYTES = 1 << 19
"""What is fetched at once of a stream: as many rows as the last ones let expect in these bytes."""
FIRST_ROWS = 1
GROWTH = 8
MARGIN = 0.1
"""Seconds by which the server's limit is later than the caller's, so that the caller's is met first."""
STEPS = tuple(0.1 * 2 ** (step / 2) for step in range(30))
"""Limits that the server is told: few, so that it has to be told seldom."""
GRACE = 0.02
"""Seconds for a cancelled statement to end by itself, before the server is asked to end it."""

MODES = (
    "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,ONLY_FULL_GROUP_BY,"
    "NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO,ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES"
)
"""Nothing is stored that was not given, and texts are read as ISO 9075 has it."""
SETUP = (
    "SET NAMES utf8mb4, SESSION sql_mode = '{modes}', SESSION time_zone = '+00:00',"
    " SESSION autocommit = 1, SESSION session_track_state_change = 1, SESSION {limit}"
)
Stage: TypeAlias = Literal["open", "prepared", "over"]
"""How far a transaction is: to be ended, prepared for its end, or with no end left to be made here."""
UNKNOWN = "XAE04"
"""There is no branch of that name, or the connection that has prepared it is open."""
UNDONE = "XA100"
"""There was one, and the server had rolled it back."""
ABOUT = "SELECT CONNECTION_ID(), @@max_allowed_packet"
OVER = "the transaction was over before its block ended: an error had ended it"
LEVELS = {
    "read committed": "READ COMMITTED",
    "repeatable read": "REPEATABLE READ",
    "serializable": "SERIALIZABLE",
}


def query(text: str) -> Command:
    """A text of the driver's own."""
    return Command(c.COM_QUERY + text.encode())


class Connection:
    """What a pool lends.

    Attributes:
        link: The server connection.
    """

    def __init__(self, link: Link, config: MysqlConfig, door: Door, counts: Counts) -> None:
        self.link = link
        self._config = config
        self._door = door
        self._counts = counts
        self._stained = False
        self._limit = 0.0
        """What the server was last told, 0 for the configured limit."""
        self._block = False
        self._over = False
        self._manual = False
        """The server waits for a COMMIT behind every statement, transaction or not."""
        self._packet = 1 << 24
        self._savepoints = 0
        self._branch: str | None = None
        self._stage: Stage = "open"

    async def set_up(self) -> None:
        """Make it like every other connection, once it is open."""
        about = Result(
            c.COM_QUERY + ABOUT.encode(),
            Prepared(),
            extended=self.link.extended,
            cached=self.link.cached,
            largest=1 << 16,
        )
        await self.link.ask(query(self._settings()), about)
        (thread, packet) = text_row(about.rows[0])
        # Behind a proxy the greeting's number may be the proxy's.
        self.link.thread = int(thread or 0)
        self._packet = int(packet or 0)
        self.link.stained = False

    def _settings(self) -> str:
        return SETUP.format(modes=MODES, limit=self._limited(self._config.statement_timeout))

    def _limited(self, seconds: float) -> str:
        if self.link.mariadb:
            return f"max_statement_time = {seconds:.6f}"
        return f"max_execution_time = {max(1, int(1000 * seconds))}"

    # For the pool

    @property
    def usable(self) -> bool:
        """Whether it works, and is neither in a transaction nor in a statement."""
        link = self.link
        return not (link.lost or link.depth or link.in_transaction or self._manual)

    @property
    def clean(self) -> bool:
        """Whether nothing of the last user's is left in it."""
        return not (self._stained or self.link.stained)

    async def restore(self) -> None:
        """Undo what the last user has left in it."""
        link = self.link
        link.forget_all()
        reset: list[Exchange] = [Command(c.COM_RESET_CONNECTION), query(self._settings())]
        if database := self._door.address.database:
            # The reset does not undo USE.
            reset.append(Command(c.COM_INIT_DB + database.encode()))
        await self._finish(*reset)
        self._limit = 0.0
        self._stained = link.stained = False

    def discard(self) -> None:
        """End it."""
        if self.link.in_transaction or self._manual:
            self.link.give_up("it is in the middle of a transaction")
        self.link.close()

    async def close(self) -> None:
        """End it as the protocol says; what is sent for that is never waited for."""
        self.link.close()

    def abandon(self) -> None:
        """Have whoever still uses it fail."""
        self.link.give_up("the database is closed")

    # Statements

    async def fetch(self, statement: MysqlStatement, params: Params) -> list[Row]:
        """All rows."""
        result = await self._run(statement, params)
        decoder = result.prepared.decoder
        if decoder is None or not result.rows:
            return []
        try:
            return [decoder.row(each) for each in result.rows]
        except UnreadableError as error:
            raise SqlError(str(error), sqlstate="22008") from None

    async def execute(self, statement: MysqlStatement, params: Params) -> int:
        """Run it; the number of rows changed."""
        result = await self._run(statement, params, rows=False)
        # With RETURNING they are counted by what comes back.
        return max(result.changed, len(result.rows)) if statement.changes else 0

    async def execute_many(self, statement: MysqlStatement, rows: Iterable[Params]) -> int:
        """Run it once per row; must be within a transaction."""
        self._check(statement)
        source, changed = iter(rows), 0
        prepared: Prepared | None = None
        try:
            while chunk := list(islice(source, MANY_ROWS)):
                given = [statement.values(params) for params in chunk]
                if prepared is None:
                    prepared = await self._begin_many(statement)
                for group in self._groups(prepared, given):
                    changed += await self._run_many(group)
            if prepared is not None:
                await self._finish(query("RELEASE SAVEPOINT covet_many"))
        finally:
            if prepared is not None and not statement.keeps:
                self.link.close_prepared(prepared)
        return changed

    async def _begin_many(self, statement: MysqlStatement) -> Prepared:
        prepared = await self._prepared(statement)
        # What is sent behind a statement that fails is run all the same. It can be undone: up to here,
        # and should the server end the whole transaction, nothing that comes behind commits by itself.
        self._manual = True
        await self._finish(query("SET autocommit = 0"), query("SAVEPOINT covet_many"))
        return prepared

    def _groups(self, prepared: Prepared, rows: list[Sequence[Any]]) -> Iterable[list[Result]]:
        """What is sent at once: little enough for the server to take it while nobody reads it."""
        group: list[Result] = []
        size = 0
        for values in rows:
            group.append(result := self._execution(prepared, values))
            size += len(result.request)
            if size >= MANY_BYTES or prepared.decoder is not None:
                yield group
                group, size = [], 0
        if group:
            yield group

    async def _run_many(self, group: list[Result]) -> int:
        try:
            await self.link.ask(*self._told(), *group)
        except LostError:
            raise
        except SqlError:
            await self._undo_many()
            raise
        except BaseException:
            await self._settle()
            raise
        return sum(max(each.changed, len(each.rows)) for each in group)

    async def _undo_many(self) -> None:
        try:
            await self._end("ROLLBACK TO SAVEPOINT covet_many")
        except LostError:
            raise
        except SqlError:
            # It is gone: the server has ended the transaction.
            self._over = True

    async def stream(self, statement: MysqlStatement, params: Params) -> AsyncGenerator[Row, None]:
        """Rows as they are fetched."""
        self._check(statement)
        if not statement.reads:
            raise SqlError("only a query can be streamed", sqlstate="0A000")
        values = statement.values(params)
        prepared = await self._prepare(statement)
        try:
            _check_names(prepared)
            first = self._execution(prepared, values, cursor=True)
            await self._finish(*self._told(), first)
            rows, status, count = first.rows, first.status or 0, FIRST_ROWS
            while True:
                for row in self._decoded(prepared, rows):
                    yield row
                if not status & c.CURSOR_EXISTS or status & c.LAST_ROW_SENT:
                    return
                fetch = Fetch(prepared, count, largest=self._config.result_bytes)
                await self._finish(*self._told(), fetch)
                rows, status = fetch.rows, fetch.status or 0
                fitting = CHUNK_BYTES * max(1, len(rows)) // (fetch.size + 1)
                count = max(1, min(CHUNK_ROWS, GROWTH * count, fitting))
        finally:
            self.link.close_prepared(prepared)

    def _decoded(self, prepared: Prepared, rows: list[bytes]) -> Iterable[Row]:
        decoder = prepared.decoder
        assert decoder is not None
        rows.reverse()
        try:
            while rows:
                yield decoder.row(rows.pop())
        except UnreadableError as error:
            raise SqlError(str(error), sqlstate="22008") from None

    def _check(self, statement: MysqlStatement) -> None:
        statement.check(within=self._block)
        if self._over:
            raise SqlError(OVER, sqlstate="25P02")
        if statement.stains:
            self._stained = True

    async def _run(self, statement: MysqlStatement, params: Params, *, rows: bool = True) -> Result:
        self._check(statement)
        values = statement.values(params)
        prepared = self.link.known(statement.text) or await self._prepared(statement)
        try:
            if rows:
                _check_names(prepared)
            result = self._execution(prepared, values)
            await self._finish(*self._told(), result)
        finally:
            if not statement.keeps:
                self.link.close_prepared(prepared)
            if statement.uses:
                # What is prepared stays with the tables it was prepared for.
                self.link.close_all()
        if self._block and not self.link.in_transaction:
            self._over = True
            raise SqlError(
                "the statement has ended the transaction, and what came before it is committed",
                sqlstate="25000",
            )
        return result

    def _execution(
        self, prepared: Prepared, values: Sequence[Any], *, cursor: bool = False
    ) -> Result:
        try:
            request = execution(prepared.number, values, cursor=cursor)
        except UnwritableError as error:
            raise SqlError(str(error), sqlstate=error.sqlstate) from None
        except struct.error as error:
            raise SqlError(f"a value cannot be sent: {error}", sqlstate="22003") from None
        if len(request) >= self._packet:
            raise SqlError(
                f"the values have {len(request)} bytes together, and the server takes"
                f" {self._packet} (max_allowed_packet)",
                sqlstate="54000",
            )
        return Result(
            request,
            prepared,
            extended=self.link.extended,
            cached=self.link.cached,
            largest=self._config.result_bytes,
        )

    def _told(self) -> list[Exchange]:
        """What tells the server the caller's deadline, if it is nearer than the configured limit."""
        configured = self._config.statement_timeout
        limit = 0.0
        deadline = anyio.current_effective_deadline()
        # Minus infinity stands for a caller that is cancelled already.
        if (
            abs(deadline) != float("inf")
            and 0 < (left := deadline - anyio.current_time() + MARGIN) < configured
        ):
            limit = next((each for each in STEPS if each >= left), 0.0)
            if limit >= configured:
                limit = 0.0
        if limit == self._limit:
            return []
        self._limit = limit
        return [query(f"SET SESSION {self._limited(limit or configured)}")]

    async def _prepared(self, statement: MysqlStatement) -> Prepared:
        if (known := self.link.known(statement.text)) is not None:
            return known
        prepared = await self._prepare(statement)
        if statement.keeps:
            self.link.keep(statement.text, prepared)
        return prepared

    async def _prepare(self, statement: MysqlStatement) -> Prepared:
        try:
            prepared = await self.link.prepare(statement.sql)
        except SqlError:
            await self._look()
            raise
        except BaseException:
            await self._settle()
            raise
        if prepared.parameters != statement.marks:
            self.link.close_prepared(prepared)
            raise SqlError(
                f"the server finds {prepared.parameters} parameters where there are"
                f" {statement.marks}: a question mark that is none stands outside of quotes",
                sqlstate="07001",
            )
        return prepared

    async def _finish(self, *exchanges: Exchange) -> None:
        try:
            await self.link.ask(*exchanges)
        except SqlError:
            await self._look()
            if self._branch is not None and any(
                each.failure is not None and each.failure.code in ENDED for each in exchanges
            ):
                # The server has undone the branch, and goes on saying that it is open.
                self._over = True
            raise
        except BaseException:
            await self._settle()
            raise

    async def _look(self) -> None:
        """After an error within a transaction, learn whether the server has ended it."""
        if not self._block or self._over or self.link.lost:
            return
        with anyio.move_on_after(self._config.cleanup_timeout, shield=True):
            with suppress(SqlError):
                await self.link.ask(Command(c.COM_PING))
            self._over = not self.link.in_transaction
            return
        self.link.give_up("the server did not say whether a transaction was over")

    async def _settle(self) -> None:
        """After a cancellation, have the server end the statement, and wait until it has.

        The request goes its own way: only when it was received, and the answer was read, is it sure
        not to end the next user's statement.
        """
        link = self.link
        if link.lost or not link.depth:
            return
        with anyio.move_on_after(self._config.cleanup_timeout, shield=True):
            with anyio.move_on_after(GRACE):
                await link.quiet()
            if link.depth:
                await self._kill()
            # What it ended with nobody has seen: perhaps with the end of the transaction.
            await self._look()
            return
        link.give_up("a cancelled statement did not end in time")

    async def _kill(self) -> None:
        self._counts.cancelled += 1
        try:
            await kill(self._door, self.link.thread)
        except (SqlUnavailableError, OSError, ProtocolError) as error:
            self.link.give_up(str(error))
            return
        await self.link.quiet()
        with suppress(SqlError):
            # MariaDB drops a request that finds nothing to end. A server that kept it has this one.
            await self.link.ask(query("DO 0"))

    # Transactions

    async def begin(
        self,
        *,
        read_only: bool = False,
        isolation: str | None = None,
        branch: str | None = None,
    ) -> None:
        """Begin a transaction, or a branch of one."""
        commands: list[Exchange] = []
        if isolation is not None:
            commands.append(query(f"SET TRANSACTION ISOLATION LEVEL {LEVELS[isolation]}"))
        # A read-only one has nothing to be prepared.
        self._branch, self._stage = None if read_only else branch, "open"
        if self._branch is not None:
            commands.append(query(f"XA START '{branch}'"))
        else:
            commands.append(query(f"START TRANSACTION{' READ ONLY' if read_only else ''}"))
        await self._finish(*commands)
        self._block, self._over = True, False

    async def prepare(self) -> bool:
        """Promise that it can be committed; whether there is anything to be ended later.

        Raises:
            SqlError: The server cannot promise it.
        """
        branch = self._branch
        if branch is None:
            await self.commit()
            self._stage = "over"
            return False
        if self._over:
            raise SqlError(OVER, sqlstate="25P02")
        await self._end(f"XA END '{branch}'", f"XA PREPARE '{branch}'")
        self._stage = "prepared"
        return True

    def leave(self) -> None:
        """Have nobody here end what is prepared.

        The server lets others end it when this connection has ended, which the pool sees to: it is
        still in the transaction.
        """
        self._stage = "over"

    async def prepared(self) -> list[str]:
        """The branches that wait for their end, of those that have names as ours have."""
        found = Result(
            c.COM_QUERY + b"XA RECOVER",
            Prepared(),
            extended=self.link.extended,
            cached=self.link.cached,
            largest=self._config.result_bytes,
        )
        await self._finish(found)
        rows = (text_row(row) for row in found.rows)
        return [
            (name or b"").decode("latin-1")
            for format_, _, qualifier, name in rows
            if (format_, qualifier) == (b"1", b"0")
        ]

    async def end_prepared(self, branch: str, *, commit: bool) -> bool:
        """Commit or roll back what another connection has prepared; whether there was any."""
        try:
            await self._end(f"XA {'COMMIT' if commit else 'ROLLBACK'} '{branch}'")
        except SqlError as error:
            if error.sqlstate == UNDONE and not commit:
                return True
            if error.sqlstate != UNKNOWN:
                raise
            return False
        return True

    async def commit(self) -> None:
        """Commit.

        Raises:
            SqlError: The server rolled back, or it cannot be told whether it committed.
        """
        if self._stage == "over":
            self._block = False
            return
        if self._over:
            await self.roll_back()
            raise SqlError(OVER, sqlstate="25P02")
        self._block = False
        try:
            if self._branch is None:
                await self._end("COMMIT")
            elif self._stage == "prepared":
                await self._end(f"XA COMMIT '{self._branch}'")
            else:
                await self._end(f"XA END '{self._branch}'", f"XA COMMIT '{self._branch}' ONE PHASE")
        except LostError as error:
            raise SqlUnavailableError(
                f"whether the transaction was committed is not known: {error}", sqlstate="08007"
            ) from error
        with suppress(SqlError):
            # Else it is committed all the same, and the pool discards the connection.
            await self._end_many()

    async def roll_back(self) -> None:
        """Roll back."""
        self._block = self._over = False
        if self._stage == "over":
            return
        if not self.link.lost and (self.link.in_transaction or self._manual):
            if self._branch is not None and self.link.in_transaction:
                await self._undo_branch(self._branch)
            else:
                await self._end("ROLLBACK")
            await self._end_many()

    async def _undo_branch(self, branch: str) -> None:
        undo = query(f"XA ROLLBACK '{branch}'")
        try:
            # It may have been ended already, or may not need to be.
            await self._ask_promptly(query(f"XA END '{branch}'"), undo)
        except SqlError:
            if undo.failure is not None or self.link.lost:
                raise

    async def _end_many(self) -> None:
        # It commits what is open: nothing is, by now.
        if self._manual:
            await self._end("SET autocommit = 1")
            self._manual = False

    async def _end(self, *commands: str) -> None:
        await self._ask_promptly(*map(query, commands))

    async def _ask_promptly(self, *commands: Exchange) -> None:
        with anyio.move_on_after(self._config.cleanup_timeout, shield=True):
            await self.link.ask(*commands)
            return
        self.link.give_up("the end of a transaction was not answered in time")
        raise LostError(
            f"the end of the transaction was not answered within {self._config.cleanup_timeout} s",
            sqlstate="08007",
        )

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part of a transaction that can fail alone."""
        self._savepoints += 1
        name = f"covet_savepoint_{self._savepoints}"
        if self._over:
            raise SqlError(OVER, sqlstate="25P02")
        await self._finish(query(f"SAVEPOINT {name}"))
        try:
            yield
        except BaseException:
            if not self.link.lost and not self._over:
                with suppress(SqlConflictError):
                    await self._end(f"ROLLBACK TO SAVEPOINT {name}")
            raise
        if self._over:
            raise SqlError(OVER, sqlstate="25P02")
        await self._finish(query(f"RELEASE SAVEPOINT {name}"))


def _check_names(prepared: Prepared) -> None:
    if prepared.decoder is not None and prepared.decoder.repeated is not None:
        raise SqlError(
            f"two columns are called {prepared.decoder.repeated!r}: give them names with AS",
            sqlstate="42701",
        )
