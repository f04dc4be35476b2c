"""A connection in one caller's hands at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from time import monotonic
from typing import Any, Literal, TypeAlias

import anyio
import psycopg
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult

from covet_kernel.contracts import Isolation, Params, Row, SqlError, SqlUnavailableError
from covet_postgres._config import PostgresConfig
from covet_postgres._connect import cancel
from covet_postgres._copying import COPY_IN, COPY_OUT, Copying
from covet_postgres._errors import LostError, StaleError
from covet_postgres._link import Counts, Link, Text
from covet_postgres._prepared import Prepared, Values, changed_by, check_names, names_of, rows_of
from covet_postgres._statement import PostgresStatement
from covet_postgres._types import Types
from covet_postgres._values import encode
from covet_sql.driver import Reply

MANY_ROWS = 200
MANY_BYTES = 1 << 20
"""What is sent at once of many rows of parameters, whichever comes first."""
CHUNK_ROWS = 1000
CHUNK_BYTES = 1 << 19
"""What is fetched at once of a stream: as many rows as the last ones let expect in these bytes."""
FIRST_ROWS = 16
MARGIN = 0.1
"""Seconds by which the server's limit is later than the caller's, so that the caller's is met first."""

Stage: TypeAlias = Literal["open", "prepared", "over"]
"""How far a transaction is: to be ended, prepared for its end, or with no end left to be made here."""

ENDED = "57014"
LIMIT = b"SELECT set_config('statement_timeout', $1, true)"
LOST = "the connection was lost before the transaction was committed: nothing of it was stored"
UNDEFINED = "42704"
"""There is nothing of that name."""
OVER = "the transaction was over before its block ended: an error had ended it"
PART_OVER = "the block was over before it ended: an error had ended it, and it was undone"


