"""ASGI applications without a server: started, asked, and stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import process_time
from typing import Any

import anyio

Application = Callable[[Any, Any, Any], Awaitable[None]]

HEADERS = [
    (b"host", b"localhost:8000"),
    (b"user-agent", b"bench/1.0"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
]


@dataclass(frozen=True)
class Work:
    """One request, and what its answer has to be.

    Attributes:
        target: Path and query.
        answer: The body, byte by byte.
        media_type: What ``Content-Type`` begins with.
        body: Of the request; a request with a body is a POST of JSON.
    """

    target: str
    answer: bytes
    media_type: str = "application/json"
    body: bytes = b""


class WrongAnswerError(Exception):
    """An application does not do the work it is given."""


class Exchange:
    """One request and its answer, as a server holds them."""

    __slots__ = ("body", "messages")

    def __init__(self, body: bytes) -> None:
        self.body: bytes | None = body
        self.messages: list[Any] = []

    async def receive(self) -> Any:
        body, self.body = self.body, None
        if body is None:
            # The client stays until it has its answer.
            await anyio.sleep_forever()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        self.messages.append(message)


class Driver:
    """Asks an application for the same again and again.

    Args:
        application: Started.
        work: What is asked for.
    """

    def __init__(self, application: Application, work: Work) -> None:
        self._application = application
        self._work = work
        path, _, query = work.target.partition("?")
        self._path, self._raw, self._query = path, path.encode(), query.encode()
        self._method = "POST" if work.body else "GET"
        self._headers = [*HEADERS]
        if work.body:
            length = b"%d" % len(work.body)
            self._headers += [(b"content-type", b"application/json"), (b"content-length", length)]

    async def check(self) -> None:
        """Ask once.

        Raises:
            WrongAnswerError: The answer is not the work's, or a header is missing.
        """
        work = self._work
        start, *rest = (await self.ask(1)).messages or [{}]
        headers = {name.lower(): value for name, value in start.get("headers", ())}
        body = b"".join(message.get("body", b"") for message in rest)
        if (
            start.get("status") != 200
            or body != work.answer
            or headers.get(b"content-length") != b"%d" % len(body)
            or not headers.get(b"content-type", b"").startswith(work.media_type.encode())
        ):
            raise WrongAnswerError(f"{work.target} is answered {[start, *rest]!r:.300}")

    async def measure(self, calls: int) -> float:
        """Microseconds of CPU for each of so many calls, the driver's own included."""
        # Whoever was measured before has filled the processor's caches.
        await self.ask(calls // 5)
        began = process_time()
        await self.ask(calls)
        return (process_time() - began) / calls * 1e6

    async def ask(self, calls: int) -> Exchange:
        """Ask so many times, one after the other: the last exchange; all of them were answered 200."""
        application, headers, body = self._application, self._headers, self._work.body
        exchange = Exchange(body)
        for _ in range(calls):
            exchange = Exchange(body)
            await application(
                {
                    "type": "http",
                    "asgi": {"version": "3.0", "spec_version": "2.3"},
                    "http_version": "1.1",
                    "method": self._method,
                    "scheme": "http",
                    "path": self._path,
                    "raw_path": self._raw,
                    "query_string": self._query,
                    "root_path": "",
                    "headers": headers,
                    "client": ("127.0.0.1", 40000),
                    "server": ("127.0.0.1", 8000),
                    "state": {},
                },
                exchange.receive,
                exchange.send,
            )
            if exchange.messages[0]["status"] != 200:
                raise WrongAnswerError(
                    f"{self._work.target} is answered {exchange.messages!r:.300}"
                )
        return exchange


async def in_turn(drivers: Sequence[Driver]) -> float:
    """Microseconds of CPU for each call, if every one of these asks once."""
    began = process_time()
    for driver in drivers:
        await driver.ask(1)
    return (process_time() - began) / len(drivers) * 1e6


@asynccontextmanager
async def started(application: Application) -> AsyncIterator[None]:
    """Start an application by ASGI's lifespan protocol, and stop it at the end of the block.

    Raises:
        RuntimeError: It does not start.
    """
    begun, stop, stopped = anyio.Event(), anyio.Event(), anyio.Event()
    said: list[Any] = []

    async def receive() -> Any:
        if not begun.is_set() and not said:
            said.append({"type": "lifespan.startup"})
            return said.pop()
        await stop.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Any) -> None:
        said.append(message)
        begun.set()

    async def live() -> None:
        try:
            await application(
                {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send
            )
        finally:
            begun.set()
            stopped.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(live)
        await begun.wait()
        if said != [{"type": "lifespan.startup.complete"}]:
            raise RuntimeError(f"does not start: {said}")
        try:
            yield
        finally:
            stop.set()
            await stopped.wait()
