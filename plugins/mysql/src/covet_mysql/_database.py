"""The database: which connection a statement runs on."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager, aclosing
from time import monotonic
from typing import Any

import anyio
from anyio.abc import TaskGroup

from covet_kernel.contracts import Isolation, Params, Row, SqlError
from covet_mysql._config import MysqlConfig
from covet_mysql._connect import Door, connect
from covet_mysql._connection import Connection
from covet_mysql._link import Counts, Link
from covet_mysql._statement import MysqlStatement
from covet_mysql._url import address_of
from covet_sql.driver import (
    BranchSession,
    BranchTransaction,
    ConnectError,
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


class MysqlSession(BranchSession[Connection]):
    """Every statement on the transaction's connection, for the task that began it."""

    dialect = "mysql"


class MysqlDatabase:
    """The `SqlDatabase` of one database of a MariaDB or MySQL server."""

    def __init__(self, config: MysqlConfig, tasks: TaskGroup) -> None:
        self._config = config
        self._tasks = tasks
        self._door = Door(
            address=address_of(config),
            tls=tls_context(config),
            program=config.application_name,
            timeout=config.connect_timeout,
        )
        self._loop = current_loop(tasks)
        self._statements = Statements(MysqlStatement, TEXTS)
        self._links: set[Link] = set()
        self.counts = Counts()
        self.pool: Pool[Connection] = Pool(
            self._open_connection,
            config.pool_size,
            config.acquire_timeout,
            restore_timeout=config.cleanup_timeout,
            lifetime=config.lifetime,
            idle_timeout=config.idle_timeout,
        )

    @property
    def dialect(self) -> str:
        return "mysql"

    async def open(self) -> None:
        """Open a first connection, so that an unusable database is known at the start."""
        self.pool.give_back(await self.pool.acquire())
        self._tasks.start_soon(self._tend)

    async def close(self) -> None:
        """Let what is under way finish within the clean-up time, and close every connection."""
        with anyio.CancelScope(shield=True):
            await self.pool.close(self._config.cleanup_timeout)
        for link in self._links:
            link.close()

    async def check(self) -> None:
        """Have the server answer.

        Raises:
            SqlError: It does not.
        """
        await self.fetch_value("SELECT 1")

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        async with self.pool.lend() as connection:
            return await connection.fetch(self._statements[sql], params)

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        return first(await self.fetch_all(sql, params))

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        return value(await self.fetch_all(sql, params))

    async def execute(self, sql: str, params: Params = ()) -> int:
        async with self.pool.lend() as connection:
            return await connection.execute(self._statements[sql], params)

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        async with self.transaction() as session:
            return await session.execute_many(sql, rows)

    async def stream(self, sql: str, params: Params = ()) -> AsyncGenerator[Row, None]:
        async with (
            self.pool.lend() as connection,
            aclosing(connection.stream(self._statements[sql], params)) as rows,
        ):
            async for row in rows:
                yield row

    def transaction(
        self,
        *,
        read_only: bool = False,
        isolation: Isolation | None = None,
        branch: str | None = None,
    ) -> AbstractAsyncContextManager[MysqlSession]:
        if branch is not None:
            return BranchTransaction(
                self.pool,
                self._session,
                MysqlSession.end,
                branch,
                read_only=read_only,
                isolation=isolation,
            )
        return Transaction(
            self.pool, self._session, MysqlSession.end, read_only=read_only, isolation=isolation
        )

    def _session(self, connection: Connection) -> MysqlSession:
        return MysqlSession(connection, self._statements, self.pool)

    async def refuses_branches(self) -> str:
        """Nothing has to be set up for them."""
        return ""

    async def prepared(self) -> list[PreparedBranch]:
        """The branches of the whole server that wait for their end, whoever has prepared them."""
        async with self.pool.lend() as connection:
            return [PreparedBranch(name, None) for name in await connection.prepared()]

    async def end_prepared(self, branch: str, *, commit: bool) -> bool:
        """Commit or roll back one of them; whether there was one of that name."""
        check_branch(branch)
        async with self.pool.lend() as connection:
            return await connection.end_prepared(branch, commit=commit)

    # Connections

    async def _open_connection(self) -> Connection:
        config = self._config
        opened = await connect(self._door)
        link = Link(
            opened,
            self._loop,
            self.counts,
            prepared=config.prepared_statements,
            limit=config.statement_timeout + config.cleanup_timeout,
            largest=config.result_bytes,
        )
        connection = Connection(link, config, self._door, self.counts)
        try:
            with anyio.fail_after(config.connect_timeout):
                await connection.set_up()
        except TimeoutError:
            link.give_up("its settings were not answered in time")
            where, reason = str(self._door.address), "its settings were not answered in time"
            raise ConnectError("unreachable", where, reason) from None
        except SqlError as error:
            link.give_up("it could not be set up")
            raise ConnectError("refused", str(self._door.address), str(error)) from None
        except BaseException:
            link.give_up("it was no longer needed", planned=True)
            raise
        self._links.add(link)
        return connection

    async def _tend(self) -> None:
        while True:
            await anyio.sleep(LOOK)
            now = monotonic()
            for link in tuple(self._links):
                if link.overdue(now):
                    link.give_up("the server was silent for too long")
                if link.lost:
                    self._links.discard(link)
            self.pool.prune()


def tls_context(config: MysqlConfig) -> ssl.SSLContext | None:
    """What a server has to prove, ``None`` if nothing.

    Raises:
        ValueError: A file cannot be used; the message says which.
    """
    files = (config.tls_ca, config.tls_certificate, config.tls_key)
    if not config.tls:
        if any(each is not None for each in files):
            raise ValueError("tls_ca, tls_certificate and tls_key need tls = true")
        return None
    if config.tls_certificate is None and config.tls_key is not None:
        raise ValueError("tls_key needs tls_certificate")
    try:
        context = ssl.create_default_context(cafile=config.tls_ca)
        if config.tls_certificate is not None:
            context.load_cert_chain(config.tls_certificate, config.tls_key, password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "they hold no PEM of such"
        raise ValueError(f"tls_ca, tls_certificate or tls_key cannot be used: {reason}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
