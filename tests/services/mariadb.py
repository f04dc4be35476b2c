"""A MariaDB of the tests' own, or the one that the environment names.

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql
import pytest
import trustme
from services.missing import skipped_without
from services.process import OLD, ServerProcess

VARIABLE = "COVET_TEST_MYSQL_URL"
"""Names a server to use instead: an administrator's URL, whose databases the tests may create and drop."""

PATIENCE = 60
"""How many seconds a server may take to end what it was told to end."""

PASSWORD = "open sesame/:@?&é"
"""Of the users ``locked``, ``edward`` and ``secure``; with what a URL has to escape."""

SETTINGS = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "ON",
    "max-connections": "60",
    "thread-stack": "256K",
    "character-set-server": "utf8mb4",
    "collation-server": "utf8mb4_bin",
    "performance-schema": "OFF",
    "skip-log-bin": "ON",
    "innodb-buffer-pool-size": "16M",
    "innodb-log-file-size": "4M",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-doublewrite": "OFF",
    "innodb-fast-shutdown": "3",
    "plugin-load-add": "auth_ed25519",
}
ACCOUNTS = (
    "CREATE USER locked IDENTIFIED VIA mysql_native_password USING PASSWORD(%s)",
    "CREATE USER edward IDENTIFIED VIA ed25519 USING PASSWORD(%s)",
    "CREATE USER secure IDENTIFIED BY %s REQUIRE SSL",
)


class MariaDbMissing(Exception):
    """This machine has no MariaDB to start; says what it lacks."""


def program(name: str) -> str:
    """The path of one of the server's programs."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise MariaDbMissing(f"no {name} is installed, and {VARIABLE} names no server")
    return found


class MariaDbServer(ServerProcess):
    """A server in a temporary folder, which offers TLS.

    Attributes:
        authority: The file with the certificate of who has signed the server's, for 127.0.0.1.
        socket: The path of its socket in the file system.
    """

    title = "MariaDB"
    prefix = "covet-mariadb-"
    user = "mysql"
    politely = signal.SIGTERM
    at_once = signal.SIGKILL

    def __init__(self, settings: Sequence[tuple[str, str]] = ()) -> None:
        self._program = program("mariadbd")
        super().__init__()
        self._folder.chmod(0o755)
        # A server that starts sweeps away what others have in the folder for what is temporary.
        self._places = (f"--datadir={self._data}", f"--tmpdir={self._folder}")
        self.authority = self._folder / "authority.pem"
        self.socket = self._folder / "socket"
        self._settings = {**SETTINGS, **self._certified(), **dict(settings)}
        (self._folder / "log").touch()
        self._own(self._folder, *self._folder.iterdir())
        self._run(program("mariadb-install-db"), "--no-defaults", *self._places,
                  "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
                  f"--innodb-log-file-size={SETTINGS['innodb-log-file-size']}")  # fmt: skip

    def is_left(self, folder: Path) -> bool:
        return time.time() - (folder / "log").stat().st_mtime > OLD

    @property
    def url(self) -> str:
        """Of the administrator, without a database."""
        return f"mysql://root@127.0.0.1:{self.port}/"

    def _certified(self) -> dict[str, str]:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.authority))
        certificate = authority.issue_cert("127.0.0.1")
        chain, key = self._folder / "chain.pem", self._folder / "key.pem"
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(str(chain), append=True)
        certificate.private_key_pem.write_to_path(str(key))
        return {"ssl-cert": str(chain), "ssl-key": str(key)}

    def command(self, port: int) -> Sequence[str]:
        settings = {**self._settings, "port": str(port), "socket": str(self.socket)}
        given = (f"--{name}={value}" for name, value in settings.items())
        return [self._program, "--no-defaults", *self._places, *given]

    def answers(self, port: int) -> bool:
        try:
            connect(f"mysql://root@127.0.0.1:{port}/").close()
        except pymysql.MySQLError:
            return False
        return True


def connect(url: str, **options: Any) -> pymysql.Connection[Any]:
    """A client that is not covet's, for what tests prepare and look up; it commits by itself."""
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        database=parts.path.strip("/") or None,
        autocommit=True,
        **options,
    )


