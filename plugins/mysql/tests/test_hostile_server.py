"""A server that is none, or not the one that was meant: an error, and nothing of the client's is lost."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SqlError, SqlUnavailableError
from covet_mysql import MysqlConfig
from covet_mysql._database import MysqlDatabase
from covet_mysql._plugin import opened
from covet_mysql._protocol import _constants as c
from covet_mysql._protocol._authentication import caching_sha2
from covet_mysql._protocol._fields import sized
from covet_mysql._protocol._packets import framed

CAPABILITIES = c.WANTED | c.LONG_PASSWORD
SALT = b"saltsalttwelve.bytes"
OK = b"\x00\x00\x00\x02\x00\x00\x00"


def greeting(plugin: bytes = b"mysql_native_password", capabilities: int = CAPABILITIES) -> bytes:
    return framed(
        b"\x0a8.4.0\0" + struct.pack("<I", 99) + SALT[:8] + b"\0"
        + struct.pack("<HBHHB", capabilities & 0xFFFF, 45, 2, capabilities >> 16 & 0xFFFF, 21)
        + bytes(10) + SALT[8:] + b"\0" + plugin + b"\0"
    )  # fmt: skip


class Client:
    """What a server sees of the client."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self._data = b""

    async def send(self, *payloads: bytes, sequence: int = 1) -> None:
        data = b"".join(framed(each, sequence + place) for place, each in enumerate(payloads))
        await self.stream.send(data)

    async def receive(self) -> bytes:
        """A message; nothing when the client has gone."""
        while len(self._data) < 4 or len(self._data) < 4 + int.from_bytes(self._data[:3], "little"):
            try:
                self._data += await self.stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return b""
        length = int.from_bytes(self._data[:3], "little")
        packet, self._data = self._data[4 : 4 + length], self._data[4 + length :]
        return packet


Script = Callable[[Client], Awaitable[None]]


async def let_in(client: Client) -> None:
    """As an ordinary server does, up to the client's settings."""
    await client.stream.send(greeting())
    assert await client.receive()
    await client.send(OK, sequence=2)
    assert (await client.receive()).startswith(c.COM_QUERY + b"SET ")
    assert (await client.receive()).startswith(c.COM_QUERY + b"SELECT ")
    column = (
        b"".join(sized(b"x") for _ in range(6))
        + b"\x0c"
        + struct.pack("<HIBHBH", 45, 1, 8, 0, 0, 0)
    )
    await client.send(OK)
    row = sized(b"99") + sized(b"16777216")
    await client.send(b"\x02", column, column, row, b"\xfe" + OK[1:])


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """The URL of a server that does what it is told, for each connection."""
    running = 0

    async def serve(stream: SocketStream) -> None:
        nonlocal running
        running += 1
        async with stream:
            try:
                await script(Client(stream))
            except anyio.BrokenResourceError:
                return
            finally:
                running -= 1

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, serve)
        yield f"mysql://me:secret@127.0.0.1:{listener.extra(SocketAttribute.local_port)}/shop"
        with anyio.move_on_after(10):
            while running:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def at(url: str, **config: object) -> AsyncIterator[MysqlDatabase]:
    config = {"url": url, "cleanup_timeout": 0.5, "connect_timeout": 5.0, **config}
    async with opened(MysqlConfig.model_validate(config), "the test") as db:
        yield db


async def refusal(script: Script, **config: object) -> ConfigurationError:
    async with serving(script) as url:
        with pytest.raises(ConfigurationError) as caught:
            async with at(url, **config):
                pass
    assert "secret" not in str(caught.value)
    return caught.value


async def test_what_greets_otherwise_is_no_such_server() -> None:
    for data in (
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        framed(b"\x09old"),
        framed(b"\x0a1\0"),
        b"\xff\xff\xff\0",
    ):

        async def script(client: Client, data: bytes = data) -> None:
            await client.stream.send(data)
            await client.receive()

        assert (await refusal(script)).code == "COVET-MYSQL-REFUSED"


async def test_a_server_that_closes_at_once() -> None:
    async def script(client: Client) -> None:
        return

    assert (await refusal(script)).code == "COVET-MYSQL-UNREACHABLE"


