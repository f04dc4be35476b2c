"""Files that the system sends by itself."""

from __future__ import annotations

import json
import logging
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import h11
import pytest
import trustme

from covet_http import TlsConfig
from covet_hypercorn import _sendfile

SIZE = 3_000_000
CONTENT = os.urandom(SIZE)
ZEROCOPYSEND = "http.response.zerocopysend"

pytestmark = pytest.mark.skipif(
    not _sendfile.CAN_SEND_FILES, reason="the system does not send files"
)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[BinaryIO]:
    path = tmp_path / "large.bin"
    path.write_bytes(CONTENT)
    with path.open("rb", buffering=0) as opened:
        yield opened


class Sending:
    """An application that sends messages, one after the other.

    Attributes:
        offered: What the scopes of its requests offer.
        raised: By sending.
    """

    def __init__(self, *messages: dict[str, Any], length: int | None = SIZE) -> None:
        self._messages = messages
        self._head = [] if length is None else [(b"content-length", b"%d" % length)]
        self.offered: list[bool] = []
        self.raised: list[BaseException] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.offered.append(ZEROCOPYSEND in scope["extensions"])
        await send({"type": "http.response.start", "status": 200, "headers": self._head})
        try:
            for message in self._messages:
                await send(message)
        except BaseException as error:
            self.raised.append(error)
            raise


def span(file: BinaryIO, **more: Any) -> dict[str, Any]:
    return {"type": ZEROCOPYSEND, "file": file, **more}