def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last of some statements, run by that client."""
    with connect(url) as client, client.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return [*cursor.fetchall()]


def kill_all(url: str, *, query: bool = False) -> int:
    """End every connection to the URL's database, or what they run; how many there were."""
    name = urlsplit(url).path.strip("/")
    base = url[: url.rindex("/") + 1]
    with connect(base) as client, client.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
        found = [row[0] for row in cursor.fetchall()]
        for each in found:
            with suppress(pymysql.MySQLError):
                cursor.execute("KILL QUERY %s" if query else "KILL %s", (each,))
    return len(found)


def release(url: str) -> None:
    """End what holds locks in the URL's database: its connections, and what they have prepared.

    A connection that is killed goes on until the server looks, and may prepare a branch meanwhile;
    a branch that is prepared outlives it, and keeps its locks from ``DROP DATABASE`` for ever.
    """
    base = url[: url.rindex("/") + 1]
    until = time.monotonic() + PATIENCE
    while kill_all(url) or not _rolled_back(base):
        assert time.monotonic() < until, (
            f"{run(base, 'SHOW PROCESSLIST')} {run(base, 'XA RECOVER')}"
        )
        time.sleep(0.01)


def _rolled_back(base: str) -> bool:
    """Have no branch prepared any more, unless the connection that prepared it still has it."""
    with connect(base) as client, client.cursor() as cursor:
        cursor.execute("XA RECOVER FORMAT='SQL'")
        for row in cursor.fetchall():
            with suppress(pymysql.MySQLError):
                cursor.execute(f"XA ROLLBACK {row[3]}")
        cursor.execute("XA RECOVER")
        return not cursor.fetchall()


@contextmanager
def own_server(*settings: tuple[str, str]) -> Iterator[MariaDbServer]:
    """A server for one test alone, which may stop it."""
    skip_without_mariadb()
    server = MariaDbServer(settings)
    try:
        server.start()
        yield server
    finally:
        server.close()


@cache
def shared_server() -> MariaDbServer:
    """This process's server, started when first asked for and stopped at the end."""
    server = MariaDbServer()
    atexit.register(server.close)
    server.start()
    with connect(server.url) as admin, admin.cursor() as cursor:
        for statement in ACCOUNTS:
            cursor.execute(statement, (PASSWORD,))
        for name in ("locked", "edward", "secure"):
            cursor.execute(f"GRANT ALL ON *.* TO {name}")
    return server


def server_url() -> str:
    """The administrator's URL of this process's server, or of the one that the environment names."""
    return os.environ.get(VARIABLE) or shared_server().url


def skip_without_mariadb() -> None:
    """Skip the test where there is no MariaDB; in CI that is a failure."""
    if os.environ.get(VARIABLE):
        return
    with skipped_without(MariaDbMissing):
        program("mariadbd")
        program("mariadb-install-db")


def own_shared_server() -> MariaDbServer:
    """`shared_server`, for tests that need its accounts or certificate; skipped on another's."""
    skip_without_mariadb()
    if os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} names a server whose accounts and certificate are not the tests'")
    return shared_server()


def with_database(url: str, name: str) -> str:
    """The URL with a database in it."""
    parts = urlsplit(url)
    return parts._replace(path=f"/{name}").geturl()


@cache
def _own_database() -> str:
    name = f"covet_{secrets.token_hex(6)}"
    atexit.register(_drop, name)
    return name


def _drop(name: str) -> None:
    with suppress(pymysql.MySQLError):
        run(server_url(), f"DROP DATABASE IF EXISTS {name}")


def _create(name: str) -> str:
    kind = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    run(server_url(), f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name} {kind}")
    return with_database(server_url(), name)


@contextmanager
def fresh_database() -> Iterator[str]:
    """The URL of an empty database of one's own, for what stays up beside other tests."""
    skip_without_mariadb()
    name = f"covet_{secrets.token_hex(6)}"
    try:
        yield _create(name)
    finally:
        _drop(name)


@contextmanager
def database() -> Iterator[str]:
    """The URL of an empty database that is this process's own, one test after the other."""
    skip_without_mariadb()
    url = _create(_own_database())
    yield url
    release(url)