async def test_the_password_is_not_said_to_who_asks_for_it() -> None:
    heard: list[bytes] = []

    async def script(client: Client) -> None:
        await client.stream.send(greeting())
        heard.append(await client.receive())
        await client.send(b"\xfemysql_clear_password\0", sequence=2)
        heard.append(await client.receive())

    assert "mysql_clear_password" in (await refusal(script)).problem
    assert heard[1] == b""
    assert b"secret" not in heard[0]


async def test_a_password_that_is_hashed_anew_needs_tls() -> None:
    heard: list[bytes] = []

    async def script(client: Client) -> None:
        await client.stream.send(greeting(b"caching_sha2_password"))
        heard.append(await client.receive())
        await client.send(b"\x01\x04", sequence=2)
        heard.append(await client.receive())

    error = await refusal(script)
    assert error.code == "COVET-MYSQL-REFUSED"
    assert "TLS" in error.problem
    assert caching_sha2(b"secret", SALT) in heard[0]
    assert heard[1] == b""


async def test_a_server_that_knows_the_passwords_hash_lets_in() -> None:
    async def script(client: Client) -> None:
        await client.stream.send(greeting(b"caching_sha2_password"))
        assert caching_sha2(b"secret", SALT) in await client.receive()
        await client.send(b"\x01\x03", sequence=2)
        await client.send(b"\xff\x28\x04#42000no", sequence=3)

    assert (await refusal(script)).code == "COVET-MYSQL-REFUSED"


async def test_tls_begins_with_nothing_of_anybody_elses() -> None:
    """What somebody between has put behind the greeting would be taken for the server's later."""

    async def script(client: Client) -> None:
        await client.stream.send(greeting(capabilities=CAPABILITIES | c.SSL) + framed(OK, 2))
        await client.receive()
        await client.receive()

    async with serving(script) as url:
        with pytest.raises(ConfigurationError) as caught:
            async with at(url, tls=True):
                pass
    assert caught.value.code == "COVET-MYSQL-REFUSED"
    assert "in the clear" in caught.value.problem


async def test_identifying_comes_to_an_end() -> None:
    async def script(client: Client) -> None:
        await client.stream.send(greeting())
        await client.receive()
        sequence = 2
        while True:
            await client.send(b"\xfemysql_native_password\0" + SALT + b"\0", sequence=sequence)
            if not await client.receive():
                return
            sequence += 2

    assert "come to an end" in (await refusal(script)).problem


@pytest.mark.parametrize(
    "answer",
    [
        [b"\xfb/etc/passwd"],
        [b"\xfe" + bytes(8)],
        [b""],
        [b"\x00"],
        [b"\x01", b"\xfb"],
        [b"\xfc\xff\xff"],
        [b"\x00\x01\x00\x00\x00\xff\xff\x00\x00\x00\x00\x00"],
    ],
)
async def test_answers_that_are_none_end_the_connection(answer: list[bytes]) -> None:
    seen: list[bytes] = []

    async def script(client: Client) -> None:
        await let_in(client)
        while packet := await client.receive():
            seen.append(packet)
            await client.send(*answer)

    async with serving(script) as url, at(url) as db:
        for _ in range(2):
            with anyio.fail_after(10), pytest.raises(SqlUnavailableError):
                await db.fetch_all("SELECT 1 AS a")
            assert (db.pool.in_use, db.pool.opened) == (0, 0)
    # No file of the client's, nor anything else, was sent for it.
    assert {packet[:1] for packet in seen} == {c.COM_STMT_PREPARE}


async def test_something_that_nobody_asked_for_ends_the_connection() -> None:
    idle = anyio.Event()

    async def script(client: Client) -> None:
        await let_in(client)
        await idle.wait()
        await client.send(OK)
        await client.receive()

    async with serving(script) as url, at(url) as db:
        (connection,) = db.pool.idle
        idle.set()
        with anyio.fail_after(10):
            while not connection.link.lost:
                await anyio.sleep(0.01)
        assert db.counts.discarded == 1


async def test_a_message_without_end_is_cut_off() -> None:
    async def script(client: Client) -> None:
        await let_in(client)
        await client.receive()
        sequence = 1
        while True:
            part = b"\xff\xff\xff" + bytes((sequence & 0xFF,)) + bytes(0xFFFFFF)
            await client.stream.send(part)
            sequence += 1

    async with serving(script) as url, at(url, result_bytes=20_000_000) as db:
        with anyio.fail_after(30), pytest.raises(SqlError):
            await db.fetch_all("SELECT 1 AS a")
        assert db.counts.discarded == 1
