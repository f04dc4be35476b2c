"""TLS: what is sent is encrypted, and who answers is who was meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import quote

import anyio
import pytest
import trustme
from services import postgres

from covet_kernel import ConfigurationError, flatten
from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_postgres import Postgres, PostgresConfig, copy_in, copy_out, listen, notify
from covet_postgres._plugin import opened

PATIENCE = 60
ACCESS = b"""
hostssl all certified 127.0.0.1/32 cert
hostssl all all 127.0.0.1/32 trust
hostnossl all all 127.0.0.1/32 reject
"""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Only the tests trust it."""
    return trustme.CA()


def server_of(
    authority: trustme.CA,
    name: str,
    *settings: tuple[str, str],
    files: dict[str, bytes] | None = None,
) -> Iterator[postgres.PostgresServer]:
    certificate = authority.issue_cert(name)
    keys = {
        "server.key": certificate.private_key_pem.bytes(),
        "server.crt": b"".join(blob.bytes() for blob in certificate.cert_chain_pems),
        "ca.crt": authority.cert_pem.bytes(),
    }
    with postgres.own_server(
        ("ssl", "on"), ("ssl_ca_file", "ca.crt"), *settings, files={**keys, **(files or {})}
    ) as server:
        yield server


@pytest.fixture(scope="module")
def server(authority: trustme.CA) -> Iterator[postgres.PostgresServer]:
    """Its certificate is for localhost."""
    yield from server_of(authority, "localhost")


@pytest.fixture(scope="module")
def impostor(authority: trustme.CA) -> Iterator[postgres.PostgresServer]:
    """Its certificate is for another host."""
    yield from server_of(authority, "elsewhere.example")


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path) -> Path:
    """A file with the authority's certificate."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def url_of(server: postgres.PostgresServer, host: str, mode: str, trusted: Path) -> str:
    return (
        f"postgres://postgres@{host}:{server.port}/postgres"
        f"?sslmode={mode}&sslrootcert={quote(str(trusted), safe='')}"
    )


async def refusal(url: str) -> ConfigurationError:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with run_kernel({"postgres": Postgres}, {"postgres": {"url": url}}):
            pass
    (error,) = flatten(caught.value)
    assert isinstance(error, ConfigurationError)
    return error


async def test_everything_goes_over_it(
    server: postgres.PostgresServer, trusted: Path, anyio_backend_name: str
) -> None:
    url = url_of(server, "localhost", "verify-full", trusted)
    table = f"t_{anyio_backend_name}"
    async with opened(PostgresConfig(url=url), "the test") as db:
        with anyio.fail_after(PATIENCE):
            encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            assert await db.fetch_value(encrypted) is True
            async with db.transaction() as session:
                assert await session.fetch_value(encrypted) is True
            # Large replies come in several records, some of which are in the library's hands
            # while the socket has nothing to say.
            for size in (1, 8_000, 16_000, 16_384, 20_000, 100_000, 3_000_000):
                text = "SELECT repeat('x', CAST(? AS integer))"
                assert len(await db.fetch_value(text, (size,))) == size
                assert len(await db.fetch_value(text + " FOR UPDATE", (size,))) == size
            await db.execute(f"CREATE TABLE {table} (a TEXT)")
            data = b"x" * 1000 + b"\n"
            assert await copy_in(db, f"COPY {table} FROM STDIN", data * 5000) == 5000
            async with aclosing(copy_out(db, f"COPY {table} TO STDOUT")) as pieces:
                assert b"".join([piece async for piece in pieces]) == data * 5000
            async with listen(db, table) as heard:
                await notify(db, table, "1")
                await anext(heard)
            with anyio.move_on_after(0.1) as scope:
                await db.execute("SELECT pg_sleep(600)")
            assert scope.cancelled_caught
            assert await db.fetch_value("SELECT 5") == 5
        assert (db.counts.cancelled, db.counts.discarded) == (1, 0)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_who_is_somebody_else_is_refused(
    impostor: postgres.PostgresServer, trusted: Path, host: str
) -> None:
    error = await refusal(url_of(impostor, host, "verify-full", trusted))
    assert error.code == "COVET-POSTGRES-TLS"
    assert "elsewhere.example" in error.problem
    assert host in error.problem
    # Who asks for less gets less: the authority alone is looked at.
    url = url_of(impostor, host, "verify-ca", trusted)
    async with run_kernel({"postgres": Postgres}, {"postgres": {"url": url}}) as kernel:
        assert await kernel.require(SQL).fetch_value("SELECT 1") == 1


async def test_a_certificate_of_an_unknown_authority_is_refused(
    server: postgres.PostgresServer, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    for mode in ("verify-full", "verify-ca"):
        error = await refusal(url_of(server, "localhost", mode, other))
        assert error.code == "COVET-POSTGRES-TLS"
        assert "certificate" in error.problem


async def test_the_next_host_is_tried(
    impostor: postgres.PostgresServer, server: postgres.PostgresServer, trusted: Path
) -> None:
    hosts = f"localhost:{impostor.port},localhost"
    url = url_of(server, hosts, "verify-full", trusted)
    async with run_kernel({"postgres": Postgres}, {"postgres": {"url": url}}) as kernel:
        port = "SELECT current_setting('port')"
        assert await kernel.require(SQL).fetch_value(port) == str(server.port)


async def test_a_certificate_of_ones_own_lets_in(
    authority: trustme.CA, trusted: Path, tmp_path: Path
) -> None:
    own = authority.issue_cert(common_name="certified")
    key, certificate = tmp_path / "own.key", tmp_path / "own.crt"
    own.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    certificate.write_bytes(b"".join(blob.bytes() for blob in own.cert_chain_pems))
    for server in server_of(authority, "localhost", files={"pg_hba.conf": ACCESS}):
        plain = f"postgres://postgres@localhost:{server.port}/postgres"
        assert (await refusal(plain + "?sslmode=disable")).code == "COVET-POSTGRES-REFUSED"
        url = url_of(server, "localhost", "verify-full", trusted)
        async with run_kernel({"postgres": Postgres}, {"postgres": {"url": url}}) as kernel:
            await kernel.require(SQL).execute("CREATE ROLE certified LOGIN")
        url = url.replace("postgres@", "certified@")
        assert (await refusal(url)).code in ("COVET-POSTGRES-PASSWORD", "COVET-POSTGRES-REFUSED")
        url += f"&sslcert={quote(str(certificate), safe='')}&sslkey={quote(str(key), safe='')}"
        async with run_kernel({"postgres": Postgres}, {"postgres": {"url": url}}) as kernel:
            who = "SELECT CAST(session_user AS text)"
            assert await kernel.require(SQL).fetch_value(who) == "certified"
