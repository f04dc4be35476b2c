"""What a text does to the connection that runs it, as far as its words tell."""

from __future__ import annotations

import re
from time import monotonic

from covet_kernel.contracts import SqlError
from covet_sql.driver import Statement

PREPARED = frozenset(["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "WITH", "TABLE"])
"""Commands that the server plans, and can prepare."""
READS = frozenset(["SELECT", "VALUES", "WITH", "TABLE"])
FIRST = re.compile(r"[\s(]*([A-Z]+)")
OCCUPIES = re.compile(
    r"\b(?:INSERT|UPDATE|DELETE|MERGE|INTO|FOR\s+(?:NO\s+KEY\s+UPDATE|(?:KEY\s+)?SHARE)"
    r"|NEXTVAL|SETVAL|PG_SLEEP\w*|PG_NOTIFY|LO_\w+|DBLINK\w*|PG_\w*BACKEND)\b"
)
"""Words of statements that change something, lock rows, or take their time."""
STAINS = re.compile(r"\b(?:SET_CONFIG|PG_(?:TRY_)?ADVISORY_\w+)\b")
"""Functions that leave something behind in the connection."""
LOCAL = re.compile(r"\bSET_CONFIG\s*\([^()]*,\s*TRUE\s*\)")
"""One of them whose setting ends with the transaction."""
STAINING = frozenset(
    ["SET", "RESET", "LISTEN", "UNLISTEN", "DISCARD", "LOAD", "DECLARE", "PREPARE", "DEALLOCATE"]
)
"""Commands that do."""
TEMPORARY = re.compile(r"\b(?:TEMP|TEMPORARY)\b|\bPG_TEMP\b")
ENDS = frozenset(["BEGIN", "START", "COMMIT", "END", "ABORT"])
KEEPS = re.compile(r"[\s(]*ROLLBACK\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b")
COPIES = re.compile(r"\b(?:FROM\s+STDIN|TO\s+STDOUT)\b")
"""Which of them comes last is the direction: a query that is copied comes before it."""
TWO_PHASE = re.compile(r"[\s(]*PREPARE\s+TRANSACTION\b")
AGAIN = 60.0
"""Seconds after which a text that took its time is tried on a shared connection again."""


class PostgresStatement(Statement):
    """A text for PostgreSQL.

    Attributes:
        text: As it was given.
        data: What is sent of it.
        plannable: The server can prepare it.
        shared: Its words are those of a short read, for a connection that all tasks share.
        stains: It may leave something behind in the connection.
        ends: It begins or ends a transaction, which blocks do.
        copies: It is a COPY ``"in"`` from the client, or ``"out"`` to it.
        long_until: Until when it is taken to be a long one, by the monotonic clock.
    """

    __slots__ = ("copies", "data", "ends", "long_until", "plannable", "shared", "stains", "text")

    def __init__(self, text: str) -> None:
        if "\0" in text:
            raise SqlError("a statement has no NUL characters", sqlstate="42601")
        super().__init__(text, lambda number: f"${number}")
        self.text = text
        try:
            self.data = self.sql.encode()
        except UnicodeEncodeError:
            raise SqlError(
                "a text has characters that UTF-8 cannot carry", sqlstate="22021"
            ) from None
        match = FIRST.match(self.code)
        first = match[1] if match else ""
        stains = STAINS.search(self.code) is not None
        self.plannable = first in PREPARED
        self.shared = first in READS and not stains and OCCUPIES.search(self.code) is None
        self.stains = (
            (stains and STAINS.search(LOCAL.sub("", self.code)) is not None)
            or first in STAINING
            or (not self.shared and TEMPORARY.search(self.code) is not None)
        )
        self.ends = (
            first in ENDS
            or (first == "ROLLBACK" and not KEEPS.match(self.code))
            or TWO_PHASE.match(self.code) is not None
        )
        way = COPIES.findall(self.code) if first == "COPY" else ()
        self.copies = ("in" if way[-1].startswith("FROM") else "out") if way else ""
        self.long_until = 0.0

    def took_long(self) -> None:
        """Run it on connections of its own for a while."""
        self.long_until = monotonic() + AGAIN

    def check(self) -> None:
        """Refuse what is not a statement's to do.

        Raises:
            SqlError: It begins or ends a transaction, or is a COPY from or to the client.
        """
        if self.ends:
            raise SqlError(
                "a transaction begins and ends with the block of transaction(), not with SQL; leave"
                " the block by an exception to roll back",
                sqlstate="25001",
            )
        if self.copies:
            raise SqlError(
                "COPY from or to the client is not a statement to run: it is for copy_in and copy_out"
                " of covet_postgres",
                sqlstate="0A000",
            )

    def check_copies(self, way: str) -> None:
        """Refuse what is no COPY, or one of the other direction.

        Raises:
            SqlError: It is.
        """
        if self.copies != way or self.count:
            form = "COPY ... FROM STDIN" if way == "in" else "COPY ... TO STDOUT"
            raise SqlError(f"copy_{way} takes a {form}, without parameters", sqlstate="42601")
