"""A PostgreSQL of the tests' own, or the one that the environment names.

It listens on loopback, keeps nothing safe, and ends with the process that started it, however that
ends.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psycopg
import pytest

VARIABLE = "COVET_TEST_POSTGRES_URL"
"""Names a server to use instead: a superuser's URL, whose databases the tests may create and drop."""

PASSWORD = "open sesame/:@?&é"
"""Of the role ``locked``, the only one that is asked for it; with what a URL has to escape."""

PR_SET_PDEATHSIG = 1
PREFIX = "covet-postgres-"

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
    "max_prepared_transactions": "4",
    "autovacuum": "off",
    "jit": "off",
    "log_min_messages": "fatal",
}


class PostgresMissing(Exception):
    """This machine has no PostgreSQL to start; says what it lacks."""


def programs() -> Path:
    """The folder with ``initdb`` and ``postgres``, of the newest version there is."""
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    known = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    folders = sorted((path.parent for path in known), key=lambda path: int(path.parent.name))
    if not folders:
        raise PostgresMissing(f"no PostgreSQL is installed, and {VARIABLE} names none")
    return folders[-1]


def account() -> str | None:
    """Who is to run the server: it refuses to be run by root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def sweep() -> None:
    """Remove what processes that were killed have left, an hour ago or more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            old = time.time() - folder.stat().st_mtime > 3600
            if old and not (folder / "data" / "postmaster.pid").exists():
                shutil.rmtree(folder)


def free_port() -> int:
    """A port nobody listens at; somebody may be faster, so be ready to take another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def end_with_parent() -> None:
    """Have the kernel end the server, whatever becomes of the process that runs the tests."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


class PostgresServer:
    """A server in a temporary folder.

    Args:
        settings: Of its configuration.
        files: In the folder of its data, readable for it alone; keys, say.

    Attributes:
        port: Where it listens, on 127.0.0.1, before and after a restart.
    """

    def __init__(
        self, settings: Sequence[tuple[str, str]] = (), files: Mapping[str, bytes] | None = None
    ) -> None:
        self._programs = programs()
        self._user = account()
        self._settings = {**SETTINGS, **dict(settings)}
        self._files = files or {}
        sweep()
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._data = self._folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._fill()

    def _fill(self) -> None:
        self._run("initdb", "--no-sync", "--encoding=UTF8", "--locale=C", "--username=postgres",
                  "--auth=trust", f"--pgdata={self._data}")  # fmt: skip
        (self._data / "pg_hba.conf").write_text(ACCESS)
        for name, data in self._files.items():
            path = self._data / name
            path.touch(0o600)
            path.write_bytes(data)
            if self._user is not None:
                shutil.chown(path, self._user)

    @property
    def url(self) -> str:
        """Of the superuser, for the database ``postgres``."""
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            user=self._user,
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr}")

    def start(self) -> None:
        """Start it and wait until it answers; again at the same port after a `stop`."""
        for _ in range(5):
            port = self.port or free_port()
            if self._started(port):
                self.port = port
                return
        raise RuntimeError(f"PostgreSQL does not start:\n{self._log()}")

    def _started(self, port: int) -> bool:
        settings = {**self._settings, "port": str(port)}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self._data),
                 *(f"--{name}={value}" for name, value in settings.items())],
                user=self._user,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - it takes no lock
            )  # fmt: skip
        limit = time.monotonic() + 60
        while self._process.poll() is None:
            try:
                psycopg.connect(f"postgres://postgres@127.0.0.1:{port}/postgres").close()
            except psycopg.OperationalError:
                if time.monotonic() > limit:
                    break
                time.sleep(0.02)
            else:
                return True
        self.stop()
        return False

    def _log(self) -> str:
        return (self._folder / "log").read_text("utf-8", "replace")[-4000:]

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT as an administrator does, SIGQUIT at once."""
        if (process := self._process) is None:
            return
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._process = None

    def close(self) -> None:
        """Stop it and remove its folder."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)


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


@cache
def server_url() -> str:
    """The URL of this process's server, started when first asked for and stopped at the end."""
    if url := os.environ.get(VARIABLE):
        return url
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
    if os.environ.get(VARIABLE):
        return
    try:
        programs()
    except PostgresMissing as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def with_database(url: str, name: str, **parameters: str) -> str:
    """The URL with another database in it, and parameters for libpq."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    query = "&".join(f"{key}={value}" for key, value in parameters.items())
    user, password = parts.get("user", "postgres"), parts.get("password")
    secret = f":{password}" if password else ""
    address = f"{parts.get('host', '127.0.0.1')}:{parts.get('port', 5432)}"
    return f"postgres://{user}{secret}@{address}/{name}{'?' * bool(query)}{query}"


@cache
def _own_database() -> str:
    name = f"covet_{secrets.token_hex(6)}"
    with psycopg.connect(server_url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    atexit.register(_drop, name)
    return name


def _drop(name: str) -> None:
    with psycopg.connect(server_url(), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def database() -> Iterator[str]:
    """The URL of an empty database that is this process's own, one test after the other.

    Emptying it takes a twentieth of the time that creating one takes.
    """
    skip_without_postgres()
    name = _own_database()
    url = with_database(server_url(), name)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("DROP SCHEMA public CASCADE")
        admin.execute("CREATE SCHEMA public")
    yield url
    with psycopg.connect(server_url(), autocommit=True) as admin:
        # What a test has left open would keep its locks.
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )


@contextmanager
def fresh_database() -> Iterator[str]:
    """The URL of an empty database of one's own, for what stays up beside other tests."""
    skip_without_postgres()
    name = f"covet_{secrets.token_hex(6)}"
    with psycopg.connect(server_url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        yield with_database(server_url(), name)
    finally:
        _drop(name)