def body(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_a_file_is_sent_whole_and_the_connection_goes_on(server: Any, file: BinaryIO) -> None:
    application = Sending(span(file, offset=0, count=SIZE, more_body=True), body(b"", more=False))
    async with server.listening(application) as (_, port), server.connected(port) as client:
        for _ in range(3):
            await client.send(server.GET)
            assert (await client.answer())[2] == CONTENT
    assert application.offered == [True] * 3


async def test_spans_stand_between_bytes(server: Any, file: BinaryIO) -> None:
    application = Sending(
        body(b"<"),
        span(file, offset=5, count=1_000_000, more_body=True),
        body(b"|"),
        span(file, offset=SIZE - 7, count=7, more_body=True),
        body(b">", more=False),
        length=1_000_010,
    )
    async with server.listening(application) as (_, port), server.connected(port) as client:
        await client.send(server.GET)
        found = (await client.answer())[2]
    assert found == b"<" + CONTENT[5:1_000_005] + b"|" + CONTENT[-7:] + b">"


async def test_without_offset_and_count_it_is_what_follows(server: Any, file: BinaryIO) -> None:
    file.seek(1000)
    application = Sending(span(file), length=SIZE - 1000)
    async with server.listening(application) as (_, port), server.connected(port) as client:
        await client.send(server.GET)
        assert (await client.answer())[2] == CONTENT[1000:]


async def test_a_body_of_no_announced_length(server: Any, file: BinaryIO) -> None:
    application = Sending(
        body(b"<"), span(file, offset=0, count=SIZE, more_body=True), body(b">", more=False),
        length=None,
    )  # fmt: skip
    async with server.listening(application) as (_, port), server.connected(port) as client:
        reader = h11.Connection(h11.CLIENT)
        await client.send(
            reader.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
        )
        reader.send(h11.EndOfMessage())
        found = bytearray()
        while not isinstance(event := reader.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                reader.receive_data(await client.stream.receive())
            elif isinstance(event, h11.Data):
                found += event.data
    assert found == b"<" + CONTENT + b">"


async def test_what_the_disk_has_to_bring_is_the_same(
    server: Any, file: BinaryIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def never(descriptor: int, at: int, end: int) -> bool:
        asked.append(at)
        return False

    monkeypatch.setattr(_sendfile, "_is_at_hand", never)
    application = Sending(span(file, offset=0, count=SIZE))
    async with server.listening(application) as (_, port), server.connected(port) as client:
        await client.send(server.GET)
        assert (await client.answer())[2] == CONTENT
    assert asked[0] == 0
    assert len(asked) >= SIZE / _sendfile._MOST


def test_whether_it_is_at_hand_is_found_out(file: BinaryIO) -> None:
    found = _sendfile._is_at_hand(file.fileno(), 0, SIZE)
    assert isinstance(found, bool)
    assert not _sendfile._is_at_hand(file.fileno(), SIZE + 10, SIZE + 20)
    reading, writing = os.pipe()
    try:
        assert not _sendfile._is_at_hand(reading, 0, 1)
    finally:
        os.close(reading)
        os.close(writing)


async def test_a_file_that_has_become_shorter_cuts_the_answer(
    server: Any, file: BinaryIO, caplog: pytest.LogCaptureFixture
) -> None:
    os.truncate(file.name, 1000)
    application = Sending(span(file, offset=0, count=SIZE))
    async with server.listening(application) as (_, port), server.connected(port) as client:
        await client.send(server.GET)
        data = await client.until_closed()
    assert data.endswith(CONTENT[:1000])
    assert [type(each) for each in application.raised] == [EOFError]
    assert "the application failed" in caplog.text


async def test_a_client_that_leaves_ends_it(server: Any, file: BinaryIO) -> None:
    done = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"content-length", b"%d" % (50 * SIZE))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        try:
            for _ in range(50):
                await send(span(file, offset=0, count=SIZE, more_body=True))
        finally:
            done.set()

    async with server.listening(application) as (_, port):
        async with server.connected(port) as client:
            await client.send(server.GET)
            await client.stream.receive()
            await anyio.aclose_forcefully(client.stream)
        with anyio.fail_after(20):
            await done.wait()
        async with server.connected(port) as client:
            await client.send(server.GET)
            assert (await client.head()).startswith(b"HTTP/1.1 200")


async def test_a_client_that_does_not_read_is_given_up(
    server: Any, file: BinaryIO, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="covet.http.access")
    much = 50 * SIZE
    application = Sending(
        *(span(file, offset=0, count=SIZE, more_body=True) for _ in range(50)), length=much
    )
    async with server.listening(application, write_timeout=0.1, config={"access_log": True}) as (
        _,
        port,
    ):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(server.GET)
            with anyio.fail_after(20):
                while not caplog.records:
                    await anyio.sleep(0.01)
    assert json.loads(caplog.records[0].getMessage())["status"] == 499
    assert [isinstance(each, Exception) for each in application.raised] == [False]


async def test_the_access_log_counts_it(
    server: Any, file: BinaryIO, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="covet.http.access")
    application = Sending(span(file, offset=0, count=SIZE))
    async with server.listening(application, config={"access_log": True}) as (_, port):
        async with server.connected(port) as client:
            await client.send(server.GET)
            await client.answer()
    [line] = [json.loads(each.getMessage()) for each in caplog.records]
    assert (line["status"], line["bytes"]) == (200, SIZE)


async def test_it_is_not_offered_where_there_is_no_socket(server: Any, file: BinaryIO) -> None:
    application = Sending(span(file, offset=0, count=SIZE))
    async with server.listening(application) as (listener, _):
        async with listener.connect() as stream:
            await stream.send(server.GET)
            data = await server.client(stream).until_closed()
    assert application.offered == [False]
    assert [type(each) for each in application.raised] == [RuntimeError]
    assert CONTENT[:100] not in data


async def test_it_is_not_offered_where_bytes_are_encrypted(
    server: Any, file: BinaryIO, tmp_path: Path
) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    application = Sending(body(b"x" * 1000, more=False), length=1000)
    tls = TlsConfig(certificate=tmp_path / "server.pem")
    async with server.listening(application, tls=tls) as (_, port):
        with anyio.fail_after(20):
            async with await anyio.connect_tcp(
                "127.0.0.1", port, tls=True, ssl_context=trusting, tls_standard_compatible=False
            ) as stream:
                client = server.client(stream)
                await client.send(server.GET)
                assert (await client.answer())[2] == b"x" * 1000
    assert application.offered == [False]
