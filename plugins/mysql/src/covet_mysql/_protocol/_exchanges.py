"""A command and what comes back for it, message by message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from covet_mysql._protocol import _constants as c
from covet_mysql._protocol._answers import Done, Failure, done, failure
from covet_mysql._protocol._columns import MOST, Column, column
from covet_mysql._protocol._fields import number
from covet_mysql._protocol._packets import WHOLE, ProtocolError
from covet_mysql._protocol._rows import Decoder

Step: TypeAlias = Callable[[Any, bytes], bool]
"""What takes the next message. Not bound to its exchange, which would hold itself and wait for the
garbage collector."""
PARAMETERS = 1 << 16
"""Parameters that a statement can have."""


class TooLargeError(ProtocolError):
    """A result is larger than it may be."""


class Exchange:
    """One command.

    Attributes:
        request: What is sent for it.
        failure: What the server refused it with.
        status: The server's state behind it; ``None`` if it did not say.
        changed: Rows that the statement met.
        stained: Something is left behind in the connection.
    """

    __slots__ = ("changed", "failure", "request", "stained", "status")

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.failure: Failure | None = None
        self.status: int | None = None
        self.changed = 0
        self.stained = False

    def feed(self, packet: bytes) -> bool:
        """Take a message of the answer; whether it was the last.

        Raises:
            ProtocolError: It has no place there.
        """
        first = self._first(packet)
        if first != c.OK:
            raise ProtocolError("an unexpected answer")
        return self._ended(done(packet))

    def _first(self, packet: bytes) -> int:
        if not packet:
            raise ProtocolError("an empty answer")
        return packet[0]

    def _ended(self, end: Done) -> bool:
        self.status = end.status
        self.changed += end.changed
        return not end.status & c.MORE_RESULTS

    def _failed(self, packet: bytes) -> bool:
        self.failure = failure(packet)
        return True


class Command(Exchange):
    """A command that has no rows."""

    __slots__ = ()

    def feed(self, packet: bytes) -> bool:
        if self._first(packet) == c.ERROR:
            return self._failed(packet)
        return super().feed(packet)


class Prepared:
    """A statement as the server knows it.

    Attributes:
        number: What the server calls it.
        parameters: How many it has.
        decoder: Reads its rows; ``None`` while no columns are known.
    """

    __slots__ = ("decoder", "number", "parameters")

    def __init__(self) -> None:
        self.number = 0
        self.parameters = 0
        self.decoder: Decoder | None = None


class Prepare(Exchange):
    """Has the server read a text.

    Args:
        text: With ``?`` for each parameter.
        extended: Whether columns have MariaDB's extended metadata.

    Attributes:
        prepared: The statement.
    """

    __slots__ = ("_columns", "_extended", "_left", "_step", "prepared")

    def __init__(self, text: bytes, *, extended: bool) -> None:
        super().__init__(c.COM_STMT_PREPARE + text)
        self.prepared = Prepared()
        self._extended = extended
        self._columns: list[Column] = []
        self._left = [0, 0]
        self._step: Step = Prepare._begin

    def feed(self, packet: bytes) -> bool:
        return self._step(self, packet)

    def _begin(self, packet: bytes) -> bool:
        if self._first(packet) == c.ERROR:
            return self._failed(packet)
        if packet[0] != c.OK or len(packet) < 12:
            raise ProtocolError("an unexpected answer")
        self.prepared.number = int.from_bytes(packet[1:5], "little")
        columns = int.from_bytes(packet[5:7], "little")
        self.prepared.parameters = int.from_bytes(packet[7:9], "little")
        if columns > MOST:
            raise ProtocolError("a result has too many columns")
        self._left = [self.prepared.parameters, columns]
        self._step = Prepare._definition
        return not any(self._left)

    def _definition(self, packet: bytes) -> bool:
        if self._left[0]:
            # Nothing that it says of a parameter is true before a value was bound.
            self._left[0] -= 1
        else:
            self._left[1] -= 1
            self._columns.append(column(packet, extended=self._extended))
            if not self._left[1]:
                self.prepared.decoder = Decoder(self._columns)
        return not any(self._left)


class Result(Exchange):
    """A command that may have rows, kept as they came.

    Args:
        request: The command.
        prepared: The statement it runs; its columns are known unless the server says them anew.
        extended: Whether columns have MariaDB's extended metadata.
        cached: Whether the server says columns only when they have changed.
        largest: Bytes of rows that are accepted.

    Attributes:
        rows: The rows of the first result that has columns.
        size: Bytes of all rows, about.
    """

    __slots__ = (
        "_cached", "_columns", "_count", "_extended", "_largest", "_step", "_taken", "prepared",
        "rows", "size",
    )  # fmt: skip

    def __init__(
        self,
        request: bytes,
        prepared: Prepared,
        *,
        extended: bool,
        cached: bool,
        largest: int,
    ) -> None:
        super().__init__(request)
        self.prepared = prepared
        self.rows: list[bytes] = []
        self.size = 0
        self._extended = extended
        self._cached = cached
        self._largest = largest
        self._columns: list[Column] = []
        self._count = 0
        self._taken = False
        self._step: Step = Result._begin

    def feed(self, packet: bytes) -> bool:
        return self._step(self, packet)

    def _ended(self, end: Done) -> bool:
        # Of what the driver itself changes, it knows.
        if end.status & c.STATE_CHANGED:
            self.stained = True
        return super()._ended(end)

    def _begin(self, packet: bytes) -> bool:
        first = self._first(packet)
        if first == c.ERROR:
            return self._failed(packet)
        if first == c.OK:
            return self._ended(done(packet))
        if first == c.LOCAL_INFILE:
            raise ProtocolError("the server asks for a file of the client's, which it never gets")
        self._count, at = number(packet, 0)
        if not 0 < self._count <= MOST:
            raise ProtocolError("a result has too many columns")
        if self._cached and at < len(packet) and not packet[at]:
            known = self.prepared.decoder
            if known is None or len(known.columns) != self._count:
                raise ProtocolError("a result's columns are not known")
            self._step = Result._row
        else:
            self._columns = []
            self._step = Result._definition
        return False

    def _definition(self, packet: bytes) -> bool:
        self._columns.append(column(packet, extended=self._extended))
        if len(self._columns) == self._count:
            known = self.prepared.decoder
            if not self._taken and (known is None or known.columns != self._columns):
                self.prepared.decoder = Decoder(self._columns)
            self._step = Result._row
        return False

    def _row(self, packet: bytes) -> bool:
        first = self._first(packet)
        if first == c.END and len(packet) < WHOLE:
            self._taken = True
            self._step = Result._begin
            return self._ended(done(packet))
        if first == c.ERROR:
            return self._failed(packet)
        self.size += len(packet) + 32
        if self.size > self._largest:
            raise TooLargeError(f"a result has more than {self._largest} bytes")
        if not self._taken:
            self.rows.append(packet)
        return False


class Fetch(Result):
    """Further rows of a cursor."""

    __slots__ = ()

    def __init__(self, prepared: Prepared, count: int, *, largest: int) -> None:
        request = c.COM_STMT_FETCH + prepared.number.to_bytes(4, "little")
        super().__init__(
            request + count.to_bytes(4, "little"),
            prepared,
            extended=False,
            cached=True,
            largest=largest,
        )
        self._step = Result._row
