"""How the servers of a cluster are: who is the primary, and how far behind it the others are.

Each server is asked once a beat over a connection of its own. The primary says where its log ends; a
replica says how far it has replayed. A replica that has what the primary had written at some moment
is behind by no more than what has passed since: that takes no clock but this process's, and nothing
has to be written for it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from math import inf
from time import monotonic

import anyio
from anyio.abc import TaskGroup
from psycopg.pq.abc import PGresult

from covet_kernel.contracts import SqlError
from covet_postgres._connect import connect
from covet_postgres._errors import LostError
from covet_postgres._link import Counts, Link
from covet_postgres._position import BLOCK, position
from covet_postgres._server import Server
from covet_sql.driver import ConnectError, Loop

log = logging.getLogger("covet.postgres")

ASK = b"""
SELECT pg_is_in_recovery(),
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
        ELSE pg_current_wal_insert_lsn() END,
    CASE WHEN pg_is_in_recovery() THEN NULL
        ELSE pg_walfile_name(pg_current_wal_insert_lsn()) END,
    (SELECT system_identifier FROM pg_control_system()),
    current_setting('wal_block_size')
"""
REPLAYED = "SELECT pg_last_wal_replay_lsn()"
TIMELINE = 8
"""How many digits of the name of a file of the log are its timeline's."""

BEAT = 1.0
"""Seconds from one beat to the next, at most; a fifth of the lag that is allowed, if that is less."""
REST = 0.1
"""The share of a beat that passes before a server is asked again even if there is cause to: while the
primary is lost, to find the promoted one soon."""
LEAST = 0.05
"""Seconds that it is at least, unless the beat itself is shorter."""
PATIENCE = 1.0
"""Seconds without an answer after which a server is asked once more, and then taken to be lost."""
MOMENTS = 1000
"""How many positions of the primary's are remembered."""
FIRST_PAUSE, LAST_PAUSE = 0.001, 0.01
"""Seconds between two questions to a replica that calls wait for."""


