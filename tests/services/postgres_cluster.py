"""A PostgreSQL primary of the tests' own with servers that follow it, by streaming replication."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, LiteralString

import psycopg
from services.postgres import PostgresServer, skip_without_postgres

SETTINGS = (
    ("wal_level", "replica"),
    ("max_wal_senders", "8"),
    ("max_replication_slots", "8"),
    ("hot_standby", "on"),
    ("wal_retrieve_retry_interval", "50ms"),
    # Otherwise replicas hear of a commit when the log is next written, a fifth of a second later.
    ("synchronous_commit", "on"),
    ("max_standby_streaming_delay", "200ms"),
    ("wal_keep_size", "64MB"),
)
PATIENCE = 60.0
"""Seconds after which something that must happen is taken never to."""


class ReplicaServer(PostgresServer):
    """A server that follows another one, from a copy of its data and with a slot of its own."""

    def __init__(self, primary: PostgresServer, settings: tuple[tuple[str, str], ...] = ()) -> None:
        self._primary = primary
        super().__init__(settings)

    def _fill(self) -> None:
        self._run(self._program("pg_basebackup"), f"--pgdata={self._data}", "--write-recovery-conf", "--no-sync",
                  "--checkpoint=fast", "--wal-method=stream", "--create-slot",
                  f"--slot=covet_{secrets.token_hex(4)}",
                  f"--dbname=host=127.0.0.1 port={self._primary.port} user=postgres")  # fmt: skip

    def pause(self) -> None:
        """Replay nothing more: it falls behind, and still answers."""
        self._tell("SELECT pg_wal_replay_pause()")
        self._until("SELECT pg_get_wal_replay_pause_state() = 'paused'")

    def resume(self) -> None:
        """Go on."""
        self._tell("SELECT pg_wal_replay_resume()")

    def promote(self) -> None:
        """Make it a primary."""
        self._tell("SELECT pg_promote(true, 60)")
        self._until("SELECT NOT pg_is_in_recovery()")

    def catch_up(self) -> None:
        """Return when it has replayed what its primary has written by now."""
        with psycopg.connect(self._primary.url, autocommit=True) as primary:
            row = primary.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
            assert row is not None
        self._until(f"SELECT pg_last_wal_replay_lsn() >= '{row[0]}'")

    def _tell(self, command: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as admin:
            admin.execute(command)

    def _until(self, question: str) -> None:
        limit = time.monotonic() + PATIENCE
        with psycopg.connect(self.url, autocommit=True) as admin:
            while admin.execute(question).fetchone() != (True,):
                if time.monotonic() > limit:
                    raise RuntimeError(f"it stays untrue: {question}")
                time.sleep(0.01)


class Cluster:
    """A primary and its replicas.

    Attributes:
        primary: The server that was started first.
        replicas: Those that follow it.
    """

    def __init__(self, primary: PostgresServer, replicas: list[ReplicaServer]) -> None:
        self.primary = primary
        self.replicas = replicas

    @property
    def config(self) -> dict[str, Any]:
        """The keys of ``[plugins.postgres]`` for it."""
        return {
            "url": self.primary.url,
            "replicas": [f"postgres://127.0.0.1:{each.port}" for each in self.replicas],
        }

    @contextmanager
    def database(self, *statements: LiteralString) -> Iterator[str]:
        """The URL of a database in which these were run, replayed everywhere; one test at a time."""
        url = self.primary.url
        with psycopg.connect(url, autocommit=True) as admin:
            # What the test before has left open would keep its locks.
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            admin.execute("DROP SCHEMA public CASCADE")
            admin.execute("CREATE SCHEMA public")
            for statement in statements:
                admin.execute(statement)
        for each in self.replicas:
            each.catch_up()
        yield url


@contextmanager
def cluster(replicas: int = 1, *settings: tuple[str, str]) -> Iterator[Cluster]:
    """A primary and servers that follow it, for the block. Any of them may be stopped."""
    skip_without_postgres()
    with ExitStack() as stack:
        primary = PostgresServer((*SETTINGS, *settings))
        stack.callback(primary.close)
        primary.start()
        followers = []
        for _ in range(replicas):
            # A replica has no standby of its own to wait for, should it become the primary.
            follower = ReplicaServer(primary, SETTINGS)
            stack.callback(follower.close)
            follower.start()
            followers.append(follower)
        yield Cluster(primary, followers)


def kill(server: PostgresServer) -> None:
    """End a server as a power cut does."""
    server.stop(signal.SIGKILL)
