"""One server connection, and what is under way on it.

Commands are sent one behind the other, and answers come in the order of asking. Whoever asked may be
gone by then; the answer is read and dropped.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from time import monotonic

from covet_kernel.contracts import SqlError
from covet_mysql._connect import Opened
from covet_mysql._errors import LostError, error
from covet_mysql._protocol import _constants as c
from covet_mysql._protocol._answers import failure
from covet_mysql._protocol._exchanges import Exchange, Prepare, Prepared, TooLargeError
from covet_mysql._protocol._packets import Packets, ProtocolError, framed
from covet_sql.driver import Loop, Reply


@dataclass
class Counts:
    """What a database has done since it was opened."""

    statements: int = 0
    errors: int = 0
    discarded: int = 0
    cancelled: int = 0


class Link:
    """A connection. What sends is synchronous; what waits is awaited.

    Args:
        opened: It, freshly let in.
        loop: Of the task that opens it.
        counts: Of the database.
        prepared: How many statements the server keeps for it.
        limit: Seconds that the server may be silent while something is under way.
        largest: Bytes of one message.

    Attributes:
        thread: The number by which what it runs is killed.
        lost: It has ended, or was given up, and must not be used again.
        in_transaction: The server has a transaction open, as it last said.
        stained: The server said that something changed which outlasts a statement.
        since: When the server last answered, while something is under way; by the monotonic clock.
        extended: Columns have MariaDB's extended metadata.
        cached: Columns are said only when they have changed.
        mariadb: What the server is.
    """

    def __init__(
        self,
        opened: Opened,
        loop: Loop,
        counts: Counts,
        *,
        prepared: int,
        limit: float,
        largest: int,
    ) -> None:
        self.thread = opened.greeting.thread
        self.mariadb = opened.greeting.mariadb
        self.extended = bool(opened.capabilities & c.EXTENDED_METADATA)
        self.cached = bool(opened.capabilities & c.CACHE_METADATA)
        self.lost = False
        self.in_transaction = False
        self.stained = False
        self.since = 0.0
        self._channel = opened.channel
        self._packets = Packets(largest)
        self._packets.sequence = 1
        self._loop = loop
        self._counts = counts
        self._limit = limit
        self._flight: deque[tuple[Exchange, Reply | None]] = deque()
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()
        self._keep = prepared
        self._writing = False
        self._quiet: list[Reply] = []
        loop.watch(self._channel.fd, self._ready)

    @property
    def depth(self) -> int:
        """How much is under way."""
        return len(self._flight)

    # Sending

    def send(self, *exchanges: Exchange) -> Reply:
        """Send commands, one behind the other; what to wait for the last one's answer with.

        Raises:
            LostError: The connection has ended.
        """
        if self.lost:
            raise LostError("the connection has ended", sqlstate="08003")
        if not self._flight:
            self.since = monotonic()
        reply = self._loop.reply()
        last = exchanges[-1]
        for each in exchanges:
            self._flight.append((each, reply if each is last else None))
        if len(exchanges) == 1:
            self._write(framed(last.request))
        else:
            self._write(b"".join([framed(each.request) for each in exchanges]))
        return reply

    def _write(self, data: bytes = b"") -> None:
        """Send it behind what is left, as far as that goes at once."""
        try:
            left = self._channel.send(data) if data else self._channel.flush()
        except OSError as problem:
            # What was sent of it cannot be told.
            self.give_up(f"it could not be written to: {problem.strerror or problem}")
            return
        if left and not self._writing:
            self._writing = True
            self._loop.when_writable(self._channel.fd, self._flush)

    def _flush(self) -> None:
        self._writing = False
        if not self.lost:
            self._write()

    # Receiving

    def _ready(self) -> bool:
        if self.lost:
            return False
        try:
            data = self._channel.receive()
        except OSError as problem:
            self.give_up(problem.strerror or str(problem))
            return False
        if data is None:
            return True
        if not data:
            self.give_up("the server has closed it")
            return False
        try:
            self._packets.feed(data)
            self._read_on()
        except TooLargeError as problem:
            self.give_up(str(problem), SqlError(f"{problem}: stream it", sqlstate="54000"))
        except ProtocolError as problem:
            self.give_up(f"its answers cannot be read: {problem}")
        return not self.lost

    def _read_on(self) -> None:
        packets, flight = self._packets, self._flight
        before = len(flight)
        while (packet := packets.next()) is not None:
            if not flight:
                self._last_words(packet)
                return
            exchange, reply = flight[0]
            if exchange.feed(packet):
                flight.popleft()
                packets.sequence = 1
                self._take(exchange)
                if reply is not None and not reply.done():
                    reply.set_result(exchange)
        if before != len(flight):
            self.since = monotonic()
            if not flight:
                self._now_quiet()

    def _take(self, exchange: Exchange) -> None:
        if exchange.status is not None:
            self.in_transaction = bool(exchange.status & c.IN_TRANS)
        if exchange.stained:
            self.stained = True

    def _last_words(self, packet: bytes) -> None:
        if packet[:1] == bytes((c.ERROR,)):
            self.give_up(failure(packet).message)
        else:
            self.give_up("the server said something that nobody asked for")

    def _now_quiet(self) -> None:
        for reply in self._quiet:
            if not reply.done():
                reply.set_result(None)
        self._quiet.clear()

    async def quiet(self) -> None:
        """Return when nothing is under way."""
        while self._flight and not self.lost:
            reply = self._loop.reply()
            self._quiet.append(reply)
            await reply

    # The end

    def overdue(self, now: float) -> bool:
        """Whether the server has been silent for longer than it may be."""
        return bool(self._flight) and now - self.since > self._limit

    def give_up(self, reason: str, why: SqlError | None = None, *, planned: bool = False) -> None:
        """End the connection at once; who waits for it is told. What is planned is not counted."""
        if self.lost:
            return
        self.lost = True
        self._counts.discarded += not planned
        self._finish()
        lost = why or LostError(
            f"the connection to the database was lost: {reason}", sqlstate="08006"
        )
        while self._flight:
            _, reply = self._flight.popleft()
            if reply is not None and not reply.done():
                reply.set_result(lost)
        self._now_quiet()

    def close(self) -> None:
        """Say good-bye to the server and end the connection."""
        if self._flight:
            self.give_up("it is being closed")
        elif not self.lost:
            self._write(framed(c.COM_QUIT))
            if not self.lost:
                self.lost = True
                self._finish()

    def _finish(self) -> None:
        self.forget_all()
        self._loop.unwatch(self._channel.fd)
        self._channel.close()

    # Asking and waiting

    async def ask(self, *exchanges: Exchange) -> None:
        """Send commands, and wait for the answers.

        Raises:
            SqlError: The server refuses one, or the connection ended.
        """
        self._counts.statements += 1
        answer = await self.send(*exchanges)
        try:
            if isinstance(answer, SqlError):
                raise type(answer)(str(answer), sqlstate=answer.sqlstate)
            for each in exchanges:
                if each.failure is not None:
                    raise error(each.failure)
        except SqlError:
            self._counts.errors += 1
            raise

    # Prepared statements

    def known(self, text: str) -> Prepared | None:
        """The statement, if the server has read it already."""
        found = self._prepared.get(text)
        if found is not None:
            self._prepared.move_to_end(text)
        return found

    async def prepare(self, sql: str) -> Prepared:
        """Have the server read a text; it is the caller's to `close_prepared` or to `keep`.

        Raises:
            SqlError: The server refuses it, or the connection ended.
        """
        try:
            text = sql.encode()
        except UnicodeEncodeError:
            raise SqlError(
                "a text has characters that UTF-8 cannot carry", sqlstate="22021"
            ) from None
        asked = Prepare(text, extended=self.extended)
        await self.ask(asked)
        return asked.prepared

    def keep(self, text: str, prepared: Prepared) -> None:
        """Remember a statement by its text; the one that was not needed for longest may go."""
        self._prepared[text] = prepared
        while len(self._prepared) > self._keep:
            _, old = self._prepared.popitem(last=False)
            self.close_prepared(old)

    def close_prepared(self, prepared: Prepared) -> None:
        """Have the server forget a statement; it does not answer that."""
        if not self.lost:
            self._write(framed(c.COM_STMT_CLOSE + prepared.number.to_bytes(4, "little")))

    def close_all(self) -> None:
        """Have the server forget everything it has prepared."""
        for prepared in self._prepared.values():
            self.close_prepared(prepared)
        self._prepared.clear()

    def forget_all(self) -> None:
        """The server has forgotten everything it had prepared."""
        self._prepared.clear()
