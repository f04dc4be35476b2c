"""The one connection that hears notifications for all listeners of a database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import uniform

import anyio
from anyio.abc import TaskGroup

from covet_kernel.contracts import SqlError, SqlUnavailableError
from covet_postgres._copy import quoted
from covet_postgres._link import Link
from covet_postgres._listen import Gap, Heard, Listener, Notification
from covet_sql.driver import error_of

PING = 15.0
"""Seconds without a word after which the server is asked whether it is there."""
FIRST_WAIT = 0.1
LONGEST_WAIT = 5.0
"""Seconds between two attempts to connect again, by chance up to a time that doubles."""


class Entry:
    """A listener, and what it still waits for before its block is entered.

    Attributes:
        missing: Channels that the server has not confirmed.
        entered: It is in its block: from now on it is told of gaps.
    """

    def __init__(self, listener: Listener, channels: set[str]) -> None:
        self.listener = listener
        self.missing = channels
        self.error: SqlError | None = None
        self.entered = False
        self.ready = anyio.Event()

    def confirm(self, channel: str) -> None:
        """The server listens to it."""
        self.missing.discard(channel)
        if not self.missing:
            self.ready.set()

    def fail(self, error: SqlError) -> None:
        """The block cannot be entered."""
        self.error = error
        self.ready.set()


class Listening:
    """Opens the connection with the first listener, and closes it behind the last.

    Args:
        open_one: Opens a connection.
        tasks: Where it is looked after.
    """

    def __init__(self, open_one: Callable[[], Awaitable[Link]], tasks: TaskGroup) -> None:
        self._open_one = open_one
        self._tasks = tasks
        self._channels: dict[str, list[Entry]] = {}
        self._heard: set[str] = set()
        self._changed = anyio.Event()
        self._running = False
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len({id(entry) for entry in self._entries()})

    @property
    def connected(self) -> bool:
        """Whether the server listens to something for them."""
        return bool(self._heard)

    @asynccontextmanager
    async def listen(
        self, channels: tuple[str, ...], buffer: int
    ) -> AsyncIterator[AsyncIterator[Heard]]:
        """A listener, for the block."""
        if self._closed:
            raise SqlUnavailableError("the database is closed", sqlstate="08003")
        entry = Entry(Listener(buffer), set(channels))
        for channel in set(channels):
            self._channels.setdefault(channel, []).append(entry)
            if channel in self._heard:
                entry.confirm(channel)
        try:
            self._look()
            await entry.ready.wait()
            if (error := entry.error) is not None:
                raise error_of(error.sqlstate, str(error)) from error
            entry.entered = True
            yield entry.listener
        finally:
            for channel in set(channels):
                self._channels[channel].remove(entry)
                if not self._channels[channel]:
                    del self._channels[channel]
            self._look()

    def close(self) -> None:
        """End every listener."""
        self._closed = True
        for entry in self._entries():
            entry.listener.end()
            entry.fail(SqlUnavailableError("the database is closed", sqlstate="08003"))
        self._look()

    # For the link

    def notified(self, channel: str, payload: str, pid: int) -> None:
        """The server has sent one."""
        notification = Notification(channel, payload, pid)
        for entry in self._channels.get(channel, ()):
            entry.listener.put(notification)

    def lost(self) -> None:
        """The connection has ended."""
        self._look()

    # Looking after it

    def _entries(self) -> list[Entry]:
        return [entry for entries in self._channels.values() for entry in entries]

    def _look(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
        if self._channels and not self._running and not self._closed:
            self._running = True
            self._tasks.start_soon(self._run)

    async def _run(self) -> None:
        try:
            failures = 0
            while self._channels and not self._closed:
                try:
                    link = await self._open_one()
                except SqlError as error:
                    self._refuse(error)
                else:
                    try:
                        await self._serve(link)
                    except SqlError as error:
                        self._refuse(error)
                        if self._heard:
                            failures = 0
                    finally:
                        self._heard.clear()
                        link.observer = None
                        link.close()
                if not self._channels or self._closed:
                    break
                failures += 1
                longest = min(LONGEST_WAIT, FIRST_WAIT * 2**failures)
                await anyio.sleep(uniform(longest / 2, longest))  # noqa: S311
        finally:
            self._running = False

    def _refuse(self, error: SqlError) -> None:
        for entry in self._entries():
            if not entry.entered:
                entry.fail(error)

    async def _serve(self, link: Link) -> None:
        """Listen until nobody wants to, or the connection is lost."""
        link.observer = self
        while self._channels and not self._closed:
            changed = self._changed
            for channel in self._heard - self._channels.keys():
                self._heard.discard(channel)
                await link.ask(link.run_text(f"UNLISTEN {quoted(channel)}".encode()))
            for channel in self._channels.keys() - self._heard:
                await link.ask(link.run_text(f"LISTEN {quoted(channel)}".encode()))
                self._heard.add(channel)
                for entry in self._channels.get(channel, ()):
                    self._listens(entry, channel)
            with anyio.move_on_after(PING) as silence:
                await changed.wait()
            if silence.cancelled_caught:
                await link.ask(link.run_text(b"SELECT 1"))
            elif link.lost:
                raise link.loss or SqlUnavailableError("the connection was lost", sqlstate="08006")

    def _listens(self, entry: Entry, channel: str) -> None:
        if entry.entered:
            entry.listener.put(Gap("reconnected"))
        else:
            entry.confirm(channel)
