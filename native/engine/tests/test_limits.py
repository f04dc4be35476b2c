"""Limits: how many connections, how many bytes, how much at once."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from served import Current, process, serving
from wire import connect, connected, read_answers, request

ONLY_ENGINE = pytest.mark.parametrize("server", ["engine"])


async def settled(call: Any, expected: Any) -> None:
    with anyio.fail_after(10):
        while await call() != expected:
            await anyio.sleep(0.01)


async def test_accepting_pauses_at_the_limit(server: str) -> None:
    async with serving(server, http={"max_connections": 3}) as service:
        clients = [await connect(service.port) for _ in range(10)]
        for number, client in enumerate(clients):
            await client.send(request(f"/hit/{number}"))
        for number in range(3):
            assert (await clients[number].answer()).body == b'"%d"' % number
        with anyio.move_on_after(0.2) as patience:
            await clients[3].answer()
        assert patience.cancelled_caught
        # One place after the other, in any order of leaving.
        for number in range(10):
            clients[number].close() if number % 2 else clients[number].reset()
            if number + 3 < 10:
                with anyio.fail_after(10):
                    assert (await clients[number + 3].answer()).body == b'"%d"' % (number + 3)
        async with service.connect() as late:
            assert (await late.ask("/hit/late")).status == 200


async def test_nobody_in_the_backlog_is_lost_at_the_limit(server: str) -> None:
    answered = 0
    async with serving(server, http={"max_connections": 5}) as service:

        async def ask(number: int) -> None:
            nonlocal answered
            async with connected(service.port) as client:
                assert (await client.ask(f"/slow/{number}?ms=1")).body == b'"%d"' % number
                answered += 1

        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(ask, number)
    assert answered == 200


@pytest.mark.parametrize("size", [1024, 4096, 32 * 1024])
async def test_the_size_of_a_head(server: str, size: int) -> None:
    def head(total: int) -> bytes:
        bare = request("/hit/1", "GET", b"", "X: ")
        return bare.replace(b"X: ", b"X: " + b"y" * (total - len(bare)))

    async with serving(server, http={"max_header_bytes": size}) as service:
        for piece in (0, 100):
            async with service.connect() as client:
                # h11 counts the event, the engine the head.
                for total in (size - 1, size) if server == "engine" else (size - 100,):
                    await client.offer(head(total), piece)
                    assert (await client.answer()).status == 200
                for total in (size + 1,) if server == "engine" else (size + 70_000,):
                    await client.offer(head(total), piece)
                    answer = await client.answer()
                    assert (answer.status, answer.closes) == (431, True)
                    await client.until_closed()


@ONLY_ENGINE
async def test_the_number_of_fields(server: str) -> None:
    async with serving(server, engine={"max_fields": 20}) as service:
        async with service.connect() as client:
            await client.send(request("/hit/1", "GET", b"", *["X: y"] * 19))
            assert (await client.answer()).status == 200
            await client.send(request("/hit/1", "GET", b"", *["X: y"] * 20))
            assert (await client.answer()).status == 431


@pytest.mark.parametrize("coding", ["length", "chunked"])
async def test_the_size_of_a_body(server: str, coding: str) -> None:
    def body(size: int) -> bytes:
        data = b'{"n":5}'.ljust(size)
        if coding == "length":
            return request("/numbers", "POST", data)
        head = request("/numbers", "POST", data)[:-size]
        head = head.replace(b"Content-Length: %d" % size, b"Transfer-Encoding: chunked")
        return head + b"".join(
            b"%x\r\n%s\r\n" % (len(part), part)
            for part in (data[at : at + 1000] for at in range(0, size, 1000))
        ) + b"0\r\n\r\n"  # fmt: skip

    async with serving(server, http={"max_body_bytes": 50_000}) as service:
        for piece in (0, 777):
            for size, status in ((50_000, 200), (50_001, 413), (300_000, 413)):
                async with service.connect() as client, anyio.create_task_group() as tasks:
                    tasks.start_soon(client.offer, body(size), piece)
                    assert (await client.answer()).status == status
                    tasks.cancel_scope.cancel()


async def test_a_body_larger_than_any_buffer_is_read(server: str) -> None:
    total = 3_000_000
    data = request("/numbers", "POST", b'{"n":5}'.ljust(total))
    async with serving(server, http={"max_body_bytes": total}) as service:
        for piece in (0, 50_001):
            async with service.connect() as client:
                await client.offer(data + request("/hit/behind"), piece)
                assert (await client.answer()).body == b"5"
                assert (await client.answer()).body == b'"behind"'


@ONLY_ENGINE
async def test_requests_in_flight_are_bounded(server: str) -> None:
    async with serving(server, engine={"max_in_flight": 8, "max_pipelined": 3}) as service:
        clients = [await connect(service.port) for _ in range(10)]
        for client in clients:
            await client.send(request("/wait") * 5)
        await Current.state.started.wait()
        await anyio.sleep(0.2)
        assert Current.state.running <= 8
        Current.state.release.set()
        with anyio.fail_after(20):
            for client in clients:
                for _ in range(5):
                    assert (await client.answer()).body == b'"wait"'
                client.close()


@ONLY_ENGINE
async def test_requests_of_one_connection_are_bounded(server: str) -> None:
    async with serving(server, engine={"max_pipelined": 3}) as service:
        async with service.connect() as client, service.connect() as other:
            await client.send(request("/wait") * 20)
            await Current.state.started.wait()
            await anyio.sleep(0.1)
            assert 1 <= Current.state.running <= 3
            await other.ask("/hit/other")
            Current.state.release.set()
            for _ in range(20):
                assert (await client.answer()).body == b'"wait"'


async def test_what_follows_an_unsafe_request_waits_for_it(server: str) -> None:
    async with serving(server) as service, service.connect() as client:
        await client.send(request("/wait-post", "POST", b'{"n":5}') + request("/hit/behind"))
        await Current.state.started.wait()
        await anyio.sleep(0.1)
        assert Current.state.hits == []
        Current.state.release.set()
        assert (await client.answer()).body == b'"wait-post"'
        assert (await client.answer()).body == b'"behind"'


@ONLY_ENGINE
async def test_the_overhead_of_chunks(server: str) -> None:
    head = (
        b"POST /numbers HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    async with serving(server, engine={"max_chunk_overhead": 4096}) as service:
        for extension, status in ((100, 200), (2000, 413)):
            data = b"".join(b"1;a=" + b"b" * extension + b"\r\n%c\r\n" % c for c in b'{"n":5}')
            async with service.connect() as client:
                await client.offer(head + data + b"0\r\n\r\n")
                assert (await client.answer()).status == status


@ONLY_ENGINE
async def test_a_small_arena_delays_and_loses_nothing(server: str) -> None:
    small = {"arena_size": 1 << 20, "block_size": 32 * 1024}
    count = 200
    async with serving(server, engine=small) as service:
        clients = [await connect(service.port) for _ in range(count)]
        heads = [
            request(f"/later/{number}", "GET", b"", "X: " + "y" * 8000) for number in range(count)
        ]
        with anyio.fail_after(30):
            # Half a head of each does not fit in the arena together; whole ones pass one by one.
            for client, head in zip(clients, heads, strict=True):
                await client.send(head[:4000])
            answered = 0
            async with anyio.create_task_group() as tasks:

                async def finish(number: int) -> None:
                    nonlocal answered
                    await clients[number].offer(heads[number][4000:])
                    got = read_answers(await first(clients[number]))
                    assert got[0].status in (200, 503)
                    answered += got[0].status == 200

                async def first(client: Any) -> bytes:
                    data = bytearray()
                    while b"\r\n\r\n" not in data or data.endswith(b"\r\n\r\n"):
                        more = await client.receive()
                        data += more
                        if not more:
                            break
                    return bytes(data)

                for number in range(count):
                    tasks.start_soon(finish, number)
        assert answered > 0
        for client in clients:
            client.close()
        assert (await service.ask("/hit/alive")).status == 200


@ONLY_ENGINE
async def test_counts_tell_what_happened(server: str) -> None:
    async with serving(server) as service:

        async def counts() -> dict[str, float]:
            found: dict[str, float] = json.loads((await service.ask("/counts")).body)
            return found

        before = await counts()
        async with service.connect() as client:
            await client.send(request("/hit/1") * 3 + request("/missing"))
            for _ in range(4):
                await client.answer()
        async with service.connect() as client:
            await client.converse(b"GET / HTTP/1.1\r\n\r\n")
        async with service.connect() as client:
            await client.send(request("/wait"))
            await Current.state.started.wait()
            client.reset()

        async def gone() -> float:
            return (await counts())["engine.requests.disconnected"]

        await settled(gone, before["engine.requests.disconnected"] + 1)
        after = await counts()
        assert after["engine.requests.malformed"] == before["engine.requests.malformed"] + 1
        assert after["engine.connections"] == 1
        assert after["engine.requests.in_flight"] == 1
        assert after["engine.responses 2xx"] >= before["engine.responses 2xx"] + 3
        assert after["engine.responses 4xx"] == before["engine.responses 4xx"] + 2


async def test_cpu_is_idle_when_nothing_happens(anyio_backend_name: str, server: str) -> None:
    """Nobody turns in circles for connections in any waiting state."""
    async with process(server, anyio_backend_name, http={"keep_alive_timeout": 60}) as service:
        # Some of these have handlers that wait for ever; they end because their clients leave.
        clients = [await connect(service.port, buffer=4096) for _ in range(8)]
        for client, data in zip(
            clients,
            [
                b"",
                request("/hit/1"),
                request("/hit/1")[:-2],
                request("/numbers", "POST", b'{"n":5}')[:-2],
                request("/wait"),
                request("/text/30000000"),
                request("/endless"),
                request("/slow/1?ms=1800") + request("/hit/2") * 500,
            ],
            strict=True,
        ):
            await client.send(data)
        clients[0].finish()
        await service.ask("/hit/alive")
        await anyio.sleep(0.5)
        before = service.cpu
        await anyio.sleep(1.0)
        assert service.cpu - before < 0.3
        for client in clients:
            client.close()
