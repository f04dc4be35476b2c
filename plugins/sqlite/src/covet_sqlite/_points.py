"""Point reads: rows found by their keys, on the event loop itself.

The way to a thread and back takes ten times as long as SQLite does to find a row. But while it looks
nothing else runs, so a text has to be proven to be a point read, and what is run is bounded besides.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any, Final, cast

import anyio.lowlevel
import apsw

from covet_kernel.contracts import Params, Row, SqlError
from covet_sql.driver import Statements
from covet_sqlite._errors import FAILURES
from covet_sqlite._open import names_of

MOST_BYTES: Final = 1 << 16
"""Of a value or a row. A longer one is read in a thread."""
TURN: Final = 64
"""Reads in a row after which other tasks get their turn of the event loop."""
TEXTS: Final = 1000
"""Texts of which is remembered whether they are point reads."""

SEARCH: Final = re.compile(
    r"SEARCH .+ USING (?:INTEGER PRIMARY KEY|PRIMARY KEY|(?:COVERING )?INDEX .+) \([^<>]+=\?\)"
    r"(?: LEFT-JOIN)?"
)
"""A step of a query plan that finds rows by the whole of a key."""
MOST_SEARCHES: Final = 4
CHEAP: Final = frozenset(
    ("abs", "avg", "coalesce", "count", "ifnull", "iif", "length", "lower", "max", "min", "nullif",
     "round", "sum", "total", "upper")
)  # fmt: skip
"""Functions that take time as the row is long and no more. LIKE, to SQLite a function, is none."""


class PointReads:
    """The texts that may run on the event loop, and the connection on which they do.

    Args:
        open_one: Opens a connection that only reads and waits for no lock; called in a thread.
        steps: Of SQLite's virtual machine that a read may take, and as many again at most; 0: no
            read is proven to be one.

    Attributes:
        done: How many there were.
    """

    def __init__(self, open_one: Callable[[], apsw.Connection], steps: int) -> None:
        self._open_one = open_one
        self._steps = steps
        self._raw: apsw.Connection | None = None
        self._opening = threading.Lock()
        self._closed = False
        # ``None``: it came once. Texts into which values are written come no second time.
        self._known: Statements[bool | None] = Statements(lambda text: None, TEXTS)
        self._looks = 0
        self._left = TURN
        self.done = 0

    async def fetch(self, sql: str, params: Params, *, first: bool) -> list[Row] | None:
        """The rows, or ``None`` if a thread has to read them, which then also says what is wrong."""
        raw = self._raw
        if raw is None or not self._known.get(sql):
            return None
        self._left -= 1
        if self._left:
            await anyio.lowlevel.checkpoint_if_cancelled()
        else:
            self._left = TURN
            await anyio.lowlevel.checkpoint()
        try:
            rows = self._read(raw, sql, params, first=first)
        except (apsw.InterruptError, apsw.TooBigError):
            self._known[sql] = False
            return None
        except (*FAILURES, SqlError):
            return None
        self.done += 1
        return rows

    def are_worth_a_proof(self, sql: str) -> bool:
        """Whether `prove` should look at a text that has been read in a thread."""
        if not self._steps:
            return False
        came_before = sql in self._known
        return self._known[sql] is None and came_before

    def prove(self, raw: apsw.Connection, sql: str, params: Params) -> None:
        """Find out whether a text is a point read; in the thread of a connection that just ran it."""
        self._known[sql] = False
        if not is_point_read(raw, sql, params):
            return
        with self._opening:
            if self._raw is None and not self._closed:
                opened = self._open_one()
                opened.limit(apsw.SQLITE_LIMIT_LENGTH, MOST_BYTES)
                opened.set_progress_handler(self._is_too_long, self._steps)
                self._raw = opened
        self._known[sql] = True

    def close(self) -> None:
        """Close the connection; whatever comes from now on goes to a thread."""
        with self._opening:
            self._closed = True
            raw, self._raw = self._raw, None
        if raw is not None:
            raw.close(True)

    def _read(self, raw: apsw.Connection, sql: str, params: Params, *, first: bool) -> list[Row]:
        self._looks = 0
        cursor = raw.execute(sql, cast("Any", params) or None)
        try:
            names = names_of(cursor)
            rows = (cursor.fetchone(),) if first else cursor
            return [dict(zip(names, row, strict=True)) for row in rows if row]
        finally:
            cursor.close(True)

    def _is_too_long(self) -> bool:
        # A prepared statement's steps are counted on from one run to the next: the first look can
        # come at once, only the second is as many steps later.
        self._looks += 1
        return self._looks > 1


def is_point_read(raw: apsw.Connection, sql: str, params: Params) -> bool:
    """Whether a text finds few rows, by whole keys, and does nothing with them that takes long.

    Raises:
        apsw.Error: It cannot be run at all.
    """
    harmless = True

    def look(action: int, _one: str | None, two: str | None, *_: str | None) -> int:
        nonlocal harmless
        if action == apsw.SQLITE_FUNCTION:
            harmless &= (two or "").lower() in CHEAP
        else:
            harmless &= action in (apsw.SQLITE_SELECT, apsw.SQLITE_READ)
        return apsw.SQLITE_OK

    raw.authorizer = look
    try:
        plan = raw.execute(f"EXPLAIN QUERY PLAN {sql}", cast("Any", params) or None).fetchall()
    finally:
        raw.authorizer = None
    return (
        harmless
        and 0 < len(plan) <= MOST_SEARCHES
        and all(SEARCH.fullmatch(str(step[-1])) for step in plan)
    )
