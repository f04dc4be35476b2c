"""A coordinator's log: which transactions are to be committed, on the disk before any database is told."""

from __future__ import annotations

from collections.abc import Callable, Collection

import anyio
from anyio import to_thread

from covet_twophase._errors import InDoubtError, UnrecordedError
from covet_twophase._file import LogFile, UnchangedError
from covet_twophase._records import Batch, Content, whole

LARGE = 1 << 20
"""Bytes from which on it is written anew, with what still matters; that is little."""


class Log:
    """The decisions of one coordinator. A transaction that is not here is not to be committed.

    Who decides while another waits for the disk is gathered, and written with all who are.

    Args:
        file: The open file.
        content: What is in it.

    Attributes:
        coordinator: Whose it is.
        decisions: The transactions to be committed that some database may not know of, each with its
            databases.
        doubtful: Those of which it is not known whether the disk has them.
    """

    def __init__(self, file: LogFile, content: Content) -> None:
        self.coordinator = content.coordinator
        self.decisions = content.decisions
        self.doubtful: set[str] = set()
        self._file = file
        self._batch = Batch()
        self._failure: OSError | None = None
        self._large = LARGE
        self._lock = anyio.Lock()
        # Of its own, or calls that fill the shared threads would keep decisions waiting.
        self._thread = anyio.CapacityLimiter(1)

    @property
    def path(self) -> str:
        """Of the file."""
        return str(self._file.path)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._file.size

    @property
    def failure(self) -> OSError | None:
        """Why it cannot be written, while that is so and something is in doubt for it."""
        return self._failure

    async def decide(self, transaction: str, databases: Collection[str]) -> None:
        """Have it on the disk that a transaction is to be committed; not to be cancelled.

        Raises:
            UnrecordedError: It is not there, for sure.
            InDoubtError: It may be there, or not.
        """
        batch = self._batch
        batch.commits[transaction] = tuple(sorted(databases))
        async with self._lock:
            if batch is self._batch:
                self._batch = Batch()
                await self._store(batch)
        if transaction in self.doubtful:
            raise InDoubtError(transaction, batch.failure)
        if batch.failure is not None:
            raise UnrecordedError(batch.failure) from batch.failure

    def told(self, transaction: str, database: str) -> None:
        """A database has ended its part; with the last one the decision may be forgotten."""
        databases = self.decisions.get(transaction)
        if databases is not None:
            databases.discard(database)
            if not databases:
                del self.decisions[transaction]
                # On the disk with the next decision. Should that not come, it is only looked for again.
                self._batch.ends.add(transaction)

    async def repair(self) -> None:
        """Write it anew, without what is in doubt, which from then on is not to be committed.

        Raises:
            OSError: It still cannot be written.
        """
        async with self._lock:
            await self._replaced(whole(self.coordinator, self.decisions))

    async def close(self) -> None:
        """Write down what was forgotten, if that works, and let another process have it."""
        async with self._lock:
            if self._batch.ends and self._failure is None:
                await self._store(self._batch)
            self._file.close()

    def release(self) -> None:
        """Let another process have it, as it is."""
        self._file.close()

    # Writing, with the lock

    async def _store(self, batch: Batch) -> None:
        try:
            if self._failure is not None:
                # What is there is not known: nothing can be put behind it.
                raise UnchangedError(self._failure.errno, self._failure.strerror)
            if self._file.size < self._large or not await self._compacted(batch):
                await self._in_thread(self._file.append, batch.line())
        except UnchangedError as error:
            self._not_stored(batch, error)
        except OSError as error:
            try:
                await self._replaced(whole(self.coordinator, self.decisions))
            except OSError:
                self._failure = error
                self.doubtful |= batch.commits.keys()
            self._not_stored(batch, error)
        else:
            for transaction, databases in batch.commits.items():
                self.decisions[transaction] = set(databases)

    def _not_stored(self, batch: Batch, error: OSError) -> None:
        batch.failure = error
        self._batch.ends |= batch.ends

    async def _compacted(self, batch: Batch) -> bool:
        """Whether the file was written anew, with the batch."""
        data = whole(self.coordinator, {**self.decisions, **batch.commits})
        try:
            await self._in_thread(self._file.replace, data)
        except UnchangedError:
            return False
        self._large = max(LARGE, 4 * len(data))
        return True

    async def _replaced(self, data: bytes) -> None:
        await self._in_thread(self._file.replace, data)
        self._failure = None
        self.doubtful.clear()

    async def _in_thread(self, work: Callable[[bytes], None], data: bytes) -> None:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(work, data, limiter=self._thread)
