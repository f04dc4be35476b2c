"""One SQLite connection and the thread that owns it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic, sleep
from typing import Any, TypeVar, cast

import anyio
import apsw

from covet_kernel.contracts import (
    Isolation,
    Params,
    Row,
    SqlConflictError,
    SqlError,
    SqlUnavailableError,
)
from covet_sqlite._config import SqliteConfig
from covet_sqlite._errors import FAILURES, sql_error
from covet_sqlite._open import names_of, only_reads, open_raw, read_schema
from covet_sqlite._worker import Worker

T = TypeVar("T")

STEPS = 20_000
"""Virtual machine steps, well under a millisecond of them, between two looks at the clock."""
CHUNK_ROWS = 128
CHUNK_BYTES = 1 << 20
"""What a stream reads ahead at most, whichever comes first (a single row may be larger)."""

ENDS = re.compile(r"\s*(?:COMMIT|END|ROLLBACK(?!\s+(?:TRANSACTION\s+)?TO\b))\b", re.IGNORECASE)
EMPTY = re.compile(r"(?:[ \t\n\f\r;]|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*", re.DOTALL)


@dataclass
class Counts:
    """What a database has done since it was opened."""

    statements: int = 0
    errors: int = 0
    discarded: int = 0


OVER = "the transaction was over before its block ended: a statement or an error had ended it"


class Stream:
    """A statement whose rows are read in chunks; lives in the connection's thread."""

    __slots__ = ("cursor", "names")

    def __init__(self) -> None:
        self.cursor: apsw.Cursor | None = None
        self.names: tuple[str, ...] = ()

    def chunk(self) -> list[Row]:
        names, rows, size = self.names, [], 0
        for row in self.cursor or ():
            rows.append(dict(zip(names, row, strict=True)))
            size += sum(len(value) for value in row if isinstance(value, (str, bytes)))
            if len(rows) >= CHUNK_ROWS or size >= CHUNK_BYTES:
                break
        return rows

    def close(self) -> None:
        if self.cursor is not None:
            self.cursor.close(True)