class Watch:
    """Knows how the servers are.

    Args:
        servers: All of the cluster that are known, those of the main URL first.
        loop: The running event loop.
        tasks: Where the beats run.
        promoted: Called when another server is the primary.
        connect_timeout: Seconds for connecting to one address.
        max_lag: Seconds that a replica may be behind.

    Attributes:
        primary: The server that is written to.
        timeline: Of the primary; a server of an older one is never written to.
        block: The size of a page of the primary's log.
        failovers: How often another server has become the primary.
    """

    def __init__(
        self,
        servers: list[Server],
        loop: Loop,
        tasks: TaskGroup,
        promoted: Callable[[Server], None],
        *,
        connect_timeout: float,
        max_lag: float,
    ) -> None:
        self._loop = loop
        self._tasks = tasks
        self._promoted = promoted
        self._connect_timeout = connect_timeout
        self._max_lag = max_lag
        self._beat = min(BEAT, max_lag / 5)
        self._rest = max(REST * self._beat, min(LEAST, self._beat))
        self._moments: deque[tuple[float, int]] = deque(maxlen=MOMENTS)
        self._system = ""
        self._closed = False
        self._errors: dict[Server, ConnectError] = {}
        self.servers = servers
        self.readers = [server for server in servers if server.weight]
        self.primary: Server | None = None
        self.timeline = 0
        self.block = BLOCK
        self.failovers = 0

    async def open(self) -> Server:
        """Ask every server once; which one is the primary.

        Raises:
            ConnectError: None is, or one refuses to let this user in, which does not pass by itself.
        """
        await self._ask_all(self.servers)
        errors = [self._errors[server] for server in self.servers if server in self._errors]
        for error in errors:
            if error.kind not in ("unreachable", "refused"):
                raise error
        if self.primary is None:
            for error in errors:
                raise error
            raise ConnectError(
                "refused", self.servers[0].where, "it is in recovery, and so is every other server"
            )
        # How far behind the others are is known from where its log ends.
        await self._ask_all([self.primary])
        await self._ask_all([server for server in self.readers if server.role == "standby"])
        for server in self.servers:
            self._tasks.start_soon(self._keep_asking, server)
        return self.primary

    def close(self) -> None:
        """End the connections, and ask no more."""
        self._closed = True
        for server in self.servers:
            if server.link is not None:
                server.link.close()

    # Choosing

    def pick(self, needed: int = 0) -> Server | None:
        """The replica to read from: of those that may be, the one least busy for its weight.

        Args:
            needed: A position that it has to have replayed.
        """
        best: Server | None = None
        load = turn = inf
        oldest = monotonic() - self._max_lag
        for server in self.readers:
            # Whether it follows, written out: every read asks.
            link = server.link
            if (
                server.fresh < oldest
                or server.replayed < needed
                or server.problem
                or link is None
                or link.lost
                or server.role != "standby"
            ):
                continue
            busy = server.reading / server.weight
            if busy < load or (busy == load and server.turn < turn):
                best, load, turn = server, busy, server.turn
        if best is not None:
            best.turn = turn + 1 / best.weight
        return best

    async def reached(self, server: Server, needed: int) -> bool:
        """Whether the replica has replayed that position; waits until it has, or fails."""
        server.seekers += 1
        try:
            while server.replayed < needed and server.follows:
                moved = server.moved
                if not server.following:
                    server.following = True
                    self._tasks.start_soon(self._follow, server)
                await moved.wait()
        finally:
            server.seekers -= 1
        return server.replayed >= needed and server.follows

    async def _follow(self, server: Server) -> None:
        """Ask a replica how far it is, on behalf of all who wait for that."""
        assert server.reader is not None
        pause = FIRST_PAUSE
        try:
            while server.seekers and server.follows:
                replayed = await server.reader.fetch_value(REPLAYED)
                server.replayed = max(server.replayed, position(replayed or "0/0", self.block))
                self._tell(server)
                await anyio.sleep(pause)
                pause = min(2 * pause, LAST_PAUSE)
        except SqlError as error:
            server.suspect(str(error))
        finally:
            server.following = False
            self._tell(server)

    @staticmethod
    def _tell(server: Server) -> None:
        moved, server.moved = server.moved, anyio.Event()
        moved.set()

    def lag(self, server: Server) -> float:
        """Seconds that a replica may be behind, infinite if that is not known."""
        return max(0.0, monotonic() - server.fresh)

    def usable(self, server: Server) -> bool:
        """Whether reads may go to the server."""
        return server.follows and self.lag(server) <= self._max_lag

    # Asking

    async def _keep_asking(self, server: Server) -> None:
        while not self._closed:
            await anyio.sleep(self._rest)
            primary = self.primary
            if primary is None or primary is server or primary.answers:
                with anyio.move_on_after(self._beat - self._rest):
                    await server.wake.wait()
            server.wake = anyio.Event()
            await self._ask(server)
            self._look_for_the_primary()

    async def _ask_all(self, servers: list[Server]) -> None:
        async with anyio.create_task_group() as tasks:
            for server in servers:
                tasks.start_soon(self._ask, server)
        self._look_for_the_primary()

    async def _ask(self, server: Server) -> None:
        was = server.problem
        try:
            asked, result = await self._answer(server)
        except TimeoutError:
            server.lost(f"no answer within {2 * PATIENCE} s")
        except ConnectError as error:
            self._errors[server] = error
            server.lost(error.reason)
        except LostError as error:
            server.lost(str(error))
        except SqlError as error:
            # It answers, but not what it was asked: it may be becoming the primary just now.
            server.problem = str(error)
        else:
            self._errors.pop(server, None)
            self._heard(server, asked, result)
        if server.problem and server.problem != was:
            log.warning("the PostgreSQL at %s is not used: %s", server.where, server.problem)
            if server is self.primary:
                for other in self.servers:
                    other.wake.set()
        elif was and not server.problem:
            log.info("the PostgreSQL at %s answers, as a %s", server.where, server.role)

    async def _answer(self, server: Server) -> tuple[float, PGresult]:
        """When it was asked, and what it says; asked again if its connection had just ended."""
        if server.link is not None and not server.link.lost:
            # Twice: if it was this process that stood still, the second answer comes at once.
            with suppress(LostError, TimeoutError):
                return await self._asked(server.link)
            if not server.link.lost:
                return await self._asked(server.link)
        raw = await connect(server.parameters, self._connect_timeout)
        if self._closed:
            raw.finish()
            raise LostError("the database is closed", sqlstate="08003")
        server.link = Link(raw, self._loop, Counts(), prepared=0, limit=inf)
        return await self._asked(server.link)

    @staticmethod
    async def _asked(link: Link) -> tuple[float, PGresult]:
        asked = monotonic()
        with anyio.fail_after(PATIENCE):
            return asked, await link.ask(link.run_text(ASK))

    def _heard(self, server: Server, asked: float, result: PGresult) -> None:
        recovering, at, file, system, block = (
            (result.get_value(0, column) or b"").decode() for column in range(5)
        )
        server.system, server.problem = system, ""
        if self._system and system != self._system:
            server.problem = "it belongs to another cluster"
        number = position(at or "0/0", int(block))
        if recovering == "t":
            if server.role == "primary":
                server.replayed, server.fresh = 0, -inf
            server.role = "standby"
            server.replayed = max(server.replayed, number)
            self._freshen(server)
            return
        server.role = "primary"
        server.timeline = int(file[:TIMELINE], 16)
        server.replayed, server.fresh = 0, -inf
        if server.timeline < self.timeline:
            server.problem = "it was the primary, and another has been promoted since"
        elif server is self.primary:
            self._moments.append((asked, number))
            self.block = int(block)

    def _freshen(self, server: Server) -> None:
        for asked, number in reversed(self._moments):
            if number <= server.replayed:
                if server.fresh == -inf:
                    # Who comes back does not get all reads that it has missed.
                    server.turn = max((other.turn for other in self.readers), default=0.0)
                server.fresh = max(server.fresh, asked)
                return

    def _look_for_the_primary(self) -> None:
        if not self._system:
            # The first one that answers, in the order they are named in, says which cluster it is.
            known = [server for server in self.servers if server.system]
            if not known:
                return
            self._system = known[0].system
            for server in known:
                if server.system != self._system:
                    server.problem = "it belongs to another cluster"
        if (found := self._newest()) is None:
            return
        before, self.primary = self.primary, found
        self.timeline = found.timeline
        self._moments.clear()
        if before is not None:
            self.failovers += 1
            log.warning("the PostgreSQL at %s is the primary now", found.where)
            self._promoted(found)
        found.wake.set()

    def _newest(self) -> Server | None:
        """The server that was promoted last, if that was after the known primary was.

        Without a promotion there are two of one timeline only if one is a copy, or has two names.
        """
        found = [server for server in self.servers if server.role == "primary" and server.answers]
        newest = max(found, key=lambda server: server.timeline, default=None)
        return newest if newest is not None and newest.timeline > self.timeline else None
