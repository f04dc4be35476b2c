"""The database of a primary and its replicas: which server a statement runs on.

What is proven to only read goes to a replica, everything else to the primary. A read that a replica
cannot answer, whatever the reason, is run again elsewhere, and in the end on the primary.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from covet_kernel.contracts import Isolation, Params, Row, SqlError, SqlUnavailableError
from covet_postgres._config import PostgresConfig
from covet_postgres._connection import Connection
from covet_postgres._database import PostgresDatabase
from covet_postgres._link import Link
from covet_postgres._position import position
from covet_postgres._server import Reader, Server, servers_of
from covet_postgres._session import PostgresSession
from covet_postgres._statement import PostgresStatement
from covet_postgres._watch import Watch
from covet_postgres._written import INSERTED, LoggedConnection, WriteLog, Written
from covet_sql.driver import Pool, value

CANCELED = "57014"
CHANGES = "25006"


class ReplicatedDatabase(PostgresDatabase):
    """The `SqlDatabase` of a primary, which is what it inherits, and of those that follow it.

    Attributes:
        watch: Knows how the servers are.
        missed: How many reads found no replica.
    """

    def __init__(self, config: PostgresConfig, tasks: TaskGroup) -> None:
        super().__init__(config, tasks)
        self._log = WriteLog()
        self.watch = Watch(
            servers_of(config, self._parameters),
            self._loop,
            tasks,
            self._promoted,
            connect_timeout=config.connect_timeout,
            max_lag=config.max_lag,
        )
        self._readers: dict[Server, Reader] = {}
        for server in self.watch.readers:
            reader = Reader(config, tasks, server, self._statements)
            server.reader = self._readers[server] = reader
        self.missed = 0
        # What every read has to see: whatever was there before the first of them, such as the tables,
        # be it this process or another that has just made them.
        self._floor: int | None = None

    @property
    def pools(self) -> list[Pool[Connection]]:
        return [self.pool, *(reader.pool for reader in self._readers.values())]

    async def open(self) -> None:
        self._write_to(await self.watch.open())
        await super().open()
        for reader in self._readers.values():
            reader.start()

    async def close(self) -> None:
        self.watch.close()
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                for reader in self._readers.values():
                    tasks.start_soon(reader.close)
                tasks.start_soon(super().close)

    async def check(self) -> None:
        await super().fetch_all("SELECT 1")

    # Statements

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        statement = self._statements[sql]
        if statement.shared:
            for _ in self._readers:
                if (server := await self._replica()) is None:
                    break
                server.reading += 1
                server.reads += 1
                try:
                    return await self._readers[server].fetch_all(sql, params)
                except SqlError as error:
                    if not self._again(server, statement, error):
                        break
                finally:
                    server.reading -= 1
        return await super().fetch_all(sql, params)

    async def stream(self, sql: str, params: Params = ()) -> AsyncGenerator[Row, None]:
        statement = self._statements[sql]
        tries = len(self._readers) if statement.shared else 0
        while tries and (server := await self._replica()) is not None:
            tries -= 1
            begun = False
            server.reading += 1
            server.reads += 1
            try:
                async with aclosing(self._readers[server].stream(sql, params)) as rows:
                    async for row in rows:
                        begun = True
                        yield row
                return
            except SqlError as error:
                again = self._again(server, statement, error)
                if begun:
                    raise
                if not again:
                    break
            finally:
                server.reading -= 1
        async with aclosing(super().stream(sql, params)) as rows:
            async for row in rows:
                yield row

    @asynccontextmanager
    async def transaction(
        self,
        *,
        read_only: bool = False,
        isolation: Isolation | None = None,
        branch: str | None = None,
    ) -> AsyncIterator[PostgresSession]:
        # A replica has no serializable transactions, and a branch sees what the others of its kind do.
        alone = read_only and branch is None and isolation != "serializable"
        tries = len(self._readers) if alone else 0
        while tries and (server := await self._replica()) is not None:
            tries -= 1
            begun = False
            server.reading += 1
            server.reads += 1
            try:
                async with self._readers[server].transaction(
                    read_only=True, isolation=isolation
                ) as session:
                    begun = True
                    yield session
                return
            except SqlUnavailableError as error:
                server.suspect(str(error))
                if begun:
                    raise
                server.failed += 1
            finally:
                server.reading -= 1
        async with super().transaction(
            read_only=read_only, isolation=isolation, branch=branch
        ) as session:
            yield session

    # Which server

    async def _replica(self) -> Server | None:
        floor = self._floor
        if floor is None:
            floor = await self._found()
        written = self._log.of_call()
        server = self.watch.pick(floor) if written is None else await self._after(written)
        self.missed += server is None
        return server

    async def _found(self) -> int:
        """Where the log ends as the first reads begin. Without a primary they take what there is."""
        try:
            end = position(value(await super().fetch_all(INSERTED)), self._log.block)
        except SqlUnavailableError:
            end = 0
        self._floor = end
        return end

    async def _after(self, written: Written) -> Server | None:
        """A replica that has what the call has written, if one has it soon."""
        if written.unknown:
            try:
                end = value(await super().fetch_all(INSERTED))
            except SqlError:
                return None
            self._log.learned(end)
        if (server := self.watch.pick(written.position)) is not None:
            return server
        # Once for each write: a call of many reads would wait as often where replicas stand still.
        if written.position != written.in_vain and (server := self.watch.pick()) is not None:
            with anyio.move_on_after(self._config.replica_patience):
                if await self.watch.reached(server, written.position):
                    return server
            written.in_vain = written.position
        return None

    def _again(self, server: Server, statement: PostgresStatement, error: SqlError) -> bool:
        """Whether another replica is to be asked, after an error of this one's.

        Raises:
            SqlError: The error, if the statement had all the time it may have.
        """
        if error.sqlstate == CANCELED:
            raise error
        server.failed += 1
        if isinstance(error, SqlUnavailableError):
            server.suspect(str(error))
            return True
        if error.sqlstate == CHANGES:
            statement.shared = False
        # What is wrong with it, or only with a replica, is the primary's to say.
        return False

    # The primary

    def _write_to(self, server: Server) -> None:
        self._parameters = {**server.parameters, "target_session_attrs": "primary"}
        self._log.block = self.watch.block
        self._floor = None

    def _promoted(self, server: Server) -> None:
        self._write_to(server)
        for link in tuple(self._links):
            link.give_up(f"{server.where} is the primary now")

    async def _open(self, settings: dict[str, float | str], limit: float) -> Link:
        primary = self.watch.primary
        try:
            link = await super()._open(settings, limit)
        except SqlUnavailableError:
            if primary is not None:
                primary.wake.set()
            raise
        if primary is not self.watch.primary:
            link.give_up("another server is the primary now", planned=True)
            raise SqlUnavailableError("another server is the primary now", sqlstate="08006")
        return link

    async def _open_connection(self) -> Connection:
        connection = await super()._open_connection()
        return LoggedConnection(connection.link, self._config, self.counts, self._log)

    # What is seen of the replicas

    async def check_replica(self, server: Server) -> None:
        """Fail while a replica is not read from.

        Raises:
            SqlUnavailableError: It is not; says why.
        """
        if not self.watch.usable(server):
            lag = self.watch.lag(server)
            reason = server.problem or (
                f"it is {lag:.1f} s behind" if server.role == "standby" else "it follows nobody"
            )
            raise SqlUnavailableError(
                f"{server.where} is not read from: {reason}", sqlstate="08001"
            )
