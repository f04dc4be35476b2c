"""Deadlines, disconnects, stop and reload of a running service: nothing accepted is lost."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import asynccontextmanager
from random import random
from typing import Any

import anyio
import pytest

import covet_http as http
from covet_http import HTTP, Http
from covet_kernel import Kernel, Plugin, PluginConfig
from covet_kernel.contracts import Operation
from covet_kernel.testing import assembly_of
from covet_memory import Memory
from covet_operations import Operations, operation, operations_of


class Log:
    def __init__(self) -> None:
        self.events: list[str] = []
        self.started = anyio.Event()
        self.release = anyio.Event()


def shop(log: Log) -> tuple[Any, ...]:
    async def wait(name: str) -> str:
        log.started.set()
        try:
            await log.release.wait()
        except BaseException:
            log.events.append(f"{name} cancelled")
            raise
        log.events.append(f"{name} finished")
        return name

    @http.get("/cancel")
    async def cancel() -> str:
        return await wait("cancel")

    @operation(on_disconnect="finish")
    @http.get("/finish")
    async def finish() -> str:
        return await wait("finish")

    @operation(on_disconnect="notify")
    @http.get("/notify")
    async def notify(request: http.Request) -> str:
        name = await wait("notify")
        log.events.append(f"gone: {request.disconnected}")
        return name

    @operation(deadline=0.1)
    @http.get("/late")
    async def late() -> str:
        return await wait("late")

    @http.post("/cancel-post")
    async def cancel_post(text: str = "") -> str:
        return await wait("post")

    return cancel, finish, notify, late, cancel_post


async def happened(log: Log, *events: str) -> None:
    with anyio.fail_after(10):
        while log.events != list(events):
            await anyio.sleep(0.005)


async def test_a_deadline_is_504(web: Any) -> None:
    log = Log()
    async with web.serving(*shop(log)) as service:
        answer = await service.ask("GET", "/late")
    assert answer.status == 504
    assert answer.json["code"] == "deadline-exceeded"
    assert log.events == ["late cancelled"]


@pytest.mark.parametrize("target", ["GET /cancel", "POST /cancel-post"])
async def test_a_disconnect_cancels(web: Any, target: str) -> None:
    log = Log()
    async with web.serving(*shop(log)) as service:
        async with service.connect() as client:
            await client.send(f"{target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            await log.started.wait()
        await happened(log, "post cancelled" if "post" in target else "cancel cancelled")


async def test_a_disconnect_finishes(web: Any) -> None:
    log = Log()
    async with web.serving(*shop(log)) as service:
        async with service.connect() as client:
            await client.send(b"GET /finish HTTP/1.1\r\nHost: a\r\n\r\n")
            await log.started.wait()
        await anyio.sleep(0.05)
        log.release.set()
        await happened(log, "finish finished")


async def test_a_disconnect_is_notified(web: Any) -> None:
    log = Log()
    async with web.serving(*shop(log)) as service:
        async with service.connect() as client:
            await client.send(b"GET /notify HTTP/1.1\r\nHost: a\r\n\r\n")
            await log.started.wait()
        await anyio.sleep(0.05)
        log.release.set()
        await happened(log, "notify finished", "gone: True")


async def test_stop_answers_what_runs(web: Any) -> None:
    log = Log()
    async with anyio.create_task_group() as tasks:
        answers: list[int] = []
        async with web.serving(*shop(log)) as service:

            async def ask() -> None:
                answers.append((await service.ask("GET", "/cancel")).status)

            async def release_later() -> None:
                await anyio.sleep(0.1)
                log.release.set()

            tasks.start_soon(ask)
            await log.started.wait()
            tasks.start_soon(release_later)
    assert answers == [200]


async def test_past_the_drain_deadline_calls_are_answered_503(web: Any) -> None:
    log = Log()
    answers: list[Any] = []
    module = type("Module", (), {})

    class Shop(Plugin[None]):
        """Its one call never ends."""

        @http.get("/cancel")
        async def cancel(self) -> str:
            log.started.set()
            await anyio.sleep_forever()
            return ""

        def covet_operations(self) -> Iterable[Operation]:
            return operations_of(self)

    del module
    classes = {"operations": Operations, **web.servers, "http": Http, "shop": Shop}
    tables = {"http": {"port": 0, "linger": 0.05, "server": web.server}}
    assembly = assembly_of(classes, tables, kernel={"drain_timeout": 0.2})
    async with anyio.create_task_group() as tasks:
        try:
            async with Kernel(assembly).running() as kernel:
                url = kernel.require(HTTP).urls[0]
                port = int(url.rpartition(":")[2])

                async def ask() -> None:
                    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                        await stream.send(b"GET /cancel HTTP/1.1\r\nHost: a\r\n\r\n")
                        data = b""
                        try:
                            while True:
                                data += await stream.receive()
                        except anyio.EndOfStream:
                            answers.append(data)

                tasks.start_soon(ask)
                await log.started.wait()
        except ExceptionGroup as group:
            answers.append(group)
    (data,) = [each for each in answers if isinstance(each, bytes)]
    assert data.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in data.lower()


class VersionConfig(PluginConfig):
    version: int = 1


class Versioned(Plugin[VersionConfig]):
    """Tells its version; a call must end in the phase it began in."""

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Any) -> Any:
        self.open = True
        try:
            yield
        finally:
            self.open = False

    @http.get("/version")
    async def version(self) -> int:
        assert self.open
        await anyio.sleep(0.002)
        assert self.open
        return self.config.version

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)


def versioned(web: Any, number: int, **http_config: Any) -> Any:
    classes = {"operations": Operations, **web.servers, "http": Http, "shop": Versioned}
    http = {"port": 0, "linger": 0.3, "server": web.server, **http_config}
    tables = {"http": http, "shop": {"version": number}}
    return assembly_of(classes, tables)


async def test_reload_under_load_loses_nothing(web: Any) -> None:
    answers: list[tuple[int, Any]] = []
    running = True
    async with Kernel(versioned(web, 1)).running() as kernel:
        port = int(kernel.require(HTTP).urls[0].rpartition(":")[2])

        async def ask(keep: bool) -> None:
            while running:
                with anyio.fail_after(20):
                    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                        client = web.Client(stream)
                        for _ in range(20 if keep else 1):
                            answer = await client.ask("GET", "/version")
                            answers.append((answer.status, answer.json))

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(ask, number % 2 == 0)
            for number in range(2, 8):
                await anyio.sleep(0.05)
                await kernel.reload(versioned(web, number))
                answers.append((200, -number))
            running = False
    assert {status for status, _ in answers} == {200}
    assert len(answers) > 10  # how many there are in time depends on the machine
    seen = [value for _, value in answers]
    # After a reload was reported done, no answer is of an older version.
    newest = 1
    for value in seen:
        if value < 0:
            newest = -value
        else:
            assert value >= newest


async def test_stop_under_load_loses_nothing(web: Any) -> None:
    answers: list[int] = []
    refused: list[int] = []
    async with anyio.create_task_group() as tasks:
        async with Kernel(versioned(web, 1)).running() as kernel:
            port = int(kernel.require(HTTP).urls[0].rpartition(":")[2])

            async def ask() -> None:
                while True:
                    try:
                        stream = await anyio.connect_tcp("127.0.0.1", port)
                    except OSError:
                        refused.append(1)
                        return
                    with anyio.fail_after(20):
                        async with stream:
                            client = web.Client(stream)
                            for _ in range(10):
                                answer = await client.ask("GET", "/version")
                                answers.append(answer.status)
                                if answer.headers.get("connection") == "close":
                                    break

            for _ in range(16):
                tasks.start_soon(ask)
            await anyio.sleep(0.3)
    assert set(answers) == {200}
    assert len(answers) > 10  # how many there are in time depends on the machine
    assert len(refused) == 16


async def test_a_reload_that_does_not_compile_leaves_the_old_routes(web: Any) -> None:
    class Clash(Plugin[None]):
        """Declares a route that is taken."""

        @http.get("/version")
        async def another(self) -> int:
            return 0

        def covet_operations(self) -> Iterable[Operation]:
            return operations_of(self)

    async with Kernel(versioned(web, 1)).running() as kernel:
        port = int(kernel.require(HTTP).urls[0].rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            client = web.Client(stream)
            assert (await client.ask("GET", "/version")).json == 1
            classes = {
                "operations": Operations, **web.servers, "http": Http, "shop": Versioned,
                "clash": Clash,
            }  # fmt: skip
            tables = {
                "http": {"port": 0, "linger": 0.3, "server": web.server},
                "shop": {"version": 1},
            }
            with pytest.raises(ExceptionGroup, match="former configuration"):
                await kernel.reload(assembly_of(classes, tables))
            assert (await client.ask("GET", "/version")).json == 1


@http.post("/orders", status=201, idempotency="required")
async def order() -> float:
    return random()


def storing(web: Any, entries: int) -> Any:
    classes = {
        "operations": Operations, **web.servers, "http": Http, "memory": Memory,
        "shop": web.plugin_of(order),
    }  # fmt: skip
    http = {"port": 0, "server": web.server}
    return assembly_of(classes, {"http": http, "memory": {"store": {"entries": entries}}})


async def test_another_store_of_answers_closes_no_connection(web: Any) -> None:
    headers = {"Idempotency-Key": "k"}
    async with Kernel(storing(web, 10)).running() as kernel:
        port = int(kernel.require(HTTP).urls[0].rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            client = web.Client(stream)
            first = await client.ask("POST", "/orders", headers=headers)
            assert (await client.ask("POST", "/orders", headers=headers)).body == first.body
            assert "http" not in await kernel.reload(storing(web, 20))
            # The new store is empty, and it is the one that is asked.
            other = await client.ask("POST", "/orders", headers=headers)
            assert (other.status, other.body == first.body) == (201, False)
            assert (await client.ask("POST", "/orders", headers=headers)).body == other.body
