"""Stop and reload: every accepted request gets its answer."""

from __future__ import annotations

from typing import Any

import anyio
import pytest


async def test_stop_answers_what_is_in_flight(server: Any) -> None:
    application, started, release = server.held()
    async with server.listening(application) as (listener, port), server.connected(port) as client:
        await client.send(server.GET)
        await started.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.stop)
            await anyio.wait_all_tasks_blocked()
            release.set()
            status, head, _ = await client.answer()
            assert status == 200
            assert b"connection: close" in head.lower()
            assert await client.until_closed() == b""


async def test_stop_answers_the_backlog(server: Any) -> None:
    # Connected as the system sees it, but not accepted yet.
    async with server.listening() as (listener, port):
        async with anyio.create_task_group() as tasks:
            statuses: list[int] = []

            async def ask() -> None:
                async with server.connected(port) as client:
                    await client.send(server.GET)
                    statuses.append((await client.answer())[0])

            for _ in range(50):
                tasks.start_soon(ask)
            await anyio.sleep(0.1)
            assert statuses == []
            listener.begin(server.hello)
            await listener.stop()
        assert statuses == [200] * 50


async def test_stop_lets_an_idle_connection_send_one_more(server: Any) -> None:
    async with server.listening(server.hello, linger=1.0) as (listener, port):
        async with server.connected(port) as client, anyio.create_task_group() as tasks:
            await client.send(server.GET)
            await client.answer()
            tasks.start_soon(listener.stop)
            await anyio.wait_all_tasks_blocked()
            await client.send(server.GET)
            status, head, _ = await client.answer()
            assert status == 200
            assert b"connection: close" in head.lower()


async def test_stop_closes_idle_connections(server: Any) -> None:
    async with server.listening(server.hello) as (listener, port), server.connected(port) as client:
        await client.send(server.GET)
        await client.answer()
        await listener.stop()
        assert await client.until_closed() == b""


async def test_stop_closes_the_listening_socket(server: Any) -> None:
    async with server.listening(server.hello) as (listener, port):
        await listener.stop()
        with pytest.raises(OSError, match="connect"):
            await anyio.connect_tcp("127.0.0.1", port)


async def test_stop_under_load_loses_nothing(server: Any) -> None:
    """Clients in a loop on their connections: each request is answered until the last says close."""
    answered = 0
    refused = 0
    busy = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep(0.002)
        await server.hello(scope, receive, send)

    async with server.listening(application, linger=0.5) as (listener, port):

        async def ask() -> None:
            nonlocal answered, refused
            while True:
                try:
                    stream = await anyio.connect_tcp("127.0.0.1", port)
                except OSError:
                    refused += 1
                    return
                async with stream:
                    client = server.client(stream)
                    for _ in range(5):
                        await client.send(server.GET)
                        status, head, body = await client.answer()
                        assert (status, body) == (200, b"ok")
                        answered += 1
                        if answered >= 100:
                            busy.set()
                        if b"connection: close" in head.lower():
                            break

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(ask)
                await busy.wait()
                await listener.stop()
    assert refused == 20


async def test_pause_holds_requests_until_the_next_phase(server: Any) -> None:
    async def second(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"6")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"second"})

    application, started, release = server.held()
    async with server.listening(application) as (listener, port):
        async with server.connected(port) as early, server.connected(port) as idle:
            await early.send(server.GET)
            await started.wait()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.pause)
                await anyio.wait_all_tasks_blocked()
                await idle.send(server.GET)
                async with server.connected(port) as late:
                    await late.send(server.GET)
                    await anyio.sleep(0.1)
                    release.set()
                    assert (await early.answer())[2] == b"ok"
                    listener.begin(second)
                    assert (await idle.answer())[2] == b"second"
                    assert (await late.answer())[2] == b"second"


async def test_reloads_under_load_lose_nothing(server: Any) -> None:
    answers: list[int] = []
    current = 0

    def phase(number: int) -> Any:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            assert number == current
            await anyio.sleep(0.001)
            assert number == current
            await server.hello(scope, receive, send)

        return application

    async with server.listening(phase(0)) as (listener, port):
        running = True

        async def ask() -> None:
            async with server.connected(port) as client:
                while running:
                    await client.send(server.GET)
                    answers.append((await client.answer())[0])

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask)
            for number in range(1, 20):
                await anyio.sleep(0.01)
                await listener.pause()
                current = number
                listener.begin(phase(number))
            running = False
    assert len(answers) > 10  # how many there are in time depends on the machine
    assert set(answers) == {200}


async def test_leaving_without_a_phase_answers_503(server: Any) -> None:
    async with anyio.create_task_group() as tasks:
        result: list[tuple[int, bytes]] = []

        async def ask(port: int) -> None:
            async with server.connected(port) as client:
                await client.send(server.GET)
                status, head, _ = await client.answer()
                result.append((status, head))

        async with server.listening(server.hello) as (listener, port):
            await listener.pause()
            tasks.start_soon(ask, port)
            await anyio.sleep(0.1)
    assert result[0][0] == 503
    assert b"retry-after: 1" in result[0][1].lower()


async def test_leaving_cancels_what_does_not_end(server: Any) -> None:
    application, started, _ = server.held()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            async with server.listening(application) as (_, port):

                async def ask() -> None:
                    async with server.connected(port) as client:
                        await client.send(server.GET)
                        await client.until_closed()

                tasks.start_soon(ask)
                await started.wait()


@pytest.mark.parametrize("delay", range(12))
async def test_cancelling_stop_anywhere_leaves_nothing_behind(server: Any, delay: int) -> None:
    application, started, release = server.held()
    async with server.listening(application, linger=0.02) as (listener, port):
        async with server.connected(port) as client:
            await client.send(server.GET)
            await started.wait()
            with anyio.move_on_after(delay * 0.005):
                await listener.stop()
            release.set()
            assert (await client.answer())[0] == 200
            await listener.stop()
