"""Forms as clients send them."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from covet_http import DISCONNECT, HTTP_SERVER, Http
from covet_kernel import Plugin
from covet_kernel.contracts import Operation
from covet_kernel.testing import run_kernel
from covet_operations import Operations, operations_of

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"


class Forms:
    """Encodes forms."""

    boundary = BOUNDARY
    urlencoded = {"Content-Type": "application/x-www-form-urlencoded"}
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}

    @staticmethod
    def part(name: str, value: bytes | str, filename: str | None = None, *more: str) -> bytes:
        head = f'Content-Disposition: form-data; name="{name}"'
        if filename is not None:
            head += f'; filename="{filename}"'
        lines = [f"--{BOUNDARY}", head, *more]
        content = value.encode() if isinstance(value, str) else value
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"

    @staticmethod
    def end() -> bytes:
        return f"--{BOUNDARY}--\r\n".encode()

    @classmethod
    def multipart(cls, parts: Iterable[tuple[Any, ...]]) -> bytes:
        return b"".join(cls.part(*part) for part in parts) + cls.end()

    @staticmethod
    def open_files(folder: object) -> list[str]:
        """The temporary files that this process has open in a folder; they have no names there."""
        found = []
        for each in os.listdir("/proc/self/fd"):
            try:
                target = os.readlink(f"/proc/self/fd/{each}")
            except OSError:
                continue
            if target.startswith(f"{folder}/"):
                found.append(target)
        return found


class InProcess:
    """A service without a server: its application is called as a server would."""

    def __init__(self) -> None:
        self.application: Any = None

    @asynccontextmanager
    async def listen(self, sockets: Any, options: Any) -> AsyncIterator[Any]:
        try:
            yield self
        finally:
            for each in sockets:
                each.close()

    def begin(self, application: Any) -> None:
        self.application = application

    async def pause(self) -> None: ...

    async def stop(self) -> None: ...

    async def post(
        self, path: str, content_type: str, pieces: Iterator[bytes], *, tells: bool = True
    ) -> int:
        """The status of the answer to a body that is made while it is read.

        Args:
            path: Where.
            content_type: Of the body.
            pieces: The body.
            tells: Whether the server says by itself when its client leaves; this one stays.
        """
        ended = anyio.Event()
        status: list[int] = []

        async def receive() -> Any:
            await anyio.lowlevel.checkpoint()
            try:
                return {"type": "http.request", "body": next(pieces), "more_body": True}
            except StopIteration:
                if ended.is_set():
                    await anyio.sleep_forever()
                ended.set()
                return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])

        headers = [(b"host", b"a"), (b"content-type", content_type.encode())]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "headers": headers, "client": None, "server": None,
            "extensions": {DISCONNECT: {"subscribe": lambda callback: None}} if tells else {},
            "state": {},
        }  # fmt: skip
        await self.application(scope, receive, send)
        return status[0]


@asynccontextmanager
async def in_process(module: str, **http: Any) -> AsyncIterator[InProcess]:
    """Serve the operations of a test module."""
    service = InProcess()

    class Shop(Plugin[None]):
        def covet_operations(self) -> Iterable[Operation]:
            return operations_of(sys.modules[module])

    class Server(Plugin[None]):
        provides = (HTTP_SERVER,)

        @asynccontextmanager
        async def covet_lifespan(self, ctx: Any) -> AsyncIterator[None]:
            ctx.provide(HTTP_SERVER, service)
            yield

    classes = {"operations": Operations, "hypercorn": Server, "http": Http, "shop": Shop}
    async with run_kernel(classes, {"http": {"port": 0, "server": "hypercorn", **http}}):
        await anyio.wait_all_tasks_blocked()
        yield service


@pytest.fixture(scope="session")
def forms() -> type[Forms]:
    return Forms


@pytest.fixture(scope="session")
def in_process_service() -> Any:
    return in_process
