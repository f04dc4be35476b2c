"""Connections that the short reads of all tasks share.

A read is sent at once, behind those of others, and its reply awaited; few connections serve many
tasks, and many replies come with one wake-up. They are read-only, and give each read a fraction of a
second: what takes longer, waits for a lock, or turns out to change something has changed nothing by
then, and is run again on a connection of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic

from anyio.abc import TaskGroup
from psycopg.pq.abc import PGresult

from covet_kernel.contracts import Params, SqlError
from covet_postgres._errors import LostError, StaleError
from covet_postgres._link import Counts, Link
from covet_postgres._prepared import Prepared
from covet_postgres._statement import PostgresStatement
from covet_sql.driver import Loop, Reply

STUCK = 0.05
"""Seconds without a reply after which further reads keep away from a connection."""
CROWDED = 4
"""How many reads under way on each make another connection worth opening."""
PAUSE = 1.0
"""Seconds before opening one is tried again."""

TOOK_LONG = frozenset(("57014", "55P03"))
CHANGES = "25006"


class RunElsewhereError(Exception):
    """The read has to be run on a connection of its own."""


class Lane:
    """Up to ``size`` connections with up to ``depth`` reads under way on each.

    Attributes:
        links: The connections.
        waiting: Calls that wait for their turn.
    """

    def __init__(
        self,
        open_one: Callable[[], Awaitable[Link]],
        loop: Loop,
        tasks: TaskGroup,
        counts: Counts,
        *,
        size: int,
        depth: int,
    ) -> None:
        self._open_one = open_one
        self._loop = loop
        self._tasks = tasks
        self._counts = counts
        self._size = size
        self._depth = depth
        self._opening = 0
        self._not_before = 0.0
        self._closed = False
        self.links: list[Link] = []
        self.waiting: deque[Reply] = deque()

    async def open(self) -> None:
        """Open the first connection."""
        if self._size:
            self.links.append(await self._open_one())

    async def fetch(
        self, statement: PostgresStatement, params: Params
    ) -> tuple[Prepared, PGresult]:
        """The result of a read, and what can load its rows.

        Raises:
            RunElsewhereError: It cannot be had here.
            SqlError: The server refuses it.
        """
        values = statement.values(params)
        link = self._pick()
        while link is None:
            if not self.waiting_helps:
                raise RunElsewhereError
            await self._turn()
            link = self._pick()
        sent = monotonic()
        try:
            prepared = link.known(statement.text) or await self._prepared(link, statement)
            prepared.check_names()
            result = await link.ask(link.run(prepared, prepared.values(values)))
        except LostError:
            raise RunElsewhereError from None
        except StaleError:
            link.forget(statement.text)
            raise RunElsewhereError from None
        except SqlError as error:
            if error.sqlstate in TOOK_LONG:
                statement.took_long()
                link.clogged = True
            elif error.sqlstate == CHANGES:
                statement.shared = False
            else:
                raise
            raise RunElsewhereError from None
        except BaseException:
            if monotonic() - sent > STUCK:
                statement.took_long()
                link.clogged = True
            raise
        finally:
            if self.waiting:
                self._next()
        return prepared, result

    async def _prepared(self, link: Link, statement: PostgresStatement) -> Prepared:
        # Those who wait for the same description will send all at once.
        link.coming += 1
        try:
            return await link.prepared(statement)
        finally:
            link.coming -= 1

    def _pick(self) -> Link | None:
        best, least, now = None, self._depth, 0.0
        for link in self.links:
            depth = link.depth + link.coming
            if link.clogged:
                if depth:
                    continue
                link.clogged = False
            if not depth:
                if link.lost:
                    continue
                best, least = link, 0
                break
            if depth < least:
                now = now or monotonic()
                if now - link.since < STUCK:
                    best, least = link, depth
        if (least >= CROWDED or best is None) and len(self.links) + self._opening < self._size:
            self._grow()
        return best

    @property
    def waiting_helps(self) -> bool:
        """Whether some connection is merely full, rather than stuck."""
        now = monotonic()
        return any(
            link.depth + link.coming >= self._depth
            and not link.clogged
            and now - link.since < STUCK
            for link in self.links
        )

    def _grow(self) -> None:
        if not self._closed and monotonic() >= self._not_before:
            self._opening += 1
            self._tasks.start_soon(self._add)

    async def _add(self) -> None:
        try:
            link = await self._open_one()
            if self._closed:
                link.close()
            else:
                self.links.append(link)
        except SqlError:
            # Whoever needs a connection meanwhile takes one of the pool's, and is told why not.
            self._not_before = monotonic() + PAUSE
        finally:
            self._opening -= 1
            self._next()

    async def _turn(self) -> None:
        reply = self._loop.reply()
        self.waiting.append(reply)
        try:
            await reply
        except BaseException:
            self._next()
            raise

    def _next(self) -> None:
        while self.waiting:
            reply = self.waiting.popleft()
            if not reply.done():
                reply.set_result(None)
                return

    def tend(self) -> None:
        """Forget connections that have ended, or work for nobody; whoever waits looks anew."""
        for link in self.links:
            if link.clogged and link.deserted:
                link.give_up("it runs long reads that nobody waits for", planned=True)
        self.links = [link for link in self.links if not link.lost]
        for _ in range(len(self.waiting)):
            self._next()

    def retire(self, link: Link) -> None:
        """Close a connection that is old, if nothing is under way on it."""
        if not link.depth:
            link.close()

    async def close(self) -> None:
        """Let reads under way finish, and close."""
        self._closed = True
        for link in self.links:
            await link.quiet()

    def abandon(self) -> None:
        """Close at once."""
        self._closed = True
        for link in self.links:
            link.close()
        self.tend()
