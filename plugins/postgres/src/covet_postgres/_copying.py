"""One COPY on a connection that nobody else uses meanwhile.

COPY has no place in a pipeline: the connection leaves that mode for it, and is back in it behind it,
however the COPY ended.
"""

from __future__ import annotations

from time import monotonic
from typing import NoReturn

import anyio
import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from covet_kernel.contracts import SqlError
from covet_postgres._connect import cancel
from covet_postgres._errors import LostError, failure
from covet_postgres._link import Link
from covet_sql.driver import Reply

CHUNK = 1 << 17
"""Bytes handed on at once: enough that what each one costs does not matter, and little to keep."""

FLUSH = 1 << 16
"""Bytes that may wait to be sent: less is not worth a system call."""

COPY_IN, COPY_OUT = ExecStatus.COPY_IN, ExecStatus.COPY_OUT
GIVEN_UP = b"the client gave it up"


class Copying:
    """A COPY from its statement to its end.

    Attributes:
        waiting: It waits for the server.
        over: The connection is back in pipeline mode, or lost.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._raw = link.raw
        self._reply: Reply | None = None
        self._reads = False
        self._sends = False
        self._all_read = False
        self._unsent = 0
        self.waiting = False
        self.over = False

    # For the link

    def ready(self) -> bool:
        """The connection can be read; whether to say so again."""
        if self._reads:
            return False
        self._consume()
        self.wake()
        return not self._link.lost

    def wake(self) -> None:
        """Something was read or written, or the connection has ended."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(None)

    def ended(self) -> None:
        """The connection is about to be closed."""
        self.over = True
        if self._reads:
            anyio.notify_closing(self._link.fd)
        self.wake()

    # For the connection

    async def begin(self, sql: bytes, direction: ExecStatus) -> None:
        """Send the statement, and wait until the server is ready for the data.

        Raises:
            SqlError: It refuses.
        """
        link = self._link
        await link.quiet()
        link.lend(self, sql)
        await self._flush()
        result = await self._result()
        if result is None or result.status not in (COPY_IN, COPY_OUT):
            await self._finish(result)
        if result is None or result.status != direction:
            await self.stop()
            raise SqlError("the statement is not a COPY of this direction", sqlstate="42601")
        if direction == COPY_OUT:
            # Whoever reads slowly keeps the server waiting, and nothing piles up here: so it is read
            # when there is room, and not whenever something is there.
            self._reads = True
            link.loop.unwatch(link.fd)
        else:
            self._sends = True

    async def write(self, data: bytes | memoryview) -> None:
        """Send data; what has not left yet stays small."""
        try:
            self._raw.put_copy_data(data)
        except psycopg.Error:
            await self._refused()
        self._unsent += len(data)
        if self._unsent >= FLUSH:
            self._unsent = 0
            await self._flush()

    async def end(self) -> int:
        """Say that this was all; the number of rows stored."""
        self._sends = False
        try:
            self._raw.put_copy_end()
        except psycopg.Error:
            await self._refused()
        await self._flush()
        return await self._finish()

    async def read(self) -> bytes:
        """The next rows, whole ones; nothing behind the last one."""
        parts: list[memoryview] = []
        size = 0
        looked = False
        while size < CHUNK and not self._all_read:
            try:
                count, data = self._raw.get_copy_data(1)
            except psycopg.Error:
                await self._refused()
            if count > 0:
                parts.append(data)
                size += count
                looked = False
            elif count < 0:
                self._all_read = True
            elif not looked:
                self._consume()
                looked = True
            elif parts:
                break
            else:
                await self._wait()
        if not parts:
            await self._finish()
        return b"".join(parts)

    async def stop(self) -> None:
        """Have the server give it up, from whatever point it is at, and wait until it has.

        Raises:
            Exception: It cannot be told whether it has.
        """
        if self.over:
            return
        if not self._sends or self._link.flush():
            # It is busy with something, or takes nothing more.
            await cancel(self._raw)
        while (result := await self._result()) is not None:
            if result.status == COPY_IN:
                self._raw.put_copy_end(GIVEN_UP)
                await self._flush()
            elif result.status == COPY_OUT:
                await self._skip()
        self._return()

    async def _skip(self) -> None:
        while (count := self._raw.get_copy_data(1)[0]) >= 0:
            if not count:
                await self._wait()

    async def _finish(self, last: PGresult | None = None) -> int:
        while (result := await self._result()) is not None:
            last = result
        self._return()
        if last is None or last.status == ExecStatus.FATAL_ERROR:
            raise SqlError("the COPY ended without a result") if last is None else failure(last)
        return last.command_tuples or 0

    async def _refused(self) -> NoReturn:
        """Raise what the server has said, or what became of the connection."""
        if not self._link.lost:
            await self._finish()
            raise SqlError("the COPY was over before its end", sqlstate="57014")
        raise self._loss()

    def _return(self) -> None:
        self.over = True
        self._link.take_back(watched=not self._reads)

    async def _flush(self) -> None:
        try:
            while self._link.flush():
                await self._wait()
        except psycopg.Error as error:
            self._link.give_up(str(error))
        if self._link.lost:
            raise self._loss()

    async def _result(self) -> PGresult | None:
        while not self._link.lost and self._raw.is_busy():
            await self._wait()
        if self._link.lost:
            raise self._loss()
        return self._raw.get_result()

    def _consume(self) -> None:
        try:
            self._raw.consume_input()
        except psycopg.Error as error:
            self._link.give_up(str(error))

    async def _wait(self) -> None:
        """Until something could be read, or everything was written."""
        link = self._link
        if link.lost:
            raise self._loss()
        link.since = monotonic()
        self.waiting = True
        try:
            if self._reads:
                await anyio.wait_readable(link.fd)
                self._consume()
            else:
                self._reply = link.loop.reply()
                await self._reply
        except anyio.ClosedResourceError:
            pass  # it was given up, as is said below
        finally:
            self.waiting = False
            self._reply = None
        if link.lost:
            raise self._loss()

    def _loss(self) -> LostError:
        return self._link.loss or LostError("the connection has ended", sqlstate="08003")
