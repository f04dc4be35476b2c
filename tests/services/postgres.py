"""A PostgreSQL of the tests' own, the one that the environment names, or a newer version than the system's.

It listens on loopback, keeps nothing safe, and ends with the process that started it, however that
ends.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg
from services import embedded_postgres
from services.missing import skipped_without
from services.process import OLD, ServerProcess

VARIABLE = "COVET_TEST_POSTGRES_URL"
"""Names a server to use instead: a superuser's URL, whose databases the tests may create and drop."""

PASSWORD = "open sesame/:@?&é"
"""Of the role ``locked``, the only one that is asked for it; with what a URL has to escape."""

ACCESS = """
local all all trust
host all locked 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 trust
host all all 127.0.0.1/32 trust
"""
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_prepared_transactions": "16",
    "autovacuum": "off",
    "jit": "off",
    "log_min_messages": "fatal",
}


class PostgresMissing(Exception):
    """This machine has no PostgreSQL to start; says what it lacks."""


SYSTEM = "system"
"""The version that the system has."""
NEWEST = embedded_postgres.VERSION
VERSIONS = (SYSTEM, NEWEST)
_version = [SYSTEM]


@contextmanager
def on_version(version: str) -> Iterator[None]:
    """Have tests within the block use a server of one of `VERSIONS`.

    The one that the environment names takes the place of the system's.
    """
    _version.append(version)
    try:
        skip_without_postgres()
        yield
    finally:
        _version.pop()


def programs() -> Path:
    """The folder with ``initdb`` and ``postgres``, of the newest version that the system has."""
    if _version[-1] == NEWEST:
        try:
            return embedded_postgres.programs()
        except embedded_postgres.NotFetchedError as error:
            raise PostgresMissing(str(error)) from error
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    known = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    folders = sorted((path.parent for path in known), key=lambda path: int(path.parent.name))
    if not folders:
        raise PostgresMissing(f"no PostgreSQL is installed, and {VARIABLE} names none")
    return folders[-1]


class PostgresServer(ServerProcess):
    """A server in a temporary folder: SIGINT stops it as an administrator does, SIGQUIT at once.

    Args:
        settings: Of its configuration.
        files: In the folder of its data, readable for it alone; keys, say.
    """

    title = "PostgreSQL"
    prefix = "covet-postgres-"
    user = "postgres"
    politely = signal.SIGINT
    at_once = signal.SIGQUIT

    def __init__(
        self, settings: Sequence[tuple[str, str]] = (), files: Mapping[str, bytes] | None = None
    ) -> None:
        self._programs = programs()
        self._settings = {**SETTINGS, **dict(settings)}
        self._files = files or {}
        super().__init__()
        self._own(self._folder)
        self._fill()

    def is_left(self, folder: Path) -> bool:
        old = time.time() - folder.stat().st_mtime > OLD
        return old and not (folder / "data" / "postmaster.pid").exists()

    def _fill(self) -> None:
        self._run(self._program("initdb"), "--no-sync", "--encoding=UTF8", "--locale=C",
                  "--username=postgres", "--auth=trust", f"--pgdata={self._data}")  # fmt: skip
        (self._data / "pg_hba.conf").write_text(ACCESS)
        for name, data in self._files.items():
            path = self._data / name
            path.touch(0o600)
            path.write_bytes(data)
            self._own(path)

    @property
    def url(self) -> str:
        """Of the superuser, for the database ``postgres``."""
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def _program(self, name: str) -> str:
        return str(self._programs / name)

    def command(self, port: int) -> Sequence[str]:
        settings = {**self._settings, "port": str(port)}
        given = (f"--{name}={value}" for name, value in settings.items())
        return [self._program("postgres"), "-D", str(self._data), *given]

    def answers(self, port: int) -> bool:
        try:
            psycopg.connect(f"postgres://postgres@127.0.0.1:{port}/postgres").close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def own_server(
    *settings: tuple[str, str], files: Mapping[str, bytes] | None = None
) -> Iterator[PostgresServer]:
    """A server for one test alone, which may stop it."""
    skip_without_postgres()
    server = PostgresServer(settings, files)
    try:
        server.start()
        yield server
    finally:
        server.close()


def server_url() -> str:
    """The URL of this process's server, started when first asked for and stopped at the end."""
    return named() or _shared_server(_version[-1])


def named() -> str:
    """The URL of the server that the environment names and the tests are to use, ``""`` if none."""
    return os.environ.get(VARIABLE, "") if _version[-1] == SYSTEM else ""


@cache
def _shared_server(version: str) -> str:
    server = PostgresServer()
    atexit.register(server.close)
    server.start()
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(
            psycopg.sql.SQL("CREATE ROLE locked LOGIN PASSWORD {}").format(
                psycopg.sql.Literal(PASSWORD)
            )
        )
    return server.url


def skip_without_postgres() -> None:
    """Skip the test where there is no PostgreSQL; in CI that is a failure."""
    if named():
        return
    with skipped_without(PostgresMissing):
        programs()


def with_database(url: str, name: str, **parameters: str) -> str:
    """The URL with another database in it, and parameters for libpq."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    query = "&".join(f"{key}={value}" for key, value in parameters.items())
    user, password = parts.get("user", "postgres"), parts.get("password")
    secret = f":{password}" if password else ""
    address = f"{parts.get('host', '127.0.0.1')}:{parts.get('port', 5432)}"
    return f"postgres://{user}{secret}@{address}/{name}{'?' * bool(query)}{query}"


@cache
def _own_database(server: str) -> str:
    name = f"covet_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    atexit.register(_drop, server, name)
    return name


def _drop(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def database() -> Iterator[str]:
    """The URL of an empty database that is this process's own, one test after the other.

    Emptying it takes a twentieth of the time that creating one takes.
    """
    skip_without_postgres()
    server = server_url()
    name = _own_database(server)
    url = with_database(server, name)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("DROP SCHEMA public CASCADE")
        admin.execute("CREATE SCHEMA public")
    yield url
    with psycopg.connect(server, autocommit=True) as admin:
        # What a test has left open would keep its locks.
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )


@contextmanager
def fresh_database() -> Iterator[str]:
    """The URL of an empty database of one's own, for what stays up beside other tests."""
    skip_without_postgres()
    server = server_url()
    name = f"covet_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        yield with_database(server, name)
    finally:
        _drop(server, name)
