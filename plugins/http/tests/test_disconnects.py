"""How calls end before their answers do, and what the access log of either server says of it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any

import anyio
import pytest

import covet_http as http
from covet_http import HTTP, Http
from covet_kernel import Kernel, Plugin
from covet_kernel.contracts import Operation
from covet_kernel.testing import assembly_of
from covet_operations import Operations, operation, operations_of

ACCESS = "covet.http.access"


class Shop:
    """Handlers that wait, and what has happened to them."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.events: list[str] = []

    async def _wait(self, name: str) -> None:
        self.begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.events.append(name)

    @http.get("/books")
    async def books(self) -> list[int]:
        return [1, 2]

    @http.get("/waits")
    async def waits(self) -> None:
        await self._wait("cancelled")

    @http.get("/late", deadline=0.05)
    async def late(self) -> None:
        await self._wait("late")

    @http.get("/late-lines", deadline=0.2)
    async def late_lines(self) -> AsyncIterator[int]:
        yield 1
        await self._wait("late")

    @http.get("/lines")
    async def lines(self) -> AsyncIterator[int]:
        yield 1
        await self._wait("cancelled")

    @http.get("/endless")
    async def endless(self) -> AsyncIterator[str]:
        try:
            while True:
                yield "x" * 65_536
        finally:
            self.events.append("given up")

    @http.post("/books")
    async def add(self, title: str) -> str:
        return title

    @http.post("/pieces")
    async def pieces(self, data: Annotated[AsyncIterator[bytes], http.Body("text/plain")]) -> int:
        try:
            return sum([len(each) async for each in data])
        finally:
            self.events.append("ended")

    @http.get("/broken-lines")
    async def broken_lines(self) -> AsyncIterator[int]:
        yield 1
        raise ValueError

    @operation(on_disconnect="notify")
    @http.get("/notified")
    async def notified(self, request: http.Request) -> str:
        self.begun.set()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(request.wait_disconnected)
            await request.wait_disconnected()
        await request.wait_disconnected()
        self.events.append(f"told: {request.disconnected}, cancelled by {request.cause}")
        return "nobody reads this"

    @operation(on_disconnect="notify")
    @http.get("/notified-lines")
    async def notified_lines(self, request: http.Request) -> AsyncIterator[int]:
        yield 1
        self.begun.set()
        await request.wait_disconnected()
        self.events.append("told")

    @operation(on_disconnect="finish")
    @http.get("/finishes")
    async def finishes(self) -> str:
        self.begun.set()
        await anyio.sleep(0.1)
        self.events.append("finished")
        return "nobody reads this"


def serving(web: Any, shop: Shop, **http: Any) -> Any:
    plugins = {"more": web.plugin_of(covet_operations=lambda self: operations_of(shop))}
    return web.serving(plugins=plugins, http=http, config={web.server: {"access_log": True}})


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(each.getMessage()) for each in caplog.records if each.name == ACCESS]


async def logged(caplog: pytest.LogCaptureFixture, number: int = 1) -> list[dict[str, Any]]:
    with anyio.fail_after(10):
        while len(lines(caplog)) < number:
            await anyio.sleep(0.01)
    return lines(caplog)


async def happened(shop: Shop, *events: str) -> None:
    with anyio.fail_after(10):
        while shop.events != list(events):
            await anyio.sleep(0.01)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger=ACCESS)
    return caplog


async def test_both_servers_log_the_same_fields(web: Any, log: pytest.LogCaptureFixture) -> None:
    async with serving(web, Shop()) as service:
        await service.ask("GET", "/books?a=b", headers={"User-Agent": "test"})
        await service.ask("HEAD", "/books")
        found = await logged(log, 2)
    first, second = ({**each, "ms": each["ms"] >= 0} for each in found)
    assert first == {
        "client": "127.0.0.1", "method": "GET", "target": "/books?a=b", "http": "1.1", "status": 200,
        "ms": True, "bytes": 5, "agent": "test",
    }  # fmt: skip
    assert (second["method"], second["bytes"]) == ("HEAD", 0)
    assert list(found[0]) == [
        "client",
        "method",
        "target",
        "http",
        "status",
        "ms",
        "bytes",
        "agent",
    ]


