"""A listener's life: begin, pause, begin again, stop; and leaving it in the middle of anything."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from memory import compiled, memory, request, serving

import covet_http as http
from covet_engine._config import EngineConfig, native_options
from covet_engine._library import load
from covet_engine._listener import listen
from covet_http import ServerOptions
from covet_kernel.testing import cancel_at_every_tick
from covet_operations import operation


class Gate:
    """What the handlers wait for, new for each test."""

    entered: anyio.Event
    release: anyio.Event
    seen: list[Any]


@pytest.fixture(autouse=True)
async def gate() -> None:
    Gate.entered, Gate.release = anyio.Event(), anyio.Event()
    Gate.seen = []


@http.get("/now")
def now() -> str:
    return "now"


@http.get("/wait")
async def wait(request: http.Request) -> str:
    Gate.entered.set()
    try:
        await Gate.release.wait()
    except anyio.get_cancelled_exc_class():
        Gate.seen.append(request.cause)
        raise
    return "waited"


@operation(on_disconnect="finish")
@http.get("/stubborn")
async def stubborn() -> str:
    with anyio.CancelScope(shield=True):
        await Gate.release.wait()
    return "done"


@http.get("/lines")
async def lines() -> AsyncIterator[int]:
    yield 1
    await Gate.release.wait()
    yield 2


async def test_pause_waits_for_calls_and_holds_newcomers() -> None:
    async with memory(now, wait) as engine, anyio.create_task_group() as tasks:
        first, second = engine.connect(), engine.connect()
        await first.send(request("/wait"))
        await engine.settle()
        paused = anyio.Event()

        async def pause() -> None:
            await engine.listener.pause()
            paused.set()

        tasks.start_soon(pause)
        await engine.settle()
        await second.send(request("/now"))
        await engine.settle()
        assert not paused.is_set()
        assert second.drain() == 0
        Gate.release.set()
        assert (await first.answer()).body == b'"waited"'
        await paused.wait()
        assert second.drain() == 0
        engine.listener.begin(engine.application)
        assert (await second.answer()).body == b'"now"'
        assert (await first.ask("/now")).body == b'"now"'


async def test_a_new_phase_has_new_routes() -> None:
    @http.get("/other")
    def other() -> str:
        return "other"

    @http.get("/now")
    def later() -> str:
        return "later"

    async with compiled(now) as old, compiled(other, later) as new, serving(old) as engine:
        connection = engine.connect()
        assert (await connection.ask("/now")).body == b'"now"'
        assert (await connection.ask("/other")).status == 404
        await engine.listener.pause()
        engine.listener.begin(new)
        assert (await connection.ask("/now")).body == b'"later"'
        assert (await connection.ask("/other")).body == b'"other"'


async def test_a_request_meets_one_phase_only() -> None:
    """However much of it had come when the phases changed: the numbers of routes never mix."""

    @http.post("/it")
    def old(n: int) -> str:
        return "old"

    @http.put("/aaa")
    def filler(n: int) -> str:
        return "filler"

    @http.post("/it")
    def new(n: int) -> str:
        return "new"

    data = request("/it", "POST", b'{"n": 5}')
    async with compiled(old) as first, compiled(filler, new) as second:
        for cut in (0, 5, 20, len(data) - 8, len(data) - 3):
            async with serving(first) as engine, anyio.create_task_group() as tasks:
                connection = engine.connect()
                await connection.send(data[:cut])
                await engine.settle()
                paused = anyio.Event()

                async def pause(listener: Any, paused: anyio.Event) -> None:
                    await listener.pause()
                    paused.set()

                tasks.start_soon(pause, engine.listener, paused)
                await engine.settle()
                begun = not paused.is_set()
                await connection.send(data[cut:])
                await engine.settle()
                if begun:
                    assert (await connection.answer()).body == b'"old"'
                    await paused.wait()
                    await connection.send(data)
                else:
                    assert connection.drain() == 0
                engine.listener.begin(second)
                assert (await connection.answer()).body == b'"new"'


async def test_stop_answers_what_was_accepted() -> None:
    async with memory(now, wait, lines) as engine, anyio.create_task_group() as tasks:
        connections = [engine.connect() for _ in range(3)]
        for connection, target in zip(connections, ("/wait", "/lines", "/wait"), strict=True):
            await connection.send(request(target))
        await engine.settle()
        stopped = anyio.Event()

        async def stop() -> None:
            await engine.listener.stop()
            stopped.set()

        tasks.start_soon(stop)
        await engine.settle()
        assert not stopped.is_set()
        Gate.release.set()
        answers = [await connection.answer() for connection in connections]
        assert [answer.body for answer in answers] == [b'"waited"', b"1\n2\n", b'"waited"']
        assert answers[0].closes
        with anyio.fail_after(5):
            await stopped.wait()
        assert engine.core.counters.connections == 0


async def test_stop_twice_and_with_nobody_there() -> None:
    async with memory(now) as engine:
        with anyio.fail_after(5):
            await engine.listener.stop()
            await engine.listener.stop()


async def test_stop_before_anything_began() -> None:
    library = load()
    native = native_options(library, EngineConfig(), ServerOptions())
    async with listen(library, native, [], counting=lambda counters: nullcontext()) as listener:
        with anyio.fail_after(5):
            await listener.stop()


async def test_stop_after_a_worker_crashed() -> None:
    library = load()
    native = native_options(library, EngineConfig(), ServerOptions())
    kept = []
    with pytest.raises(ExceptionGroup) as caught:
        async with listen(library, native, [], counting=lambda counters: nullcontext()) as listener:
            kept.append(listener)
            raise OSError("a worker's")
    assert caught.group_contains(OSError, match="a worker's")
    with anyio.fail_after(5):
        await kept[0].stop()


async def test_stop_waits_for_a_call_whose_client_is_gone() -> None:
    async with memory(stubborn) as engine, anyio.create_task_group() as tasks:
        connection = engine.connect()
        await connection.send(request("/stubborn"))
        await engine.settle()
        connection.leave()
        stopped = anyio.Event()

        async def stop() -> None:
            await engine.listener.stop()
            stopped.set()

        tasks.start_soon(stop)
        await engine.settle()
        assert not stopped.is_set()
        Gate.release.set()
        with anyio.fail_after(5):
            await stopped.wait()


async def test_past_the_deadline_calls_are_told_and_answered_503() -> None:
    async with memory(wait) as engine:
        connection = engine.connect()
        await connection.send(request("/wait"))
        await engine.settle()
        with anyio.move_on_after(0.05) as patience:
            await engine.listener.stop()
        assert patience.cancelled_caught
        engine.application.shut_down()
        with anyio.fail_after(5):
            answer = await connection.answer()
            await engine.listener.stop()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert Gate.seen == ["shutdown"]


async def test_leaving_tells_the_calls_and_ends_them() -> None:
    async with memory(wait, stubborn) as engine:
        connection = engine.connect()
        await connection.send(request("/wait"))
        await engine.settle()
        lib, core = engine.lib, engine.core
    assert Gate.seen == ["shutdown"]
    assert core.engine is None
    assert lib is not None


async def test_listening_sockets_are_closed_whatever_happens() -> None:
    library = load()
    for broken in (False, True):
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        if not broken:
            bound.listen(5)
        bound.setblocking(False)
        native = native_options(library, EngineConfig(), ServerOptions())
        with pytest.raises((OSError, ExceptionGroup)):
            async with listen(
                library, native, [bound], counting=lambda counters: nullcontext()
            ) as listener:
                async with compiled(now) as application:
                    listener.begin(application)
                    raise ZeroDivisionError
        assert bound.fileno() == -1


async def test_cancelled_at_every_turn() -> None:
    """Whenever the owner goes away: calls have ended, the engine is freed, no task is left."""
    async with compiled(now, wait, lines) as application:
        cores = []

        async def one() -> None:
            async with serving(application) as engine:
                cores.append(engine.core)
                first, second, third = (engine.connect() for _ in range(3))
                await first.send(request("/now") + request("/wait"))
                await second.send(request("/lines"))
                assert (await first.answer()).status == 200
                await engine.listener.pause()
                engine.listener.begin(engine.application)
                await third.ask("/now")
                for connection in (first, second, third):
                    connection.leave()
                await engine.listener.stop()

        async def check() -> None:
            if cores:
                assert cores[-1].engine is None

        Gate.release.set()
        assert await cancel_at_every_tick(one, check=check) > 5
        Gate.entered, Gate.release = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            await Gate.entered.wait()
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        await check()
        # All are cancelled at once, and either the handler or who says why comes first.
        assert Gate.seen
        assert set(Gate.seen) <= {"shutdown", None}


async def test_asgi_applications_are_served_and_ended_too() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            await Gate.release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    async with serving(application) as engine:
        connection = engine.connect()
        assert (await connection.ask("/")).body == b"hello"
        await connection.send(request("/wait"))
        await engine.settle()
        core = engine.core
    assert core.engine is None
