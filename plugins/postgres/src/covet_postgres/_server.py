"""One server of a cluster, as far as it is known, and the connections that read from it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from math import inf
from typing import Literal, TypeAlias

import anyio
from anyio.abc import TaskGroup

from covet_kernel.contracts import SqlUnavailableError
from covet_postgres._config import PostgresConfig, Replica
from covet_postgres._connect import hosts
from covet_postgres._connection import Connection
from covet_postgres._database import PostgresDatabase
from covet_postgres._link import Link
from covet_postgres._statement import PostgresStatement
from covet_postgres._url import parameters_of_replica
from covet_sql.driver import Statements

Role: TypeAlias = Literal["unknown", "primary", "standby"]


class Server:
    """One server.

    Attributes:
        where: Host and port.
        parameters: libpq's, to connect to it.
        weight: Its share of the reads.
        required: Whether the process is ready only while it can be read from.
        reader: Connections that read from it, if it has a share.
        link: The connection that it is asked over how it is.
        role: What it last said it was.
        problem: Why it is not to be used, ``""`` if it is.
        system: The cluster it belongs to.
        timeline: How often a server of the cluster has been promoted, while it is a primary.
        replayed: As far as it has replayed the primary's log, and no less.
        fresh: When the primary had written no more than that; by the monotonic clock.
        reading: How many reads are under way on it.
        turn: When it is to read again if others are as busy: it grows by the reciprocal of the weight.
        reads: How many reads were run on it.
        failed: How many of them had to be run elsewhere.
        wake: Set it to have the server asked at once.
        seekers: How many calls wait until it has replayed what they have written.
        following: Whether it is being asked for them.
        moved: Set when `replayed` may have changed.
    """

    def __init__(
        self, where: str, parameters: dict[str, str], replica: Replica | None = None
    ) -> None:
        self.where = where
        self.parameters = parameters
        self.weight = 0.0 if replica is None else replica.weight
        self.required = False if replica is None else replica.required
        self.reader: Reader | None = None
        self.link: Link | None = None
        self.role: Role = "unknown"
        self.problem = "it has not answered yet"
        self.system = ""
        self.timeline = 0
        self.replayed = 0
        self.fresh = -inf
        self.reading = 0
        self.turn = 0.0
        self.reads = 0
        self.failed = 0
        self.wake = anyio.Event()
        self.seekers = 0
        self.following = False
        self.moved = anyio.Event()

    @property
    def answers(self) -> bool:
        """Whether it is known to work just now."""
        return not self.problem and self.link is not None and not self.link.lost

    @property
    def follows(self) -> bool:
        """Whether it works as a replica just now, however far behind."""
        return self.role == "standby" and self.answers

    def lost(self, problem: str) -> None:
        """It does not work. When it does again it may have fallen back a little."""
        self.problem = problem
        self.replayed = 0
        self.fresh = -inf
        if self.link is not None:
            self.link.give_up(problem)
            self.link = None
        if self.reader is not None:
            self.reader.give_up(problem)

    def suspect(self, problem: str) -> None:
        """A read has failed on it: it is not used until it has been asked."""
        self.problem = problem
        self.wake.set()


class ReadingConnection(Connection):
    """A connection on which nothing is changed."""

    async def commit(self) -> None:
        # All was read by then: that the end of it was not heard of any more is no error.
        with suppress(SqlUnavailableError):
            await super().commit()


class Reader(PostgresDatabase):
    """The connections that read from one replica. On none of them can anything be changed.

    They are opened when first needed.
    """

    def __init__(
        self,
        config: PostgresConfig,
        tasks: TaskGroup,
        server: Server,
        statements: Statements[PostgresStatement],
    ) -> None:
        super().__init__(config, tasks)
        self._parameters = server.parameters
        self._server = server
        self._statements = statements

    def start(self) -> None:
        """Begin to look after what takes too long."""
        self._tasks.start_soon(self._tend)

    def give_up(self, reason: str) -> None:
        """Have whoever waits for an answer be told, to read elsewhere."""
        for link in tuple(self._links):
            link.give_up(reason, planned=True)

    async def _open_connection(self) -> Connection:
        connection = await super()._open_connection()
        return ReadingConnection(connection.link, self._config, self.counts)

    async def _open(self, settings: dict[str, float | str], limit: float) -> Link:
        if not self._server.follows:
            # To be noticed by a timeout would take longer than reading elsewhere.
            raise SqlUnavailableError(
                f"{self._server.where} is not read from: {self._server.problem or 'it follows nobody'}",
                sqlstate="08001",
            )
        return await super()._open({**settings, "default_transaction_read_only": "on"}, limit)


def servers_of(config: PostgresConfig, main: Mapping[str, str]) -> list[Server]:
    """The servers that the configuration names: the main URL's, and the replicas.

    Args:
        config: Where they are from.
        main: The main URL's parameters.

    Raises:
        ValueError: A URL cannot be used.
    """
    found: dict[str, Server] = {}
    shared = {key: value for key, value in main.items() if key != "target_session_attrs"}
    for host, port in hosts(shared):
        where = f"{host}:{port}"
        found[where] = Server(where, {**shared, "host": host, "port": port})
    if len(found) > 1 and "hostaddr" in main:
        raise ValueError("hostaddr cannot be given in it together with several hosts")
    for number, replica in enumerate(config.replicas, 1):
        try:
            parameters = parameters_of_replica(replica, shared)
        except ValueError as error:
            raise ValueError(f"of the replicas, number {number}: {error}") from None
        [(host, port)] = hosts(parameters)
        where = f"{host}:{port}"
        if where in found and found[where].weight:
            raise ValueError(f"of the replicas, number {number}: {where} is there twice")
        found[where] = Server(where, parameters, replica)
    return list(found.values())