@pytest.mark.parametrize(
    ("target", "event"),
    [
        ("/waits", "cancelled"),
        ("/lines", "cancelled"),
        ("/notified", "told: True, cancelled by None"),
        ("/notified-lines", "told"),
        ("/finishes", "finished"),
    ],
)
async def test_a_client_that_leaves_is_499(
    web: Any, log: pytest.LogCaptureFixture, target: str, event: str
) -> None:
    shop = Shop()
    async with serving(web, shop) as service:
        async with service.connect() as client:
            await client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            with anyio.fail_after(10):
                await shop.begun.wait()
        await happened(shop, event)
        (line,) = await logged(log)
    assert (line["target"], line["status"]) == (target, 499)


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("target", "kind"), [("/books", "application/json"), ("/pieces", "text/plain")]
)
async def test_a_client_that_stops_in_the_middle_of_a_body_is_told_408(
    web: Any, log: pytest.LogCaptureFixture, target: str, kind: str
) -> None:
    shop = Shop()
    head = f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: 9\r\n\r\n"
    async with serving(web, shop, read_timeout=0.1) as service:
        async with service.connect() as client:
            await client.send(f"{head}{{".encode())
            assert (await client.answer("POST")).status == 408
            await client.until_closed()
        (line,) = await logged(log)
    assert (line["target"], line["status"]) == (target, 408)
    assert shop.events == (["ended"] if target == "/pieces" else [])
    assert failures(log) == []


async def test_a_client_that_leaves_in_the_middle_of_a_body_is_no_failure(
    web: Any, log: pytest.LogCaptureFixture
) -> None:
    async with serving(web, Shop()) as service:
        async with service.connect() as client:
            await client.send(
                b"POST /books HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                b"Content-Length: 9\r\n\r\n{"
            )
        assert (await service.ask("GET", "/books")).status == 200
    # Whether there was a request at all, and whether anybody reads its answer, cannot be known.
    assert {each["status"] for each in lines(log)} <= {200, 400, 499}
    assert failures(log) == []


async def test_a_client_that_does_not_read_is_499(web: Any, log: pytest.LogCaptureFixture) -> None:
    shop = Shop()
    async with serving(web, shop, write_timeout=0.2) as service:
        async with service.connect() as client:
            await client.send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            await happened(shop, "given up")
            (line,) = await logged(log)
    assert line["status"] == 499
    assert failures(log) == []


async def test_a_deadline_is_504(web: Any, log: pytest.LogCaptureFixture) -> None:
    shop = Shop()
    async with serving(web, shop) as service:
        answer = await service.ask("GET", "/late")
        async with service.connect() as client:
            await client.send(b"GET /late-lines HTTP/1.1\r\nHost: a\r\n\r\n")
            data = await client.until_closed()
        found = await logged(log, 2)
    assert answer.status == 504
    # The head was out by then, so that only the cut tells the client.
    assert data.startswith(b"HTTP/1.1 200")
    assert not data.endswith(b"0\r\n\r\n")
    assert [each["status"] for each in found] == [504, 504]
    assert shop.events == ["late", "late"]


async def test_a_stream_that_breaks_is_500(web: Any, log: pytest.LogCaptureFixture) -> None:
    async with serving(web, Shop()) as service:
        async with service.connect() as client:
            await client.send(b"GET /broken-lines HTTP/1.1\r\nHost: a\r\n\r\n")
            data = await client.until_closed()
        (line,) = await logged(log)
    assert not data.endswith(b"0\r\n\r\n")
    assert line["status"] == 500


@pytest.mark.parametrize("target", ["/waits", "/lines"])
async def test_a_service_that_stops_is_503(
    web: Any, log: pytest.LogCaptureFixture, target: str
) -> None:
    shop = Shop()

    class More(Plugin[None]):
        def covet_operations(self) -> Iterable[Operation]:
            return operations_of(shop)

    classes = {"operations": Operations, **web.servers, "http": Http, "more": More}
    tables: dict[str, Any] = {
        "http": {"port": 0, "linger": 0.05, "server": web.server},
        web.server: {"access_log": True},
    }
    assembly = assembly_of(classes, tables, kernel={"drain_timeout": 0.2})
    answers: list[bytes] = []

    async def ask(port: int) -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            answers.append(await web.Client(stream).until_closed())

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            with pytest.raises(ExceptionGroup):
                async with Kernel(assembly).running() as kernel:
                    url = kernel.require(HTTP).urls[0]
                    tasks.start_soon(ask, int(url.rpartition(":")[2]))
                    await shop.begun.wait()
    assert answers[0].startswith(b"HTTP/1.1 503" if target == "/waits" else b"HTTP/1.1 200")
    assert [each["status"] for each in lines(log)] == [503]