class Connection:
    """What a pool lends.

    Attributes:
        link: The server connection.
        clean: Nothing of the last user's is left in it.
    """

    def __init__(self, link: Link, config: PostgresConfig, counts: Counts) -> None:
        self.link = link
        self.clean = True
        self._config = config
        self._counts = counts
        self._streams = 0
        self._cursors: set[int] = set()
        self._savepoints = 0
        self._opening: list[Text] = []
        self._branch: str | None = None
        self._stage: Stage = "open"
        self._prepares = config.prepared_statements > 0 and not config.pgbouncer

    # For the pool

    @property
    def usable(self) -> bool:
        """Whether it works, and is neither in a transaction nor in a statement."""
        link = self.link
        return not (link.lost or link.depth or link.in_transaction)

    async def restore(self) -> None:
        """Undo what the last user has left in it."""
        await self._finish(self.link.run_text(b"DISCARD ALL"))
        self.link.forget_all()
        self.clean = True

    @property
    def within(self) -> bool:
        """Whether it is in a transaction, one included that its first statement begins."""
        return self.link.in_transaction or bool(self._opening)

    def discard(self) -> None:
        """End it."""
        if self.link.in_transaction:
            self.link.give_up("it is in the middle of a transaction")
        self.link.close()

    async def close(self) -> None:
        """End it as the protocol says; what is sent for that is never waited for."""
        self.link.close()

    def abandon(self) -> None:
        """Have whoever still uses it fail."""
        self.link.give_up("the database is closed")

    # Statements

    async def fetch(self, statement: PostgresStatement, params: Params) -> list[Row]:
        """All rows."""
        prepared, result = await self._run(statement, params)
        return prepared.rows(result) if prepared is not None else rows_of(result, self.link.types)

    async def execute(self, statement: PostgresStatement, params: Params) -> int:
        """Run it; the number of rows changed."""
        return changed_by((await self._run(statement, params, rows=False))[1])

    async def execute_many(self, statement: PostgresStatement, rows: Iterable[Params]) -> int:
        """Run it once per row; must be within a transaction."""
        statement.check()
        source, changed = iter(rows), 0
        while chunk := list(islice(source, MANY_ROWS)):
            given = [statement.values(params) for params in chunk]
            if not (statement.plannable and self._prepares):
                for values in given:
                    result = await self._finish(self._send(statement, values))
                    changed += changed_by(result)
                continue
            prepared = await self._prepared(statement)
            group: list[Values] = []
            size = 0
            for values in given:
                group.append(encoded := prepared.values(values))
                size += sum(len(value) for value in encoded if value is not None)
                if size >= MANY_BYTES:
                    changed += await self._run_many(prepared, group)
                    group, size = [], 0
            if group:
                changed += await self._run_many(prepared, group)
        return changed

    async def _run_many(self, prepared: Prepared, rows: list[Values]) -> int:
        reply = self.link.run_many(prepared, rows, self._begun())
        try:
            return sum(map(changed_by, await self.link.ask_all(reply)))
        except BaseException:
            await self._settle()
            raise

    async def stream(
        self, statement: PostgresStatement, params: Params
    ) -> AsyncGenerator[Row, None]:
        """Rows as they are fetched; must be within a transaction."""
        statement.check()
        values = statement.values(params)
        self._streams += 1
        number = self._streams
        name = b"covet_stream_%d" % number
        declare = b"DECLARE " + name + b" NO SCROLL CURSOR FOR " + statement.data
        prepared: Prepared | None = None
        result_format = 0
        if not statement.plannable:
            raise SqlError("only a query can be streamed", sqlstate="0A000")
        if self._prepares:
            prepared = await self._prepared(statement)
            prepared.check_names()
            result_format = prepared.result_format
            encoded: Values = prepared.values(values)
            await self._finish(
                self.link.run_text(
                    declare,
                    encoded,
                    types=prepared.oids,
                    formats=prepared.formats,
                    before=self._begun(),
                )
            )
        else:
            encoded = [encode(value, 0) for value in values]
            await self._finish(
                self.link.run_text(
                    declare, encoded, formats=formats_of(values), before=self._begun()
                )
            )
        self._cursors.add(number)
        try:
            count = FIRST_ROWS
            while True:
                if number not in self._cursors:
                    raise SqlError(
                        "the stream ended with the block it was begun in, which was undone",
                        sqlstate="24000",
                    )
                fetch = b"FETCH FORWARD %d FROM " % count + name
                result = await self._finish(self.link.run_text(fetch, result_format=result_format))
                rows = (
                    prepared.rows(result)
                    if prepared is not None
                    else rows_of(result, self.link.types)
                )
                del result
                got = len(rows)
                size = sum(map(size_of, rows))
                rows.reverse()
                while rows:
                    yield rows.pop()
                if got < count:
                    break
                fitting = CHUNK_BYTES * got // (size + 1)
                count = max(1, min(CHUNK_ROWS, 4 * count, fitting))
        finally:
            if (
                number in self._cursors
                and not self.link.lost
                and self.link.raw.transaction_status == TransactionStatus.INTRANS
            ):
                # Whatever is asked next comes behind it.
                self.link.run_text(b"CLOSE " + name)
            self._cursors.discard(number)

    async def _run(
        self, statement: PostgresStatement, params: Params, *, rows: bool = True
    ) -> tuple[Prepared | None, PGresult]:
        statement.check()
        values = statement.values(params)
        if statement.stains:
            self.clean = False
        if not (statement.plannable and self._prepares):
            result = await self._finish(self._send(statement, values))
            if rows:
                check_names(names_of(result))
            return None, result
        within = self.within
        again = not within
        while True:
            prepared = await self._prepared(statement)
            if rows:
                prepared.check_names()
            encoded = prepared.values(values)
            before = self._begun() if within else self._limits()
            try:
                return prepared, await self._finish(self.link.run(prepared, encoded, before))
            except StaleError:
                self.link.forget(statement.text)
                if not again:
                    raise
                again = False

    def _send(self, statement: PostgresStatement, values: Any) -> Reply:
        encoded = [encode(value, 0) for value in values]
        return self.link.run_text(
            statement.data, encoded, formats=formats_of(values), before=self._begun()
        )

    def _begun(self) -> list[Text]:
        """What begins the transaction, for the first statement to bring along."""
        opening, self._opening = self._opening, []
        return opening

    def _limits(self) -> list[Text]:
        """What tells the server the caller's deadline, if it is nearer than the configured limit."""
        deadline = anyio.current_effective_deadline()
        # Minus infinity stands for a caller that is cancelled already.
        if self._config.pgbouncer or abs(deadline) == float("inf"):
            return []
        left = deadline - anyio.current_time() + MARGIN
        if not 0 < left < self._config.statement_timeout:
            return []
        return [(LIMIT, [b"%d" % int(1000 * left)])]

    async def _prepared(self, statement: PostgresStatement) -> Prepared:
        before = () if self.link.has(statement.text) else self._begun()
        try:
            return await self.link.prepared(statement, before)
        except BaseException:
            await self._settle()
            raise

    async def _finish(self, reply: Reply) -> PGresult:
        try:
            return await self.link.ask(reply)
        except SqlError as error:
            if (
                error.sqlstate == ENDED
                and anyio.current_time() >= anyio.current_effective_deadline()
            ):
                # The server knew the caller's deadline, and was quicker than a busy event loop: it is
                # the caller's own that it is to meet.
                await anyio.sleep(MARGIN)
            raise
        except BaseException:
            await self._settle()
            raise

    async def _settle(self) -> None:
        """After a cancellation, have the server end the statement, and wait until it has.

        The request goes its own way: only when it was received, and the reply was read, is it sure
        not to end the next user's statement.
        """
        link = self.link
        if link.lost or not link.depth:
            return
        self._counts.cancelled += 1
        with anyio.move_on_after(self._config.cleanup_timeout, shield=True):
            try:
                await cancel(link.raw)
            except (psycopg.Error, OSError) as error:
                link.give_up(str(error))
                return
            await link.quiet()
            return
        link.give_up("a cancelled statement did not end in time")

    # COPY, within a transaction

    async def copy_in(
        self, statement: PostgresStatement, chunks: AsyncIterable[bytes | memoryview]
    ) -> int:
        """Store what the chunks have; the number of rows."""
        statement.check_copies("in")
        limit = await self._lift_limit()
        await self._finish(self.link.parse(statement.data))
        copying = Copying(self.link)
        try:
            await copying.begin(statement.data, COPY_IN)
            async for chunk in chunks:
                await copying.write(chunk)
            stored = await copying.end()
        except BaseException:
            await self._stop(copying)
            raise
        await self._put_limit(limit)
        return stored

    async def copy_out(self, statement: PostgresStatement) -> AsyncGenerator[bytes, None]:
        """What the server sends, in whole rows."""
        statement.check_copies("out")
        limit = await self._lift_limit()
        await self._finish(self.link.parse(statement.data))
        copying = Copying(self.link)
        try:
            await copying.begin(statement.data, COPY_OUT)
            while chunk := await copying.read():
                yield chunk
        except BaseException:
            await self._stop(copying)
            raise
        await self._put_limit(limit)

    async def column_types(self, query: str) -> tuple[list[int], Types]:
        """The types of a query's columns, domains as what they are made of."""
        result = await self._finish(self.link.run_text(query.encode(), before=self._begun()))
        oids = [result.ftype(number) for number in range(result.nfields)]
        try:
            return oids, await self.link.learn(oids)
        except BaseException:
            await self._settle()
            raise

    async def _lift_limit(self) -> bytes:
        """Let one statement run as long as the caller has time; the limit there was."""
        left = anyio.current_effective_deadline() - anyio.current_time() + MARGIN
        limit = b"0" if left == float("inf") else b"%d" % max(1, int(1000 * left))
        show = self.link.run_text(b"SHOW statement_timeout", before=self._begun())
        result = await self._finish(show)
        await self._put_limit(limit)
        return result.get_value(0, 0) or b"0"

    async def _put_limit(self, limit: bytes) -> None:
        await self._finish(self.link.run_text(LIMIT, [limit]))

    async def _stop(self, copying: Copying) -> None:
        """End a COPY whose data nobody has or wants any more; or else the connection."""
        link = self.link
        if copying.over or link.lost:
            return
        self._counts.cancelled += 1
        with anyio.move_on_after(self._config.cleanup_timeout, shield=True):
            try:
                await copying.stop()
            except (psycopg.Error, OSError, SqlError) as error:
                link.give_up(str(error))
            return
        link.give_up("a COPY did not end in time")

    # Transactions

    def begin(
        self,
        *,
        read_only: bool = False,
        isolation: Isolation | None = None,
        branch: str | None = None,
    ) -> None:
        """Begin a transaction, whose statements may run as long as the caller has time.

        It goes with the first of them, which is not run if it fails: a trip to the server less.
        """
        command = "BEGIN"
        if isolation is not None:
            command += f" ISOLATION LEVEL {isolation.upper()}"
        if read_only:
            command += " READ ONLY"
        self._opening = [(command.encode(), ()), *self._limits()]
        self._branch, self._stage = None if read_only else branch, "open"

    async def prepare(self) -> bool:
        """Promise that it can be committed; whether there is anything to be ended later.

        Raises:
            SqlError: The server cannot promise it.
        """
        if self._branch is None or self._opening:
            await self.commit()
            self._stage = "over"
            return False
        if self.link.lost:
            raise SqlUnavailableError(LOST, sqlstate="08003")
        # Until the server says otherwise: a task that is cancelled may not hear of it.
        self._stage = "prepared"
        try:
            result = await self._promptly(b"PREPARE TRANSACTION '%b'" % self._branch.encode())
            if result.command_status != b"PREPARE TRANSACTION":
                raise SqlError(OVER, sqlstate="25P02")
        except SqlError:
            self._stage = "open"
            raise
        return True

    def leave(self) -> None:
        """Have nobody here end what is prepared; the server keeps it apart from the connection."""
        self._stage = "over"

    async def end_prepared(self, branch: str, *, commit: bool) -> bool:
        """Commit or roll back what another transaction has prepared; whether there was any."""
        word = b"COMMIT" if commit else b"ROLLBACK"
        try:
            await self._promptly(word + b" PREPARED '%b'" % branch.encode())
        except SqlError as error:
            if error.sqlstate != UNDEFINED:
                raise
            return False
        return True

    async def commit(self) -> None:
        """Commit.

        Raises:
            SqlError: The server rolled back, or it cannot be told whether it committed (08007).
        """
        if self._begun() or self._stage == "over":
            return
        if self._stage == "prepared":
            await self._end_branch(b"COMMIT")
            return
        if self.link.lost:
            raise SqlUnavailableError(LOST, sqlstate="08003")
        try:
            result = await self._promptly(b"COMMIT")
        except LostError as error:
            raise SqlUnavailableError(
                f"whether the transaction was committed is not known: {error}", sqlstate="08007"
            ) from error
        if result.command_status != b"COMMIT":
            raise SqlError(OVER, sqlstate="25P02")

    async def roll_back(self) -> None:
        """Roll back."""
        if self._begun() or self._stage == "over":
            return
        if self._stage == "prepared":
            await self._end_branch(b"ROLLBACK")
        elif not self.link.lost and self.link.in_transaction:
            await self._promptly(b"ROLLBACK")

    async def _end_branch(self, word: bytes) -> None:
        assert self._branch is not None
        try:
            await self._promptly(word + b" PREPARED '%b'" % self._branch.encode())
        finally:
            self._stage = "over"

    async def _promptly(self, command: bytes, before: Sequence[Text] = ()) -> PGresult:
        """Run what takes the server no time, and must not be cancelled half-way."""
        link = self.link
        reply = self._send_command(command, before)
        # No timer for each: who looks after all connections gives up those whose time is over.
        link.due = monotonic() + self._config.cleanup_timeout
        try:
            return await link.ask(reply)
        finally:
            link.due = float("inf")

    def _send_command(self, command: bytes, before: Sequence[Text]) -> Reply:
        return self.link.run_command(command, before)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part of a transaction that can fail alone."""
        self._savepoints += 1
        name = b"covet_savepoint_%d" % self._savepoints
        streams = self._streams
        await self._promptly(b"SAVEPOINT " + name, self._begun())
        try:
            yield
            if self.link.raw.transaction_status == TransactionStatus.INERROR:
                raise SqlError(PART_OVER, sqlstate="25P02")
            await self._promptly(b"RELEASE " + name)
        except BaseException:
            # Cursors declared since are gone with it; to close one would be an error.
            self._cursors -= {number for number in self._cursors if number > streams}
            # What fails here has ended the connection, and the block's own error is the one to raise.
            with suppress(SqlError):
                await self._promptly(b"RELEASE " + name, [(b"ROLLBACK TO " + name, ())])
            raise


def formats_of(values: Iterable[Any]) -> list[int]:
    """How values are sent for which no types are known."""
    return [int(isinstance(value, (bytes, bytearray, memoryview))) for value in values]


def size_of(row: Row) -> int:
    """About how many bytes a row takes, apart from what every row takes."""
    return sum(len(value) for value in row.values() if isinstance(value, (str, bytes)))
