"""A PgBouncer of the tests' own, in transaction mode, before the PostgreSQL that they use.

It listens on loopback, and ends with the process that started it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import psycopg
import pytest
from services.postgres import database as postgres_database
from services.postgres import server_url
from services.process import account, end_with_parent, free_port

CONFIGURATION = """\
[databases]
* = host={host} port={port} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
server_reset_query =
server_check_query = select 1
server_check_delay = 0
ignore_startup_parameters = extra_float_digits
logfile = {log}
"""


PATHS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def skip_without_pgbouncer() -> None:
    """Skip the test where there is none; in CI that is a failure."""
    if shutil.which("pgbouncer", path=PATHS) is None:
        if os.environ.get("CI"):
            raise FileNotFoundError("there is no pgbouncer to start")
        pytest.skip("no PgBouncer is installed")


@contextmanager
def pooler(url: str, *, size: int = 2) -> Iterator[str]:
    """The URL of a database through a pooler with so many connections to its server."""
    skip_without_pgbouncer()
    program = shutil.which("pgbouncer", path=PATHS)
    assert program is not None
    parts = psycopg.conninfo.conninfo_to_dict(url)
    user = account("postgres")
    with tempfile.TemporaryDirectory(prefix="covet-pgbouncer-") as name:
        folder = Path(name)
        if user is not None:
            shutil.chown(folder, user)
        own_port = free_port()
        users = folder / "users"
        users.write_text(f'"{parts["user"]}" ""\n')
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            CONFIGURATION.format(
                host=parts["host"],
                port=parts["port"],
                user=parts["user"],
                own_port=own_port,
                users=users,
                size=size,
                log=folder / "log",
            )
        )
        with subprocess.Popen(
            [program, str(configuration)],
            user=user,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=end_with_parent(signal.SIGQUIT),  # noqa: PLW1509 - it takes no lock
        ) as process:
            try:
                through = f"postgres://{parts['user']}@127.0.0.1:{own_port}/{parts['dbname']}"
                _wait(process, through, folder / "log")
                yield through
            finally:
                process.kill()


@cache
def shared_port() -> int:
    """Where this process's pooler listens, with four connections for each database and user."""
    stack = ExitStack()
    atexit.register(stack.close)
    through = stack.enter_context(pooler(server_url(), size=4))
    return int(psycopg.conninfo.conninfo_to_dict(through)["port"] or 0)


@contextmanager
def database() -> Iterator[str]:
    """The URL of an empty database, through the process's pooler."""
    skip_without_pgbouncer()
    with postgres_database() as url:
        parts = psycopg.conninfo.conninfo_to_dict(url)
        yield f"postgres://{parts['user']}@127.0.0.1:{shared_port()}/{parts['dbname']}"


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    limit = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > limit:
                said = log.read_text("utf-8", "replace")[-2000:] if log.exists() else ""
                raise RuntimeError(f"PgBouncer does not start:\n{said}") from None
            time.sleep(0.02)
        else:
            return
