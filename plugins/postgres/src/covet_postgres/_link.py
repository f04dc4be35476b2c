"""One server connection, and what is under way on it.

Everything is sent as a pipeline: each statement ends with a Sync, so that an error is its own, and
replies come in the order of asking. Whoever asked may be gone by then; the reply is read and
dropped, and the connection lives on.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from covet_kernel.contracts import Row, SqlError
from covet_postgres._errors import LostError, StaleError, failure
from covet_postgres._prepared import Prepared, Values, checked, rows_of
from covet_postgres._statement import PostgresStatement
from covet_postgres._types import BUILTIN, Types
from covet_sql.driver import Loop, Reply

T = TypeVar("T")
Text = tuple[bytes, Values]
"""A text and its values, as they are sent."""

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


class Borrower(Protocol):
    """Who uses a connection outside of the pipeline for a while.

    Attributes:
        waiting: It waits for the server.
    """

    waiting: bool

    def ready(self) -> bool:
        """The connection can be read; whether to say so again."""

    def wake(self) -> None:
        """Everything was written."""

    def ended(self) -> None:
        """The connection is about to be closed."""


class Observer(Protocol):
    """Who is told what the server says without having been asked."""

    def notified(self, channel: str, payload: str, pid: int) -> None:
        """It has sent a notification."""

    def lost(self) -> None:
        """It will say nothing more on this connection."""


class Link:
    """A connection in pipeline mode. What sends is synchronous; what waits is awaited.

    Attributes:
        raw: libpq's connection.
        lost: It has ended, or was given up, and must not be used again.
        coming: How many calls are about to send something.
        clogged: Something long was met on it; others keep away until nothing is under way.
        since: When the server last answered, while something is under way; by the monotonic clock.
        due: When what is under way has to be answered by, by the same clock.
        opened: When it was opened, by the same clock.
        fd: A descriptor of its socket.
        loss: Why it was given up.
        observer: Who is told of notifications.
        types: What is known of the types of its database.
        limit: Seconds that the server may be silent while something is under way.
    """

    def __init__(
        self,
        raw: PGconn,
        loop: Loop,
        counts: Counts,
        *,
        prepared: int,
        limit: float,
        types: Types = BUILTIN,
    ) -> None:
        self.raw = raw
        self.loop = loop
        self.lost = False
        self.limit = limit
        self._counts = counts
        self.types = types
        # Libpq closes its socket whenever it likes; this one stays open as long as it is watched.
        self.fd = os.dup(raw.socket)
        self.loss: LostError | None = None
        self.observer: Observer | None = None
        self._borrower: Borrower | None = None
        self._flight: deque[Any] = deque()
        self._results: list[PGresult] = []
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()
        self._keep = prepared
        self._number = 0
        self._writing = False
        self._quiet: list[Reply] = []
        self.since = 0.0
        self.due = float("inf")
        self.coming = 0
        self.clogged = False
        self.opened = monotonic()
        raw.enter_pipeline_mode()
        loop.watch(self.fd, self._ready)

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
        if known is None or not known.loaded or known.closed:
            return None
        self._prepared.move_to_end(text)
        return known

    def has(self, text: str) -> bool:
        """Whether the server has described the statement, or is about to."""
        known = self._prepared.get(text)
        return known is not None and not known.closed

    def prepare(self, text: str, sql: bytes, before: Sequence[Text] = ()) -> Prepared:
        """The statement as this connection knows it, asked for if it does not; see its ``ready``.

        ``before`` it, where it is asked for, texts within the same transaction.
        """
        known = self._prepared.get(text)
        if known is not None and not known.closed:
            self._prepared.move_to_end(text)
            return known
        self._number += 1
        prepared = Prepared(b"covet_%d" % self._number, self.types)
        # Remembered when it is on its way: for one that was never sent, others would wait for ever.
        self._guard(self._send_prepare, prepared, sql, before)
        self._prepared[text] = prepared
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

    def run(self, prepared: Prepared, values: Values, before: Sequence[Text] = ()) -> Reply:
        """Run a prepared statement; ``before`` it texts, within the same transaction."""
        return self._guard(self._send_run, prepared, values, before)

    def run_many(
        self, prepared: Prepared, rows: list[Values], before: Sequence[Text] = ()
    ) -> Reply:
        """Run it once per row, all or none: what comes behind one that fails is not run."""
        return self._guard(self._send_many, prepared, rows, before)

    def run_text(
        self,
        sql: bytes,
        values: Values = (),
        *,
        types: tuple[int, ...] | None = None,
        formats: list[int] | None = None,
        result_format: int = 0,
        before: Sequence[Text] = (),
    ) -> Reply:
        """Run a text that nothing is prepared for; ``before`` it others, within the same transaction."""
        return self._guard(self._send_text, sql, values, types, formats, result_format, before)

    def run_command(self, sql: bytes, before: Sequence[Text] = ()) -> Reply:
        """Run a text that the server has no work with, whose outcome a cancelled task waits for, too.

        That takes an end to be set for it: see ``due``.
        """
        return self._guard(self._send_command, sql, before)

    def _send_prepare(self, prepared: Prepared, sql: bytes, before: Sequence[Text]) -> Prepared:
        for text in before:
            self.raw.send_query_params(*text)
        self.raw.send_prepare(prepared.name, sql)
        self.raw.send_describe_prepared(prepared.name)
        self._sync(prepared)
        return prepared

    def _send_run(self, prepared: Prepared, values: Values, before: Sequence[Text]) -> Reply:
        for text in before:
            self.raw.send_query_params(*text)
        self.raw.send_query_prepared(
            prepared.name, values, prepared.formats, prepared.result_format
        )
        return self._sync(self.loop.reply())

    def _send_many(self, prepared: Prepared, rows: list[Values], before: Sequence[Text]) -> Reply:
        for text in before:
            self.raw.send_query_params(*text)
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
        before: Sequence[Text],
    ) -> Reply:
        for text in before:
            self.raw.send_query_params(*text)
        self.raw.send_query_params(sql, values, types, formats, result_format)
        return self._sync(self.loop.reply())

    def _send_command(self, sql: bytes, before: Sequence[Text]) -> Reply:
        for text in before:
            self.raw.send_query_params(*text)
        self.raw.send_query_params(sql, ())
        return self._sync(self.loop.kept())

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
        self.flush()
        return reply

    def flush(self) -> bool:
        """Send what is there to send; whether some of it has to wait until the socket takes it."""
        if not self._writing and not self.lost and self.raw.flush():
            self._writing = True
            self.loop.when_writable(self.fd, self._write)
        return self._writing

    def _guard(self, send: Callable[..., T], *arguments: Any) -> T:
        if self.lost:
            raise LostError("the connection has ended", sqlstate="08003")
        if self._borrower is not None:
            raise SqlError(
                "a COPY is under way on the session's connection, which takes nothing else until then",
                sqlstate="55006",
            )
        try:
            return send(*arguments)
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
            self.flush()
        except psycopg.Error as error:
            self.give_up(str(error))
        else:
            if not self._writing and self._borrower is not None:
                self._borrower.wake()

    # Somebody else's

    def parse(self, sql: bytes) -> Reply:
        """Have the server read a text and forget it: it takes one statement, and no more."""
        return self._guard(self._send_parse, sql)

    def _send_parse(self, sql: bytes) -> Reply:
        self.raw.send_prepare(b"", sql)
        return self._sync(self.loop.reply())

    def lend(self, borrower: Borrower, sql: bytes) -> None:
        """Leave the pipeline and send a text; what comes of it is the borrower's to read.

        Nothing may be under way, and the text has to be one statement: nothing looks at that here.
        """
        self._guard(self._send_alone, sql)
        self._borrower = borrower

    def _send_alone(self, sql: bytes) -> None:
        self.raw.exit_pipeline_mode()
        # By the simple protocol: in the extended one a Sync is under way with the statement, and a
        # COPY that is cancelled before the server has read it is answered twice.
        self.raw.send_query(sql)

    def take_back(self, *, watched: bool) -> None:
        """Go on as a pipeline, everything that was sent meanwhile being answered.

        Args:
            watched: The descriptor has been watched all the time.
        """
        self._borrower = None
        if not self.lost:
            self.raw.enter_pipeline_mode()
            if not watched:
                self.loop.watch(self.fd, self._ready)

    # Receiving

    def _ready(self) -> bool:
        if self._borrower is not None:
            return self._borrower.ready()
        try:
            self.raw.consume_input()
        except psycopg.Error as error:
            self._read_on()
            self.give_up(str(error))
            return False
        try:
            self._read_on()
            if self.observer is not None:
                self._tell(self.observer)
        except Exception as error:
            self.give_up(f"its replies cannot be read: {error!r}")
        return not self.lost

    def _tell(self, observer: Observer) -> None:
        while not self.lost and (said := self.raw.notifies()) is not None:
            channel, payload = said.relname.decode(), said.extra.decode("utf-8", "replace")
            observer.notified(channel, payload, said.be_pid)

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
        if now > self.due:
            return True
        waits = self._flight or (self._borrower is not None and self._borrower.waiting)
        return bool(waits) and now - self.since > self.limit

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
        self.loss = LostError(message, sqlstate=state)
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
        if self._borrower is not None:
            self._borrower.ended()
        if self.observer is not None:
            self.observer.lost()
        self.loop.unwatch(self.fd)
        os.close(self.fd)
        self.raw.finish()

    # Asking and waiting

    async def prepared(self, statement: PostgresStatement, before: Sequence[Text] = ()) -> Prepared:
        """The statement, described by the server.

        Args:
            statement: A text that can be prepared.
            before: Texts within the same transaction, if the connection does not have it.

        Raises:
            SqlError: The server refuses it, or the connection ended.
        """
        while True:
            prepared = self.prepare(statement.text, statement.data, before)
            before = ()
            if not prepared.ready:
                await prepared.wait(self.loop.reply())
            if prepared.error is not None:
                self._prepared.pop(statement.text, None)
                error = prepared.error
                raise type(error)(str(error), sqlstate=error.sqlstate)
            if not prepared.loaded and (unknown := prepared.unknown()):
                await self.learn(unknown)
            if not prepared.loaded:
                prepared.load()
            if not prepared.closed:
                return prepared

    async def learn(self, oids: Iterable[int]) -> Types:
        """What is known of types, after having asked for those of these that were not.

        Raises:
            SqlError: The server does not say.
        """

        async def ask(sql: bytes, values: list[bytes]) -> list[Row]:
            return rows_of(await self.ask(self.run_text(sql, values)))

        await self.types.learn(oids, ask)
        return self.types

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
