"""Opening a connection without blocking the event loop, one address after the other."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from random import shuffle

import anyio
import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo
from psycopg.pq import ConnStatus, PollingStatus
from psycopg.pq.abc import PGconn

from covet_sql.driver import ConnectError, ConnectProblem

OLDEST = 130000
"""The oldest server that is tested against, as PostgreSQL numbers its versions."""
PORT = "5432"


async def connect(parameters: Mapping[str, str], timeout: float) -> PGconn:
    """A connection to the first address that can be used.

    Args:
        parameters: libpq's, by name. Hosts and ports with commas between them are several addresses,
            and so are all that a host's name leads to.
        timeout: Seconds for each address.

    Raises:
        ConnectError: There is none; why the last one could not be used.
    """
    error: ConnectError | None = None
    async with aclosing(_addresses(parameters)) as addresses:
        async for where, address in addresses:
            if isinstance(address, ConnectError):
                error = address
                continue
            try:
                with anyio.fail_after(timeout):
                    return await _connect(where, address)
            except TimeoutError:
                error = ConnectError("unreachable", where, f"no answer within {timeout} s")
            except ConnectError as refusal:
                error = refusal
    raise error or ConnectError("unreachable", "no host", "the URL names none")


async def _addresses(
    parameters: Mapping[str, str],
) -> AsyncGenerator[tuple[str, dict[str, str] | ConnectError], None]:
    single = {key: value for key, value in parameters.items() if key not in ("host", "port")}
    session = parameters.get("target_session_attrs")
    # libpq can prefer a standby only where it tries all addresses itself.
    for wanted in ("standby", "any") if session == "prefer-standby" else (session,):
        if wanted is not None:
            single["target_session_attrs"] = wanted
        for host, port in hosts(parameters):
            where = f"{host}:{port}"
            if host.startswith(("/", "@")) or "hostaddr" in parameters:
                yield where, {**single, "host": host, "port": port}
                continue
            try:
                found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError as error:
                reason = error.strerror or str(error)
                yield where, ConnectError("unreachable", where, f"no such host: {reason}")
                continue
            for *_, address in found:
                yield where, {**single, "host": host, "hostaddr": str(address[0]), "port": port}


def hosts(parameters: Mapping[str, str]) -> list[tuple[str, str]]:
    hosts = (parameters.get("host") or "localhost").split(",")
    ports = (parameters.get("port") or PORT).split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    pairs = [(host or "localhost", port or PORT) for host, port in zip(hosts, ports, strict=False)]
    if parameters.get("load_balance_hosts") == "random":
        shuffle(pairs)
    return pairs


async def _connect(where: str, parameters: Mapping[str, str]) -> PGconn:
    raw = pq.PGconn.connect_start(make_conninfo("", **parameters).encode())
    try:
        while True:
            status = raw.connect_poll() if raw.status != ConnStatus.BAD else PollingStatus.FAILED
            if status == PollingStatus.OK:
                break
            if status == PollingStatus.FAILED:
                raise _refusal(raw, where)
            # The socket is another one after each step, and closed by libpq without a word.
            if status == PollingStatus.READING:
                await anyio.wait_readable(raw.socket)
            else:
                await anyio.wait_writable(raw.socket)
        if 0 < raw.server_version < OLDEST:
            raise ConnectError(
                "version",
                where,
                f"it is version {raw.server_version // 10000}, and {OLDEST // 10000} is the oldest"
                " that is supported",
            )
        raw.nonblocking = 1
    except BaseException:
        raw.finish()
        raise
    return raw


def _refusal(raw: PGconn, where: str) -> ConnectError:
    return refusal(raw.get_error_message("utf-8").strip(), where, password=raw.needs_password)


def refusal(text: str, where: str, *, password: bool = False) -> ConnectError:
    """What libpq's message says; ``password`` if the server had asked for one."""
    reason = next(_reasons(text), text)
    kind: ConnectProblem = "unreachable"
    if password or re.search(r"authentication failed|no pg_hba|no password", text):
        kind = "password"
    elif re.search(r'database ".*" does not exist', text):
        kind = "database"
    elif re.search(r"FATAL:|(?:session|server) is (?:not )?(?:read-only|in hot standby)", text):
        kind = "refused"
    elif re.search(r"SSL|certificate", text):
        kind = "tls"
    return ConnectError(kind, where, reason.rstrip("."))


def _reasons(text: str) -> Iterator[str]:
    """The last line of libpq's message that says what happened, without where."""
    for line in reversed(text.splitlines()):
        if not line.startswith("\t"):
            yield re.sub(r"^.*? failed: (?:FATAL: +)?", "", line)


async def cancel(raw: PGconn) -> None:
    """Ask the server to end what the connection runs, encrypted if the connection is.

    Raises:
        psycopg.Error: It could not be asked.
    """
    request = raw.cancel_conn()
    try:
        request.start()
        while (status := request.poll()) != PollingStatus.OK:
            if status == PollingStatus.FAILED:
                raise psycopg.OperationalError("the server could not be asked to cancel")
            if status == PollingStatus.READING:
                await anyio.wait_readable(request.socket)
            else:
                await anyio.wait_writable(request.socket)
    finally:
        request.finish()
