"""A connection in one caller's hands at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import anyio
import psycopg
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult

from covet_kernel.contracts import Params, Row, SqlError, SqlUnavailableError
from covet_postgres._config import PostgresConfig
from covet_postgres._connect import cancel
from covet_postgres._errors import LostError, StaleError
from covet_postgres._link import Counts, Link
from covet_postgres._loop import Reply
from covet_postgres._prepared import Prepared, Values, changed_by, check_names, names_of, rows_of
from covet_postgres._statement import PostgresStatement
from covet_postgres._values import encode

MANY_ROWS = 200
MANY_BYTES = 1 << 20
"""What is sent at once of many rows of parameters, whichever comes first."""
CHUNK_ROWS = 1000
CHUNK_BYTES = 1 << 19
"""What is fetched at once of a stream: as many rows as the last ones let expect in these bytes."""
FIRST_ROWS = 16
MARGIN = 0.1
"""Seconds by which the server's limit is later than the caller's, so that the caller's is met first."""

LIMIT = b"SELECT set_config('statement_timeout', $1, true)"
OVER = "the transaction was over before its block ended: an error had ended it"


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
        return prepared.rows(result) if prepared is not None else rows_of(result)

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
        reply = self.link.run_many(prepared, rows)
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
        name = f"covet_stream_{self._streams}"
        declare = f"DECLARE {name} NO SCROLL CURSOR FOR {statement.sql}".encode()
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
                self.link.run_text(declare, encoded, types=prepared.oids, formats=prepared.formats)
            )
        else:
            encoded = [encode(value, 0) for value in values]
            await self._finish(self.link.run_text(declare, encoded, formats=formats_of(values)))
        try:
            count = FIRST_ROWS
            while True:
                fetch = f"FETCH FORWARD {count} FROM {name}".encode()
                result = await self._finish(self.link.run_text(fetch, result_format=result_format))
                rows = prepared.rows(result) if prepared is not None else rows_of(result)
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
            if not self.link.lost and self.link.raw.transaction_status == TransactionStatus.INTRANS:
                # Whatever is asked next comes behind it.
                self.link.run_text(f"CLOSE {name}".encode())

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
        again = not self.link.in_transaction
        while True:
            prepared = await self._prepared(statement)
            if rows:
                prepared.check_names()
            encoded = prepared.values(values)
            before = None if self.link.in_transaction else self._limit()
            try:
                return prepared, await self._finish(self.link.run(prepared, encoded, before))
            except StaleError:
                self.link.forget(statement.text)
                if not again:
                    raise
                again = False

    def _send(self, statement: PostgresStatement, values: Any) -> Reply:
        encoded = [encode(value, 0) for value in values]
        return self.link.run_text(statement.sql.encode(), encoded, formats=formats_of(values))

    def _limit(self) -> tuple[bytes, Values] | None:
        """What tells the server the caller's deadline, if it is nearer than the configured limit."""
        left = anyio.current_effective_deadline() - anyio.current_time() + MARGIN
        # Minus infinity stands for a caller that is cancelled already.
        if self._config.pgbouncer or not 0 < left < self._config.statement_timeout:
            return None
        return LIMIT, [b"%d" % int(1000 * left)]

    async def _prepared(self, statement: PostgresStatement) -> Prepared:
        try:
            return await self.link.prepared(statement)
        except BaseException:
            await self._settle()
            raise

    async def _finish(self, reply: Reply) -> PGresult:
        try:
            return await self.link.ask(reply)
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

    # Transactions

    async def begin(self, *, read_only: bool = False, isolation: str | None = None) -> None:
        """Begin a transaction, whose statements may run as long as the caller has time."""
        command = "BEGIN"
        if isolation is not None:
            command += f" ISOLATION LEVEL {isolation.upper()}"
        if read_only:
            command += " READ ONLY"
        if (limit := self._limit()) is not None:
            reply = self.link.run_text(*limit, before=(command.encode(), ()))
        else:
            reply = self.link.run_text(command.encode())
        await self._finish(reply)

    async def commit(self) -> None:
        """Commit.

        Raises:
            SqlError: The server rolled back, or it cannot be told whether it committed.
        """
        try:
            result = await self._end(b"COMMIT")
        except LostError as error:
            raise SqlUnavailableError(
                f"whether the transaction was committed is not known: {error}", sqlstate="08007"
            ) from error
        if result.command_status != b"COMMIT":
            raise SqlError(OVER, sqlstate="25P02")

    async def roll_back(self) -> None:
        """Roll back."""
        if not self.link.lost and self.link.in_transaction:
            await self._end(b"ROLLBACK")

    async def _end(self, command: bytes) -> PGresult:
        with anyio.move_on_after(self._config.cleanup_timeout, shield=True):
            return await self.link.ask(self._send_end(command))
        self.link.give_up("the end of a transaction was not answered in time")
        raise LostError(
            f"the end of the transaction was not answered within {self._config.cleanup_timeout} s",
            sqlstate="08007",
        )

    def _send_end(self, command: bytes) -> Reply:
        return self.link.run_text(command)

    @asynccontextmanager
    async def savepoint(self, name: str) -> AsyncIterator[None]:
        """A part of a transaction that can fail alone."""
        await self._finish(self.link.run_text(f"SAVEPOINT {name}".encode()))
        try:
            yield
        except BaseException:
            if not self.link.lost:
                await self._end(f"ROLLBACK TO {name}".encode())
            raise
        await self._finish(self.link.run_text(f"RELEASE {name}".encode()))


def formats_of(values: Iterable[Any]) -> list[int]:
    """How values are sent for which no types are known."""
    return [int(isinstance(value, (bytes, bytearray, memoryview))) for value in values]


def size_of(row: Row) -> int:
    """About how many bytes a row takes, apart from what every row takes."""
    return sum(len(value) for value in row.values() if isinstance(value, (str, bytes)))
