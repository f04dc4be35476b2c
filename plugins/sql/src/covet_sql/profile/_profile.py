"""What a database's statements cost, by their shape."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from heapq import nsmallest
from time import perf_counter
from typing import Any

import anyio

from covet_sql.profile._entry import Entry
from covet_sql.profile._histogram import BOUNDS, Histogram
from covet_sql.profile._shape import LONGEST, normalised

TEXTS_PER_SHAPE = 4
"""Texts that are remembered, for each shape there may be."""
OTHERS = "(shapes that left to make room)"
LOOKS = 256
STALE = 60.0
"""After so many statements, waits that are older than these seconds are taken to be nobody's."""
ROOM = 1 << 22
"""Characters that remembered texts may have together."""
LONG = 10 * LONGEST
"""Characters of a text that is not remembered, lest a few of them take all the room."""


def _current_task() -> int:
    return anyio.get_current_task().id


class Profile:
    """The numbers of one database's statements.

    Args:
        dialect: Whose texts they are.
        limit: How many shapes are told apart; those that ran least make room, and are added up.
        slow: Seconds from which on a statement is reported as slow.

    Attributes:
        entries: The numbers, by shape.
        others: Those of shapes that made room.
        on_slow: Is told of every slow one: its entry, seconds, seconds waited, rows, and text.
        current_task: Says which task is running; a pool has it quicker than anybody.
        waits: Seconds that tasks have just waited for a connection and when, by the task's id.
    """

    def __init__(self, dialect: str, *, limit: int = 500, slow: float = 0.5) -> None:
        self.dialect = dialect
        self.limit = limit
        self._slow = self._remarkable = slow
        self._on_run: Callable[[Entry, float, str], None] | None = None
        self.entries: dict[str, Entry] = {}
        self.others = Entry(OTHERS)
        self.on_slow: Callable[[Entry, float, float, int, str], None] | None = None
        self.current_task: Callable[[], int] = _current_task
        self.waits: dict[int, tuple[float, float]] = {}
        self._looks = 0
        self._texts: dict[str, Entry] = {}
        self._size = 0

    @property
    def slow(self) -> float:
        """Seconds from which on a statement is reported as slow."""
        return self._slow

    @slow.setter
    def slow(self, seconds: float) -> None:
        self._slow = seconds
        self.on_run = self._on_run

    @property
    def on_run(self) -> Callable[[Entry, float, str], None] | None:
        """Is told of every statement: its entry, seconds, and text. For recordings."""
        return self._on_run

    @on_run.setter
    def on_run(self, function: Callable[[Entry, float, str], None] | None) -> None:
        self._on_run = function
        self._remarkable = self._slow if function is None else 0.0

    def resize(self, limit: int) -> None:
        """Tell so many shapes apart from now on."""
        self.limit = limit
        while len(self.entries) > limit:
            self._make_room()

    def entry(self, text: str) -> Entry:
        """The numbers of a text's shape."""
        return self._texts.get(text) or self._entry(text)

    def ran(self, text: str, begun: float, rows: int) -> None:
        """A statement has run.

        Args:
            text: The statement.
            begun: When, by ``time.perf_counter``.
            rows: How many it fetched or changed.
        """
        # On the path of every statement: no calls that can be done without.
        seconds = perf_counter() - begun
        try:
            entry = self._texts[text]
        except KeyError:
            entry = self._entry(text)
        entry.count += 1
        entry.rows += rows
        entry.seconds += seconds
        if seconds > entry.slowest:
            entry.slowest = seconds
        entry.counts[bisect_right(BOUNDS, seconds)] += 1
        if seconds >= self._remarkable or self.waits:
            self._remark(entry, text, seconds, rows)

    def failed(self, text: str, begun: float, error: BaseException) -> None:
        """A statement has failed, or its caller was cancelled."""
        self.ran(text, begun, 0)
        entry = self.entry(text)
        if isinstance(error, Exception):
            entry.errors += 1
        else:
            entry.cancelled += 1

    def waited(self, seconds: float) -> None:
        """The calling task has waited for a connection, for the statement it is about to run."""
        task = self.current_task()
        before, _ = self.waits.get(task, (0.0, 0.0))
        self.waits[task] = before + seconds, perf_counter()

    def _remark(self, entry: Entry, text: str, seconds: float, rows: int) -> None:
        waited = 0.0
        if self.waits:
            waited, _ = self.waits.pop(self.current_task(), (0.0, 0.0))
            if waited:
                entry.waits += 1
                entry.waited += waited
            self._looks += 1
            if self._looks >= LOOKS:
                self._forget_waits()
        if self._on_run is not None:
            self._on_run(entry, seconds, text)
        if seconds >= self._slow and self.on_slow is not None:
            self.on_slow(entry, seconds, waited, rows, text)

    def _forget_waits(self) -> None:
        # Of tasks that ran something past the profile, such as a health check.
        self._looks = 0
        before = perf_counter() - STALE
        for task in [task for task, (_, at) in self.waits.items() if at < before]:
            del self.waits[task]

    def _entry(self, text: str) -> Entry:
        shape = normalised(text, self.dialect)
        entry = self.entries.get(shape)
        if entry is None:
            if len(self.entries) >= self.limit:
                self._make_room()
            entry = self.entries[shape] = Entry(shape)
        if len(text) <= LONG:
            self._size += len(text)
            if self._size > ROOM or len(self._texts) >= TEXTS_PER_SHAPE * self.limit:
                # Texts that are put together from values would push out all others one by one.
                self._forget_texts()
                self._size = len(text)
            self._texts[text] = entry
        return entry

    def _forget_texts(self) -> None:
        self._texts.clear()
        self._size = 0

    def _make_room(self) -> None:
        # A tenth at once, so that looking for them is paid for rarely.
        leaving = nsmallest(
            max(1, self.limit // 10), self.entries.values(), key=lambda entry: entry.count
        )
        for entry in leaving:
            self.others.merge(entry)
            del self.entries[entry.shape]
        self._forget_texts()

    def all(self) -> Iterable[Entry]:
        """Every entry; those that made room last, as one."""
        yield from list(self.entries.values())
        if self.others.count:
            yield self.others

    def latency(self) -> Histogram:
        """How long all statements took."""
        return Histogram(map(sum, zip(*(entry.counts for entry in self.all()), strict=True)))

    def total(self, name: str) -> float:
        """The sum of one attribute of all entries."""
        return float(sum(getattr(entry, name) for entry in self.all()))

    def report(self) -> list[dict[str, Any]]:
        """Everything as plain data, what took the most time first."""
        return [
            entry.report()
            for entry in sorted(self.all(), key=lambda entry: entry.seconds, reverse=True)
        ]
