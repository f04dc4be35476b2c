"""The database: which connection a statement runs on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, aclosing
from time import monotonic
from typing import Any

import anyio
from anyio.abc import TaskGroup

from covet_kernel.contracts import Isolation, Params, Row, SqlError
from covet_postgres._config import PostgresConfig
from covet_postgres._connect import connect
from covet_postgres._connection import Connection
from covet_postgres._lane import Lane, RunElsewhereError
from covet_postgres._link import Counts, Link
from covet_postgres._listen import Heard
from covet_postgres._listening import Listening
from covet_postgres._session import PostgresSession
from covet_postgres._statement import PostgresStatement
from covet_postgres._types import Types
from covet_postgres._url import parameters_of
from covet_sql.driver import (
    BranchTransaction,
    Pool,
    PreparedBranch,
    Statements,
    Transaction,
    check_branch,
    current_loop,
    first,
    value,
)

TEXTS = 1000
"""Texts of statements that are remembered."""
LOOK = 0.5
"""Seconds between two looks at what takes too long."""
MOST = "SELECT current_setting('max_prepared_transactions') AS most"
WAITING = (
    "SELECT gid, CAST(extract(epoch FROM clock_timestamp() - prepared) AS float8) AS age"
    " FROM pg_prepared_xacts WHERE database = current_database()"
)


class PostgresDatabase:
    """The `SqlDatabase` of one PostgreSQL database.

    Short reads share a few connections; everything else takes one of the pool's.
    """

    def __init__(self, config: PostgresConfig, tasks: TaskGroup) -> None:
        self._config = config
        self._tasks = tasks
        self._parameters = parameters_of(config)
        self._loop = current_loop(tasks)
        self._statements = Statements(PostgresStatement, TEXTS)
        self._links: set[Link] = set()
        self._types = Types()
        self.counts = Counts()
        self.pool: Pool[Connection] = Pool(
            self._open_connection,
            config.pool_size,
            config.acquire_timeout,
            restore_timeout=config.cleanup_timeout,
            lifetime=config.lifetime,
            idle_timeout=config.idle_timeout,
        )
        self.lane = Lane(
            self._open_shared,
            self._loop,
            tasks,
            self.counts,
            size=0 if config.pgbouncer else config.lane_size,
            depth=config.lane_depth,
        )

        self.listening = Listening(self._open_unshared, tasks)

    @property
    def dialect(self) -> str:
        return "postgresql"

    @property
    def pools(self) -> list[Pool[Connection]]:
        """Where statements wait for a connection."""
        return [self.pool]

    async def open(self) -> None:
        """Open a first connection, so that an unusable database is known at the start."""
        await self.lane.open()
        if not self.lane.links:
            self.pool.give_back(await self.pool.acquire())
        self._tasks.start_soon(self._tend)

    async def close(self) -> None:
        """Let what is under way finish within the clean-up time, and close every connection."""
        self.listening.close()
        with anyio.move_on_after(self._config.cleanup_timeout, shield=True):
            await self.lane.close()
        with anyio.CancelScope(shield=True):
            await self.pool.close(self._config.cleanup_timeout)
        self.lane.abandon()
        for link in self._links:
            link.close()

    async def check(self) -> None:
        """Have the server answer.

        Raises:
            SqlError: It does not.
        """
        await self.fetch_value("SELECT 1")

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        statement = self._statements[sql]
        if statement.shared and (not statement.long_until or statement.long_until < monotonic()):
            try:
                prepared, result = await self.lane.fetch(statement, params)
            except RunElsewhereError:
                self.counts.repeated += 1
            else:
                return prepared.rows(result)
        statement.check()
        async with self.pool.lend() as connection:
            return await connection.fetch(statement, params)

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        return first(await self.fetch_all(sql, params))

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        return value(await self.fetch_all(sql, params))

    async def execute(self, sql: str, params: Params = ()) -> int:
        statement = self._statements[sql]
        statement.check()
        async with self.pool.lend() as connection:
            return await connection.execute(statement, params)

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        async with self.transaction() as session:
            return await session.execute_many(sql, rows)

    async def stream(self, sql: str, params: Params = ()) -> AsyncGenerator[Row, None]:
        statement = self._statements[sql]
        statement.check()
        async with (
            Transaction(self.pool, _itself, _itself) as connection,
            aclosing(connection.stream(statement, params)) as rows,
        ):
            async for row in rows:
                yield row

    async def copy_in(self, sql: str, chunks: AsyncIterable[bytes | memoryview]) -> int:
        """Store what the chunks have, by a ``COPY ... FROM STDIN``; the number of rows."""
        self._statements[sql].check_copies("in")
        async with self.transaction() as session:
            return await session.copy_in(sql, chunks)

    async def copy_out(self, sql: str) -> AsyncGenerator[bytes, None]:
        """What a ``COPY ... TO STDOUT`` gives, in chunks of whole rows."""
        statement = self._statements[sql]
        statement.check_copies("out")
        async with (
            Transaction(self.pool, _itself, _itself) as connection,
            aclosing(connection.copy_out(statement)) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    async def column_types(self, query: str) -> tuple[list[int], Types]:
        """The types of a query's columns, and what is known of them."""
        async with self.pool.lend() as connection:
            return await connection.column_types(query)

    def transaction(
        self,
        *,
        read_only: bool = False,
        isolation: Isolation | None = None,
        branch: str | None = None,
    ) -> AbstractAsyncContextManager[PostgresSession]:
        if branch is not None:
            return BranchTransaction(
                self.pool,
                self._session,
                PostgresSession.end,
                branch,
                read_only=read_only,
                isolation=isolation,
            )
        return Transaction(
            self.pool, self._session, PostgresSession.end, read_only=read_only, isolation=isolation
        )

    def _session(self, connection: Connection) -> PostgresSession:
        return PostgresSession(connection, self._statements, self.pool)

    async def refuses_branches(self) -> str:
        """Why the server prepares nothing; empty if it does."""
        async with self.pool.lend() as connection:
            most = first(await connection.fetch(self._statements[MOST], ()))
        return "" if most != {"most": "0"} else "max_prepared_transactions is 0"

    async def prepared(self) -> list[PreparedBranch]:
        """The branches of this database that wait for their end, whoever has prepared them."""
        async with self.pool.lend() as connection:
            rows = await connection.fetch(self._statements[WAITING], ())
        return [PreparedBranch(row["gid"], row["age"]) for row in rows]

    async def end_prepared(self, branch: str, *, commit: bool) -> bool:
        """Commit or roll back one of them; whether there was one of that name."""
        check_branch(branch)
        async with self.pool.lend() as connection:
            return await connection.end_prepared(branch, commit=commit)

    def listen(
        self, channels: tuple[str, ...], buffer: int
    ) -> AbstractAsyncContextManager[AsyncIterator[Heard]]:
        """What is sent to the channels, for a block."""
        if self._config.pgbouncer:
            raise SqlError(
                "a pooler per transaction forgets who listens: connect to the server itself",
                sqlstate="0A000",
            )
        return self.listening.listen(channels, buffer)

    # Connections

    async def _open_connection(self) -> Connection:
        return Connection(await self._open_unshared(), self._config, self.counts)

    async def _open_unshared(self) -> Link:
        config = self._config
        return await self._open(
            {"statement_timeout": config.statement_timeout},
            config.statement_timeout + config.cleanup_timeout,
        )

    async def _open_shared(self) -> Link:
        config = self._config
        link = await self._open(
            {"statement_timeout": config.lane_patience, "lock_timeout": config.lane_patience},
            config.lane_patience + config.cleanup_timeout,
        )
        try:
            # Not before it is open: target_session_attrs would find the session read-only.
            await link.ask(link.run_text(b"SET default_transaction_read_only = on"))
        except BaseException:
            link.close()
            raise
        return link

    async def _open(self, settings: dict[str, float | str], limit: float) -> Link:
        parameters = dict(self._parameters)
        if not self._config.pgbouncer:
            own = {
                "datestyle": "ISO",
                "intervalstyle": "postgres",
                "timezone": "UTC",
                "standard_conforming_strings": "on",
                **{
                    name: each if isinstance(each, str) else str(max(1, int(1000 * each)))
                    for name, each in settings.items()
                },
            }
            options = " ".join(f"-c {name}={each}" for name, each in own.items())
            parameters["options"] = f"{parameters.get('options', '')} {options}".strip()
        raw = await connect(parameters, self._config.connect_timeout)
        link = Link(
            raw,
            self._loop,
            self.counts,
            prepared=self._config.prepared_statements,
            limit=limit,
            types=self._types,
        )
        self._links.add(link)
        return link

    async def _tend(self) -> None:
        lifetime = self._config.lifetime
        while True:
            await anyio.sleep(LOOK)
            now = monotonic()
            for link in tuple(self._links):
                if link.overdue(now):
                    link.give_up("the server was silent for too long")
                if link.lost:
                    self._links.discard(link)
            for link in self.lane.links:
                if now - link.opened > lifetime:
                    self.lane.retire(link)
            self.lane.tend()
            self.pool.prune()


def _itself(connection: Connection) -> Connection:
    return connection