class Connection:
    """One connection: the coroutines are for the event loop, what has a ``_`` runs in its thread.

    Only one task may use it at a time; the pool and the session see to that.

    Attributes:
        usable: It was not given up in the middle of something, and is in no transaction.
        clean: Nothing of its last user's is left in it.
    """

    def __init__(
        self, path: str, config: SqliteConfig, counts: Counts, *, reads_only: bool
    ) -> None:
        self._path = path
        self._config = config
        self._counts = counts
        self._reader = reads_only
        self._reads_only = reads_only
        self._raw: apsw.Connection | None = None
        self._text: str | None = None
        self._in_transaction = False
        self._beginning: bool | None = None
        self._failed = False
        self._streams: set[Stream] = set()
        self._busy_since = 0.0
        self._savepoints = 0
        self._worker = Worker("covet-sqlite", self._interrupt, config.cleanup_timeout)

    @property
    def usable(self) -> bool:
        return not (self._worker.lost or self._in_transaction)

    @property
    def clean(self) -> bool:
        return True  # what a statement may set for a connection is the same for all of them

    async def restore(self) -> None:
        pass

    # For the event loop

    async def open(self) -> None:
        """Open the file.

        Raises:
            SqlError: It cannot be opened, is no database, or stays locked.
        """
        try:
            await self._run(self._open)
        except BaseException:
            self.discard()
            raise

    async def close(self) -> None:
        """Close it within the clean-up time; safe in any state."""
        with anyio.move_on_after(self._config.cleanup_timeout, shield=True):
            await self._run(self._close)
        self._worker.end()

    def discard(self) -> None:
        """Close it without waiting, once its thread is free."""
        self._counts.discarded += self._worker.lost or self._in_transaction
        self._worker.post(self._close)
        self._worker.end()

    def abandon(self) -> None:
        """Have whoever still uses it fail, and the thread close it when it is free."""
        self._worker.lost = True
        self._interrupt()
        self.discard()

    async def fetch(self, sql: str, params: Params, *, first: bool = False) -> list[Row]:
        return await self._statement_of(partial(self._fetch, sql, params, first))

    async def run(self, function: Callable[[apsw.Connection], T]) -> T:
        """Call a function in the thread with what the connection is to apsw."""
        return await self._run(lambda: function(self._db))

    async def execute(self, sql: str, params: Params) -> int:
        return await self._statement_of(partial(self._change, sql, (params,)))

    async def execute_rows(self, sql: str, rows: list[Params]) -> int:
        return await self._statement_of(partial(self._change, sql, rows))

    async def open_stream(self, sql: str, params: Params) -> Stream:
        stream = Stream()
        try:
            await self._statement_of(partial(self._open_stream, stream, sql, params))
        except BaseException:
            # Cancelled, it may have been opened all the same: an open cursor would keep its
            # snapshot, and the interrupt would last until it is closed.
            self.close_stream(stream)
            raise
        return stream

    async def read_stream(self, stream: Stream) -> list[Row]:
        return await self._statement_of(partial(self._read_stream, stream))

    def close_stream(self, stream: Stream) -> None:
        """Ends the reading, before whatever is asked of the connection next."""
        self._worker.post(partial(self._close_stream, stream))

    def begin(self, *, read_only: bool, isolation: Isolation | None = None) -> None:
        """Begin a transaction, with the first thing that is asked of it: a trip to the thread less.

        Writers take turns, readers keep their snapshot: that is more than any level of isolation asks.
        """
        self._beginning = read_only

    async def commit(self) -> None:
        """Commit; rolls back and raises if the database refuses."""
        if self._begun():
            await self._finish(self._commit)

    async def roll_back(self) -> None:
        if self._begun():
            await self._finish(self._roll_back)

    def _begun(self) -> bool:
        """Whether anything was asked of the transaction; if not, there is none from now on."""
        # No job runs: the thread does not look at it.
        begun, self._beginning = self._beginning is None, None
        return begun

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part of a transaction that can fail alone."""
        self._savepoints += 1
        name = f"covet_savepoint_{self._savepoints}"
        if self._beginning is not None:
            # To begin may take as long as another process's lock.
            await self._run(self._nothing)
        await self._finish(partial(self._save, name), "08006")
        try:
            yield
            await self._finish(partial(self._release, name), "08006")
        except BaseException:
            # What fails here has ended the transaction, and the block's own error is the one to raise.
            with suppress(SqlError):
                await self._finish(partial(self._roll_back_to, name), "08006")
            raise

    async def _finish(self, function: Callable[[], None], sqlstate: str = "08007") -> None:
        with anyio.move_on_after(self._config.cleanup_timeout, shield=True):
            return await self._run(function)
        self._worker.lost = True
        raise SqlUnavailableError(
            f"the end of the transaction was not answered within {self._config.cleanup_timeout} s",
            sqlstate=sqlstate,
        )

    async def _statement_of(self, function: Callable[[], T]) -> T:
        self._counts.statements += 1
        return await self._run(function)

    async def _run(self, function: Callable[[], T]) -> T:
        if self._worker.lost:
            raise SqlUnavailableError("the connection was given up", sqlstate="08003")
        try:
            return await self._worker.run(
                partial(self._guarded, function), self._config.statement_timeout
            )
        except SqlError:
            self._counts.errors += 1
            raise

    def _interrupt(self) -> None:
        # Safe from any thread; a no-op while no statement runs.
        if (raw := self._raw) is not None:
            with suppress(apsw.ConnectionClosedError):
                raw.interrupt()

    # In the thread

    def _guarded(self, function: Callable[[], T]) -> T:
        try:
            if self._beginning is not None:
                self._begin(self._beginning)
            return function()
        except apsw.InterruptError as error:
            raise SqlError(
                f"the statement ran longer than {self._config.statement_timeout} s, or was interrupted",
                sqlstate="57014",
            ) from error
        except FAILURES as error:
            raise sql_error(error) from error

    @property
    def _db(self) -> apsw.Connection:
        if self._raw is None:
            raise SqlUnavailableError("the connection is closed", sqlstate="08003")
        return self._raw

    def _open(self) -> None:
        raw = self._raw = open_raw(self._path)
        raw.set_busy_handler(self._wait_for_lock)
        raw.set_progress_handler(self._must_stop, STEPS)
        raw.execute(f"PRAGMA synchronous={self._config.synchronous}").fetchall()
        if self._reader:
            only_reads(raw)
        else:
            self._use_wal(raw)
        read_schema(raw)
        raw.exec_trace = self._check

    def _use_wal(self, raw: apsw.Connection) -> None:
        """Turn the write-ahead log on, which the file remembers.

        Two who do that at once would wait for each other, so SQLite has one of them fail without
        asking its busy handler. Trying again is safe.
        """
        until = monotonic() + self._config.busy_timeout
        while True:
            try:
                raw.execute("PRAGMA journal_mode=wal").fetchall()
            except apsw.BusyError:
                job = self._worker.job
                if job is None or job.cancelled or monotonic() >= until:
                    raise
                sleep(0.002)
            else:
                return

    def _close(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            self._drop_streams()
            raw.close(True)

    def _wait_for_lock(self, prior: int) -> bool:
        now = monotonic()
        if not prior:
            self._busy_since = now
        job = self._worker.job
        waited = now - self._busy_since
        if job is None or job.cancelled or waited >= self._config.busy_timeout:
            return False
        sleep(min(0.001 * (1 << min(prior, 5)), self._config.busy_timeout - waited))
        return True

    def _must_stop(self) -> bool:
        job = self._worker.job
        return job is not None and (job.cancelled or monotonic() > job.deadline)

    def _check(self, cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
        # Called once per statement of a text, before it runs. Text behind the first one is either
        # a mistake or an injection: nothing of it, and nothing before it, may happen.
        text, self._text = self._text, None
        if text is not None and len(sql) != len(text) and not EMPTY.fullmatch(text, len(sql)):
            raise SqlError("a text holds one statement, this one more", sqlstate="42601")
        if self._reads_only and not cursor.is_readonly:
            raise SqlError("nothing can be changed in a read-only transaction", sqlstate="25006")
        return True

    def _start(self, sql: str, params: Params) -> apsw.Cursor:
        self._refuse_if_failed()
        if self._in_transaction and ENDS.match(sql):
            raise SqlError(
                "a transaction ends with its block; leave it, by an exception to roll back",
                sqlstate="25001",
            )
        self._text = sql
        try:
            # apsw tells a mapping from a sequence by itself.
            return self._db.execute(sql, cast("Any", params) or None)
        except BaseException:
            # What cannot be prepared is never checked, and the next to be checked is another text.
            self._text = None
            raise

    def _fetch(self, sql: str, params: Params, first: bool) -> list[Row]:
        cursor = None
        try:
            cursor = self._start(sql, params)
            if not (names := names_of(cursor)):
                return []
            if first:
                return [dict(zip(names, row, strict=True)) for row in (cursor.fetchone(),) if row]
            return [dict(zip(names, row, strict=True)) for row in cursor]
        finally:
            if cursor is not None:
                cursor.close(True)
            self._settle()

    def _change(self, sql: str, rows: Iterable[Params]) -> int:
        changed = 0
        try:
            db = self._db
            for params in rows:
                before = db.total_changes()
                cursor = self._start(sql, params)
                for _ in cursor:
                    pass
                # changes() keeps the previous statement's number if this one changed nothing.
                if db.total_changes() != before:
                    changed += db.changes()
            return changed
        finally:
            self._settle()

    def _open_stream(self, stream: Stream, sql: str, params: Params) -> None:
        try:
            stream.cursor = self._start(sql, params)
            stream.names = names_of(stream.cursor)
            self._streams.add(stream)
        finally:
            self._settle()

    def _read_stream(self, stream: Stream) -> list[Row]:
        if stream not in self._streams:
            raise SqlError("the stream is closed", sqlstate="24000")
        try:
            return stream.chunk()
        finally:
            self._settle()

    def _close_stream(self, stream: Stream) -> None:
        self._streams.discard(stream)
        stream.close()

    def _drop_streams(self) -> None:
        while self._streams:
            self._streams.pop().close()

    def _settle(self) -> None:
        # Whether a transaction is open must not be a statement's, nor an error's, doing.
        raw = self._raw
        if raw is None or raw.in_transaction == self._in_transaction:
            return
        if self._in_transaction:
            self._in_transaction = False
            self._failed = True
        else:
            raw.execute("ROLLBACK")
            raise SqlError(
                "a transaction is begun with transaction(), not with SQL", sqlstate="25001"
            )

    def _begin(self, read_only: bool) -> None:
        self._beginning = None
        try:
            self._db.execute("BEGIN" if read_only else "BEGIN IMMEDIATE")
        except apsw.BusyError as error:
            # Not as a conflict of the transaction's own, which it would help to repeat at once.
            self._failed = True
            raise SqlConflictError(str(error), sqlstate="55P03") from error
        except BaseException:
            # What is asked for next is not to run without it.
            self._failed = True
            raise
        self._in_transaction = True
        self._reads_only = read_only or self._reader

    def _nothing(self) -> None:
        pass

    def _commit(self) -> None:
        self._drop_streams()
        if self._failed:
            self._roll_back()
            raise SqlError(OVER, sqlstate="25P02")
        try:
            self._db.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._over()

    def _roll_back(self) -> None:
        self._drop_streams()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._over()

    def _save(self, name: str) -> None:
        self._refuse_if_failed()
        self._db.execute(f"SAVEPOINT {name}")

    def _release(self, name: str) -> None:
        self._refuse_if_failed()
        self._db.execute(f"RELEASE {name}")

    def _roll_back_to(self, name: str) -> None:
        if self._db.in_transaction:
            self._db.execute(f"ROLLBACK TO {name}")
            self._db.execute(f"RELEASE {name}")

    def _refuse_if_failed(self) -> None:
        if self._failed:
            raise SqlError(OVER, sqlstate="25P02")

    def _over(self) -> None:
        self._in_transaction = self._failed = False
        self._reads_only = self._reader
