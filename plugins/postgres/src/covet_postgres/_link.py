"""One server connection, and what is under way on it.

Everything is sent as a pipeline: each statement ends with a Sync, so that an error is its own, and
replies come in the order of asking. Whoever asked may be gone by then; the reply is read and
dropped, and the connection lives on.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from covet_kernel.contracts import SqlError
from covet_postgres._errors import LostError, StaleError, failure
from covet_postgres._loop import Loop, Reply
from covet_postgres._prepared import Prepared, Values, checked
from covet_postgres._statement import PostgresStatement

T = TypeVar("T")

SYNC = ExecStatus.PIPELINE_SYNC
COPIES = frozenset((ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH))
IDLE = TransactionStatus.IDLE
SQLSTATE = DiagnosticField.SQLSTATE


@dataclass
class Counts:
    """What a database has done since it was opened."""

    statements: int = 0
    errors: int = 0
    discarded: int = 0
    cancelled: int = 0
    repeated: int = 0


class Dropped:
    """In place of a reply that nobody waits for."""

    @staticmethod
    def done() -> bool:
        return True

    def set_result(self, result: object, /) -> None:
        raise AssertionError("it is done")


DROPPED = Dropped()


class Link:
    """A connection in pipeline mode. What sends is synchronous; what waits is awaited.

    Attributes:
        raw: libpq's connection.
        lost: It has ended, or was given up, and must not be used again.
        coming: How many calls are about to send something.
        clogged: Something long was met on it; others keep away until nothing is under way.
        since: When the server last answered, while something is under way; by the monotonic clock.
        opened: When it was opened, by the same clock.
        limit: Seconds that the server may be silent while something is under way.
    """

    def __init__(
        self, raw: PGconn, loop: Loop, counts: Counts, *, prepared: int, limit: float
    ) -> None:
        self.raw = raw
        self.loop = loop
        self.lost = False
        self.limit = limit
        self._counts = counts
        # Libpq closes its socket whenever it likes; this one stays open as long as it is watched.
        self._fd = os.dup(raw.socket)
        self._flight: deque[Any] = deque()
        self._results: list[PGresult] = []
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()
        self._keep = prepared
        self._number = 0
        self._writing = False
        self._quiet: list[Reply] = []
        self.since = 0.0
        self.coming = 0
        self.clogged = False
        self.opened = monotonic()
        raw.enter_pipeline_mode()
        loop.watch(self._fd, self._ready)

    @property
    def depth(self) -> int:
        """How much is under way."""
        return len(self._flight)

    @property
    def deserted(self) -> bool:
        """Whether nobody waits for anything of what is under way."""
        return bool(self._flight) and all(
            reply.__class__ is not Prepared and reply.done() for reply in self._flight
        )

    @property
    def in_transaction(self) -> bool:
        """Whether the server has a transaction open, as it last said."""
        return bool(self.raw.transaction_status != IDLE)

    # Sending

    def known(self, text: str) -> Prepared | None:
        """The statement, if the server has described it."""
        known = self._prepared.get(text)
        if known is None or not known.ready or known.closed:
            return None
        self._prepared.move_to_end(text)
        return known

    def prepare(self, text: str, sql: str) -> Prepared:
        """The statement as this connection knows it, asked for if it does not; see its ``ready``."""
        known = self._prepared.get(text)
        if known is not None and not known.closed:
            self._prepared.move_to_end(text)
            return known
        self._number += 1
        prepared = self._prepared[text] = Prepared(b"covet_%d" % self._number)
        self._guard(self._send_prepare, prepared, sql)
        while len(self._prepared) > max(self._keep, 1):
            _, old = self._prepared.popitem(last=False)
            self._close(old)
        return prepared

    def forget(self, text: str) -> None:
        """Prepare the statement anew when it is next needed."""
        if (old := self._prepared.pop(text, None)) is not None:
            self._close(old)

    def forget_all(self) -> None:
        """The server has forgotten everything it had prepared."""
        for each in self._prepared.values():
            each.closed = True
        self._prepared.clear()

    def run(
        self, prepared: Prepared, values: Values, before: tuple[bytes, Values] | None = None
    ) -> Reply:
        """Run a prepared statement; ``before`` it a text, within the same transaction."""
        return self._guard(self._send_run, prepared, values, before)

    def run_many(self, prepared: Prepared, rows: list[Values]) -> Reply:
        """Run it once per row, all or none: what comes behind one that fails is not run."""
        return self._guard(self._send_many, prepared, rows)

    def run_text(
        self,
        sql: bytes,
        values: Values = (),
        *,
        types: tuple[int, ...] | None = None,
        formats: list[int] | None = None,
        result_format: int = 0,
        before: tuple[bytes, Values] | None = None,
    ) -> Reply:
        """Run a text that nothing is prepared for; ``before`` within the same transaction as it."""
        return self._guard(self._send_text, sql, values, types, formats, result_format, before)

    def _send_prepare(self, prepared: Prepared, sql: str) -> Prepared:
        self.raw.send_prepare(prepared.name, sql.encode())
        self.raw.send_describe_prepared(prepared.name)
        self._sync(prepared)
        return prepared

    def _send_run(
        self, prepared: Prepared, values: Values, before: tuple[bytes, Values] | None
    ) -> Reply:
        if before is not None:
            self.raw.send_query_params(*before)
        self.raw.send_query_prepared(
            prepared.name, values, prepared.formats, prepared.result_format
        )
        return self._sync(self.loop.reply())

    def _send_many(self, prepared: Prepared, rows: list[Values]) -> Reply:
        for values in rows:
            self.raw.send_query_prepared(
                prepared.name, values, prepared.formats, prepared.result_format
            )
        return self._sync(self.loop.reply())

    def _send_text(
        self,
        sql: bytes,
        values: Values,
        types: tuple[int, ...] | None,
        formats: list[int] | None,
        result_format: int,
        before: tuple[bytes, Values] | None,
    ) -> Reply:
        if before is not None:
            self.raw.send_query_params(*before)
        self.raw.send_query_params(sql, values, types, formats, result_format)
        return self._sync(self.loop.reply())

    def _close(self, prepared: Prepared) -> None:
        if not prepared.closed and not self.lost:
            prepared.closed = True
            self._guard(self._send_close, prepared)

    def _send_close(self, prepared: Prepared) -> None:
        self.raw.send_close_prepared(prepared.name)
        self._sync(DROPPED)

    def _sync(self, reply: T) -> T:
        raw = self.raw
        raw.pipeline_sync()
        if not self._flight:
            self.since = monotonic()
        self._flight.append(reply)
        if not self._writing and raw.flush():
            self._writing = True
            self.loop.when_writable(self._fd, self._write)
        return reply

    def _guard(self, send: Callable[..., T], *arguments: Any) -> T:
        if self.lost:
            raise LostError("the connection has ended", sqlstate="08003")
        try:
            return send(*arguments)
        except UnicodeEncodeError:
            raise SqlError(
                "a text has characters that UTF-8 cannot carry", sqlstate="22021"
            ) from None
        except psycopg.Error as error:
            # What was sent of it cannot be told.
            self.give_up(f"it could not be written to: {error}")
            raise LostError(
                "the connection ended while it was written to", sqlstate="08006"
            ) from None

    def _write(self) -> None:
        self._writing = False
        if self.lost:
            return
        try:
            if self.raw.flush():
                self._writing = True
                self.loop.when_writable(self._fd, self._write)
        except psycopg.Error as error:
            self.give_up(str(error))

    # Receiving

    def _ready(self) -> bool:
        try:
            self.raw.consume_input()
        except psycopg.Error as error:
            self._read_on()
            self.give_up(str(error))
            return False
        try:
            self._read_on()
        except Exception as error:
            self.give_up(f"its replies cannot be read: {error!r}")
        return not self.lost

    def _read_on(self) -> None:
        raw, flight = self.raw, self._flight
        before = len(flight)
        while flight and not raw.is_busy():
            result = raw.get_result()
            if result is None:
                if raw.status:
                    self.give_up("the server has closed it")
                    return
                continue
            status = result.status
            if status == SYNC:
                results, self._results = self._results, []
                reply = flight.popleft()
                if reply.__class__ is Prepared:
                    reply.settle(results)
                elif not reply.done():
                    reply.set_result(results)
            elif status in COPIES:
                self.give_up("a COPY was begun, which has no place here")
                return
            else:
                self._results.append(result)
                if raw.status:
                    self.give_up("the server has closed it")
                    return
        if before != len(flight):
            self.since = monotonic()
            if not flight:
                self._now_quiet()
        elif not flight and raw.status:
            self.give_up("the server has closed it")

    def _now_quiet(self) -> None:
        for reply in self._quiet:
            if not reply.done():
                reply.set_result(None)
        self._quiet.clear()

    async def quiet(self) -> None:
        """Return when nothing is under way."""
        while self._flight and not self.lost:
            reply = self.loop.reply()
            self._quiet.append(reply)
            await reply

    # The end

    def overdue(self, now: float) -> bool:
        """Whether the server has been silent for longer than it may be."""
        return bool(self._flight) and now - self.since > self.limit

    def give_up(self, reason: str, *, planned: bool = False) -> None:
        """End the connection at once; who waits for it is told. What is planned is not counted."""
        if self.lost:
            return
        self.lost = True
        self._counts.discarded += not planned
        state, message = "08006", f"the connection to the database was lost: {reason.strip()}"
        for result in self._results:
            # What libpq itself has to say of it has no sqlstate.
            if result.status == ExecStatus.FATAL_ERROR and result.error_field(SQLSTATE):
                error = failure(result)
                state, message = error.sqlstate, str(error)
                break
        self._finish()
        while self._flight:
            reply = self._flight.popleft()
            if reply.__class__ is Prepared:
                reply.settle(LostError(message, sqlstate=state))
            elif not reply.done():
                reply.set_result(LostError(message, sqlstate=state))
        self._now_quiet()

    def close(self) -> None:
        """Say good-bye to the server and end the connection."""
        if self._flight:
            self.give_up("it is being closed")
        elif not self.lost:
            self.lost = True
            self._finish()

    def _finish(self) -> None:
        self.forget_all()
        self.loop.unwatch(self._fd)
        os.close(self._fd)
        self.raw.finish()

    # Asking and waiting

    async def prepared(self, statement: PostgresStatement) -> Prepared:
        """The statement, described by the server.

        Raises:
            SqlError: The server refuses it, or the connection ended.
        """
        while True:
            prepared = self.prepare(statement.text, statement.sql)
            if not prepared.ready:
                await prepared.wait(self.loop.reply())
            if prepared.error is not None:
                self._prepared.pop(statement.text, None)
                error = prepared.error
                raise type(error)(str(error), sqlstate=error.sqlstate)
            if not prepared.closed:
                return prepared

    async def ask(self, reply: Reply) -> PGresult:
        """The last result of what was sent.

        Raises:
            SqlError: The server refuses it, or the connection ended.
        """
        return (await self.ask_all(reply))[-1]

    async def ask_all(self, reply: Reply) -> list[PGresult]:
        """All results of what was sent.

        Raises:
            SqlError: The server refuses one, or the connection ended.
        """
        self._counts.statements += 1
        try:
            return checked(await reply)
        except SqlError as error:
            if not isinstance(error, StaleError):
                self._counts.errors += 1
            raise
