"""URLs with several hosts: in order, passing over those that are not what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import anyio
import pytest
from services import postgres

from covet_kernel.contracts import SqlUnavailableError
from covet_postgres import PostgresConfig
from covet_postgres._plugin import opened

PATIENCE = 60
PORT = "SELECT current_setting('port')"


@pytest.fixture(scope="module")
def reader() -> Iterator[postgres.PostgresServer]:
    """A server that takes no writes."""
    with postgres.own_server(("default_transaction_read_only", "on")) as server:
        yield server


@pytest.fixture(scope="module")
def writer() -> Iterator[postgres.PostgresServer]:
    """A server that does."""
    with postgres.own_server() as server:
        yield server


def both(first: postgres.PostgresServer, second: postgres.PostgresServer, query: str = "") -> str:
    return f"postgres://postgres@127.0.0.1:{first.port},127.0.0.1:{second.port}/postgres{query}"


@pytest.mark.parametrize(
    ("query", "reads"),
    [
        ("", True),
        ("?target_session_attrs=any", True),
        ("?target_session_attrs=read-write", False),
        ("?target_session_attrs=read-only", True),
        ("?target_session_attrs=prefer-standby", True),
        ("?target_session_attrs=primary", True),
    ],
)
async def test_the_first_that_is_as_wanted(
    reader: postgres.PostgresServer, writer: postgres.PostgresServer, query: str, reads: bool
) -> None:
    wanted = str(reader.port if reads else writer.port)
    async with opened(PostgresConfig(url=both(reader, writer, query)), "the test") as db:
        assert await db.fetch_value(PORT) == wanted
        async with db.transaction(read_only=True) as session:
            assert await session.fetch_value(PORT) == wanted


async def test_when_one_goes_the_next_takes_over(
    reader: postgres.PostgresServer, writer: postgres.PostgresServer
) -> None:
    with postgres.own_server() as first:
        url = both(first, writer, "?target_session_attrs=read-write")
        async with opened(PostgresConfig(url=url), "the test") as db:
            assert await db.fetch_value(PORT) == str(first.port)
            await anyio.to_thread.run_sync(first.stop)
            with anyio.fail_after(PATIENCE):
                while True:
                    with suppress(SqlUnavailableError):
                        await db.execute("CREATE TEMP TABLE again (a INTEGER)")
                        if await db.fetch_value(PORT) == str(writer.port):
                            break
                    await anyio.sleep(0.05)
