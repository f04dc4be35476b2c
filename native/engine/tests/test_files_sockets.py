"""Files of folders over sockets, with TLS and without: slow clients, files that change, what is counted."""

from __future__ import annotations

import json
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trustme
from served import Current, serving
from wire import PATIENCE, read_answers

pytest.importorskip("covet_engine._native", reason="the library is not built")

SIZE = 3_000_000
LARGE = bytes(n % 251 for n in range(SIZE))

in_thread = anyio.to_thread.run_sync


class Shop:
    """A service with a folder, and how to reach it.

    Attributes:
        folder: What is served at ``/files``.
        port: Where it listens.
        context: TLS of clients; ``None``: without.
    """

    def __init__(self, folder: Path, context: ssl.SSLContext | None) -> None:
        self.folder = folder
        self.context = context
        self.port = 0

    @contextmanager
    def connected(self, buffer: int = 0) -> Iterator[socket.socket]:
        """A client that blocks, for a thread of its own."""
        with socket.socket() as raw:
            if buffer:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            raw.settimeout(PATIENCE)
            raw.connect(("127.0.0.1", self.port))
            if self.context is None:
                yield raw
                return
            with self.context.wrap_socket(raw, server_hostname="localhost") as stream:
                yield stream

    def ask(self, name: str, more: str = "", buffer: int = 0) -> bytes:
        """Everything that comes, by a connection that ends with the answer."""
        with self.connected(buffer) as stream:
            stream.sendall(request(name, f"connection: close\r\n{more}"))
            return until_closed(stream)


def request(name: str, more: str = "") -> bytes:
    return f"GET /files/{name} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n".encode()


def until_closed(stream: socket.socket) -> bytes:
    data = b""
    while piece := stream.recv(1 << 16):
        data += piece
    return data


@pytest.fixture(params=["plain", "tls"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Shop, dict[str, Any]]:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "large.bin").write_bytes(LARGE)
    (folder / "small.txt").write_text("small")
    if request.param == "plain":
        return Shop(folder, None), {}
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    certificate, key = tmp_path / "shop.pem", tmp_path / "shop.key"
    certificate.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Shop(folder, context), {"tls": {"certificate": str(certificate), "key": str(key)}}


@asynccontextmanager
async def served(given: tuple[Shop, dict[str, Any]], **engine: Any) -> AsyncIterator[Shop]:
    shop, tls = given
    static = {"static": {"/files": {"folder": str(shop.folder)}}}
    async with serving("engine", engine=engine, http={**tls, **static}) as service:
        shop.port = service.port
        yield shop


def count(name: str) -> float:
    (found,) = [each for each in Current.metrics if each.name == f"engine.{name}"]
    ((_, number),) = found.read()
    return number


async def test_slow_readers_get_all_of_it(shop: tuple[Shop, dict[str, Any]]) -> None:
    async with served(shop) as running:
        found: list[bytes] = []

        async def one() -> None:
            found.append(await in_thread(partial(running.ask, "large.bin", buffer=4096)))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(one)
        for each in found:
            (answer,) = read_answers(each)
            assert answer.body == LARGE
        parts = await in_thread(running.ask, "large.bin", "range: bytes=0-199999,200001-\r\n")
        (answer,) = read_answers(parts)
        assert answer.status == 206
        assert LARGE[:200_000] in answer.body
        assert LARGE[200_001:] in answer.body
        assert count("requests.native") == 4
        assert count("files") == 1


async def test_many_answers_of_one_connection(shop: tuple[Shop, dict[str, Any]]) -> None:
    names = ["small.txt", "large.bin", "none", "large.bin", "small.txt"]

    def ask(running: Shop) -> bytes:
        with running.connected() as stream:
            for name in names[:-1]:
                stream.sendall(request(name))
            stream.sendall(request(names[-1], "connection: close\r\n"))
            return until_closed(stream)

    async with served(shop) as running:
        answers = read_answers(await in_thread(ask, running))
        assert [each.status for each in answers] == [200, 200, 404, 200, 200]
        assert [len(each.body) for each in answers if each.status == 200] == [5, SIZE, SIZE, 5]
        assert answers[3].body == LARGE


async def test_a_file_that_is_cut_short_never_looks_whole(
    shop: tuple[Shop, dict[str, Any]],
) -> None:
    def ask(running: Shop) -> bytes:
        data = b""
        with running.connected(4096) as stream:
            stream.sendall(request("large.bin", "connection: close\r\n"))
            data += stream.recv(1000)
            os.truncate(running.folder / "large.bin", 10)
            with suppress(OSError):  # a reset, or an end without TLS's own
                data += until_closed(stream)
        return data

    async with served(shop) as running:
        # More than any system takes from the engine before the client reads.
        with (running.folder / "large.bin").open("ab") as large:
            large.truncate(200_000_000)
        data = await in_thread(ask, running)
        assert data.startswith(b"HTTP/1.1 200 ")
        assert b"content-length: 200000000\r\n" in data
        assert len(data) < 200_000_000
        assert count("responses.aborted") == 1
        assert b"small" in await in_thread(running.ask, "small.txt")


async def test_files_are_logged_and_counted(
    shop: tuple[Shop, dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="covet.http.access"):
        async with served(shop, access_log=True) as running:
            await in_thread(running.ask, "large.bin")
            await in_thread(running.ask, "large.bin", "range: bytes=1-10\r\n")
            await in_thread(running.ask, "none")
    lines = [
        json.loads(each.getMessage()) for each in caplog.records if "target" in each.getMessage()
    ]
    assert [(each["target"], each["status"]) for each in lines] == [
        ("/files/large.bin", 200),
        ("/files/large.bin", 206),
        ("/files/none", 404),
    ]
    assert [each["bytes"] for each in lines[:2]] == [SIZE, 10]
