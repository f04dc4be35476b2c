"""Peers that leave, stall and half-close at every state; handlers that fail; stops and reloads at any moment."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import product
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from served import (
    FAILURES,
    Current,
    Service,
    State,
    classes,
    listening,
    process,
    serving,
    tables,
)
from wire import Client, WireError, connect, connected, read_answers, request

from covet_http import HTTP
from covet_kernel import Kernel
from covet_kernel.testing import assembly_of

JSON = b'{"n":5}'
GET = request("/hit/1")
POST = request("/numbers", "POST", JSON)
CHUNKED = (
    b"POST /numbers HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b'Transfer-Encoding: chunked\r\n\r\n7\r\n{"n":5}\r\n0\r\n\r\n'
)
EXPECT = request("/numbers", "POST", JSON, "Expect: 100-continue")[: -len(JSON)]


ONLY_ENGINE = pytest.mark.parametrize("server", ["engine"])


async def until(true: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not true():
            await anyio.sleep(0.002)


async def alive(service: Service) -> None:
    """Others are served, and the state shows that nothing runs on."""
    await until(lambda: Current.state.running == 0)
    assert (await service.ask("/hit/alive")).body == b'"alive"'


CUTS: dict[str, bytes] = {
    "before-a-byte": b"",
    "first-byte": GET[:1],
    "method": GET[:3],
    "request-line": GET[:9],
    "request-line-end": GET[: GET.index(b"\r\n") + 1],
    "first-field": GET[: GET.index(b"\r\n") + 4],
    "fields": GET[: GET.index(b"\r\n\r\n") + 2],
    "last-byte-of-the-head": GET[:-1],
    "head": POST[: -len(JSON)],
    "body": POST[:-3],
    "chunked-head": CHUNKED[: CHUNKED.index(b"\r\n\r\n") + 4],
    "chunk-size": CHUNKED[: CHUNKED.index(b"\r\n\r\n") + 5],
    "chunk-line-end": CHUNKED[: CHUNKED.index(b"\r\n\r\n") + 6],
    "chunk-data": CHUNKED[: CHUNKED.index(b"\r\n\r\n") + 10],
    "chunk-end": CHUNKED[: -len(b"0\r\n\r\n")],
    "last-chunk": CHUNKED[:-4],
    "trailers": CHUNKED[:-2],
    "expect": EXPECT,
    "expect-body": EXPECT + JSON[:3],
    "stream-in": request("/sum", "POST", b'{"n":1}\n' * 3).replace(b"application/json", b"application/x-ndjson")[:-5],
}  # fmt: skip
ENDS = ("reset", "close", "half-close")


async def end(client: Client, how: str) -> None:
    """Leave, in one of the ways there are; who half-closes still reads to the end."""
    if how == "reset":
        client.reset()
    elif how == "close":
        client.close()
    else:
        client.finish()
        await client.until_closed()


@pytest.mark.parametrize("cut", CUTS)
async def test_a_peer_leaves_within_a_request(server: str, cut: str) -> None:
    # bad input 25
    async with serving(server) as service, service.connect() as bystander:
        for settled, how in product((False, True), ENDS):
            for before in (b"", GET, GET * 5):
                async with service.connect() as client:
                    await client.send(before + CUTS[cut])
                    if settled:
                        for _ in range(4):
                            await anyio.lowlevel.checkpoint()
                    await end(client, how)
                await bystander.ask("/hit/bystander")
        await alive(service)
        assert set(Current.state.hits) <= {"1", "bystander", "alive"} | (
            {1} if "in" in cut else set()
        )


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("behind", [b"", GET * 3, POST, POST[:-2]])
async def test_a_peer_leaves_while_the_handler_waits(server: str, how: str, behind: bytes) -> None:
    async with serving(server) as service:
        for data in (
            request("/wait"),
            request("/wait-post", "POST", JSON),
            GET + request("/wait"),
            request("/slow/1?ms=20") + request("/wait"),
        ):
            Current.state.started = anyio.Event()
            async with service.connect() as client:
                await client.send(data + behind)
                await Current.state.started.wait()
                if not behind:
                    # Data that was sent before the end may keep it from being seen; a server
                    # that reads on only when it can parse on learns of it later.
                    await end(client, how)
                    await until(lambda: Current.state.running == 0)
                else:
                    await end(client, how)
                    await anyio.sleep(0.01)
                    Current.state.release.set()
                    await until(lambda: Current.state.running == 0)
                    Current.state.release = anyio.Event()
        await alive(service)


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_peer_leaves_while_its_answer_is_written(server: str, how: str) -> None:
    async with serving(server) as service:
        for target in ("/text/5000000", "/wait-text/5000000"):
            Current.state.release.set()
            for read in (False, True):
                async with service.connect(buffer=4096) as client:
                    await client.send(request(target) + GET * 3)
                    if read:
                        assert await client.receive()
                    else:
                        await anyio.sleep(0.01)
                    await end(client, how)
                await alive(service)


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("target", ["/endless", "/count/100000"])
async def test_a_peer_leaves_within_a_stream(server: str, target: str, how: str) -> None:
    state_of = target.split("/")[1]
    async with serving(server) as service:
        for read in (0, 1, 20):
            for buffer in (0, 4096):
                Current.state.events.clear()
                Current.state.started = anyio.Event()
                async with service.connect(buffer=buffer) as client:
                    await client.send(request(target))
                    # Who has left before is another case: nothing begins for them.
                    await Current.state.started.wait()
                    for _ in range(read):
                        assert await client.receive()
                    await end(client, how)
                await until(lambda: Current.state.events == [f"{state_of} ended"])
        await alive(service)


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_peer_leaves_within_a_stream_in(server: str, how: str) -> None:
    lines = b'{"n":1}\n' * 10
    head = request("/sum", "POST", b" " * 1000).replace(b"/json", b"/x-ndjson")[:-1000]
    async with serving(server) as service:
        for _ in range(5):
            Current.state.hits.clear()
            Current.state.events.clear()
            async with service.connect() as client:
                await client.send(head + lines)
                await until(lambda: len(Current.state.hits) == 10)
                await end(client, how)
            await until(lambda: Current.state.events == ["sum ended"])
        await alive(service)


async def test_a_peer_leaves_between_requests(server: str) -> None:
    async with serving(server) as service:
        for how in ("reset", "close"):
            for count in range(1, 5):
                async with service.connect() as client:
                    for _ in range(count):
                        await client.ask("/hit/1")
                    await client.send(GET * count)
                    await end(client, how)
        await alive(service)


async def test_many_resets_at_once(server: str) -> None:
    async with serving(server) as service:
        for data in (b"", GET[:20], GET, GET * 10, request("/wait"), POST[:-1]):
            clients = [await connect(service.port) for _ in range(200)]
            for client in clients:
                await client.offer(data)
            for client in clients:
                client.reset()
        await alive(service)


# To the portable server the end of the client's bytes is the client's end. Here it is that for calls
# that wait and are cancelled when the client leaves: one that half-closes looks the same.
@ONLY_ENGINE
@pytest.mark.parametrize("piece", [0, 1])
@pytest.mark.parametrize(
    ("data", "bodies"),
    [
        (GET, [b'"1"']),
        (POST, [b"5"]),
        (CHUNKED, [b"5"]),
        (request("/slow-finish/2?ms=50"), [b'"2"']),
        (request("/later-numbers", "POST", JSON), [b"5"]),
        (request("/text/3000000"), [b'"' + b"x" * 3_000_000 + b'"']),
        (request("/count/2"), [b'{"n":0}\n{"n":1}\n']),
    ],
    ids=["get", "post", "chunked", "slow", "later", "large", "stream"],
)
async def test_who_half_closes_still_gets_an_answer(
    server: str, data: bytes, bodies: list[bytes], piece: int
) -> None:
    async with serving(server) as service, service.connect() as client:
        await client.offer(data, piece)
        client.finish()
        answers = read_answers(await client.until_closed())
        assert [answer.body for answer in answers] == bodies


@ONLY_ENGINE
async def test_who_half_closes_still_gets_all_answers(server: str) -> None:
    data = GET * 3 + request("/slow-finish/2?ms=20") + POST + CHUNKED + GET
    async with serving(server) as service, service.connect() as client:
        await client.send(data)
        client.finish()
        answers = read_answers(await client.until_closed())
        bodies = [answer.body for answer in answers]
        assert bodies == [b'"1"', b'"1"', b'"1"', b'"2"', b"5", b"5", b'"1"']


async def test_policies_of_a_disconnect(server: str) -> None:
    expected = {
        "/wait": ["wait cancelled"],
        "/finish": ["finish finished"],
        "/notify": ["notify finished", "gone: True"],
    }
    async with serving(server) as service:
        for how in ("reset", "close"):
            for target, events in expected.items():
                Current.state = State()
                async with service.connect() as client:
                    await client.send(request(target))
                    await Current.state.started.wait()
                    await end(client, how)
                await anyio.sleep(0.05)
                assert Current.state.running == (target != "/wait")
                Current.state.release.set()
                await until(lambda: Current.state.running == 0)
                await until(lambda events=events: Current.state.events == events)
        await alive(service)


async def test_slow_readers_get_everything_and_slow_nobody(server: str) -> None:
    size = 10_000_000 if server == "engine" else 2_000_000
    done: list[int] = []

    async with serving(server) as service:

        async def slow(target: str) -> None:
            with anyio.fail_after(60):
                client = await connect(service.port, buffer=4096)
                await client.send(request(target) + request("/hit/behind"))
                await anyio.sleep(0.2)
                answer = await client.answer()
                assert answer.body == b'"' + b"x" * size + b'"'
                assert (await client.answer()).body == b'"behind"'
                client.close()
                done.append(size)

        async with anyio.create_task_group() as tasks:
            Current.state.release.set()
            for target in (f"/text/{size}", f"/wait-text/{size}") * 2:
                tasks.start_soon(slow, target)
            async with service.connect() as bystander:
                for number in range(300):
                    answer = await bystander.ask(f"/later/{number}")
                    assert answer.body == b'"%d"' % number
    assert done == [size] * 4


async def test_streams_wait_for_slow_readers(server: str) -> None:
    """What a stream yields before anybody reads is bounded."""
    async with serving(server) as service:
        async with service.connect(buffer=4096) as client:
            await client.send(request("/endless"))
            await until(lambda: Current.state.hits)
            yielded = -1
            while yielded != len(Current.state.hits):
                yielded = len(Current.state.hits)
                await anyio.sleep(0.2)
            assert yielded < 1500
            await alive(service)
            got = 0
            while got < 2 * 1024 * yielded:
                got += len(await client.receive())
            await until(lambda: len(Current.state.hits) > yielded)


@pytest.mark.once
async def test_who_reads_slowly_is_not_taken_for_who_does_not_read(server: str) -> None:
    async with (
        serving(server, http={"write_timeout": 1}) as service,
        service.connect() as client,
    ):
        await client.send(request("/text/30000000"))
        for _ in range(20):
            await anyio.wait_readable(client.socket)
            assert client.socket.recv(65536)
            await anyio.sleep(0.15)


async def test_memory_of_streams_is_flat(anyio_backend_name: str, server: str) -> None:
    async with process(server, anyio_backend_name) as service:
        clients = [await connect(service.port, buffer=4096) for _ in range(50)]
        await service.ask("/count/1000")
        before = service.resident
        for client in clients:
            await client.send(request("/endless"))
        await anyio.sleep(1.5)
        grown = service.resident - before
        # Bytes beyond what the system's buffers hold.
        assert grown < 50 * (256 << 10)
        for client in clients:
            client.close()
        assert (await service.ask("/hit/alive")).status == 200
        assert "Traceback" not in service.output


async def test_streams_in_wait_for_slow_handlers(server: str) -> None:
    """What is read of a body before anybody asks for it is bounded."""
    release = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, True
        await release.wait()
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]
        body = b"%d" % size
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    total = 40_000_000
    async with listening(server, application) as (_, port), connected(port) as client:
        async with anyio.create_task_group() as tasks:
            sent = 0

            async def push() -> None:
                nonlocal sent
                await client.send(request("/", "POST", b" " * total)[:-total])
                piece = b" " * 100_000
                while sent < total:
                    await client.send(piece)
                    sent += len(piece)

            tasks.start_soon(push)
            await anyio.sleep(0.5)
            assert sent < 20_000_000
            release.set()
            assert (await client.answer()).body == b"%d" % total


async def test_a_handler_that_blocks_only_delays(server: str) -> None:
    patience = {"keep_alive_timeout": 0.2, "read_timeout": 0.2, "write_timeout": 0.2}
    async with serving(server, http=patience) as service:
        async with service.connect() as idle, service.connect() as half:
            await idle.ask("/hit/1")
            await half.send(POST[:-3])
            async with service.connect() as client:
                await client.send(request("/block/1?ms=500") + GET)
                # Sent while the server cannot look; nobody may be taken to be late for that.
                await idle.send(GET)
                await half.send(POST[-3:])
                assert (await client.answer()).body == b'"1"'
                assert (await client.answer()).body == b'"1"'
            assert (await idle.answer()).body == b'"1"'
            assert (await half.answer()).body == b"5"


@pytest.mark.parametrize("way", ["/raise/", "/raise-later/"])
@pytest.mark.parametrize(
    ("server", "name"),
    [(server, name) for name in FAILURES for server in ("engine", "hypercorn")],
)
async def test_a_handler_that_raises_is_500(
    server: str, way: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(server) as service, service.connect() as bystander:
        await bystander.ask("/hit/before")
        for _ in range(3):
            async with service.connect() as client:
                await client.send(GET + request(f"{way}{name}") + GET)
                assert (await client.answer()).status == 200
                answer = await client.answer()
                assert answer.status == 500
                assert b"secret" not in answer.body
                if not answer.closes:
                    assert (await client.answer()).status == 200
        await bystander.ask("/hit/after")
        await alive(service)
    assert "secret" in caplog.text


# The portable server ends the connection without an answer.
@ONLY_ENGINE
async def test_a_cancellation_of_nobody_is_500(server: str) -> None:
    async with serving(server) as service, service.connect() as bystander:
        await bystander.ask("/hit/before")
        for _ in range(3):
            async with service.connect() as client:
                await client.send(request("/raise-cancelled"))
                assert (await client.answer()).status == 500
        await bystander.ask("/hit/after")
        await alive(service)


async def test_a_stream_that_fails_does_not_look_complete(server: str) -> None:
    async with serving(server) as service:
        async with service.connect() as client:
            await client.send(request("/raise-in-stream") + GET)
            with pytest.raises(WireError):
                await client.answer()
            data = await client.until_closed()
            assert data.count(b"HTTP/1.1") == 1
            assert not data.endswith(b"0\r\n\r\n")
        await alive(service)


# Stop.


@asynccontextmanager
async def stopping(server: str, **http: Any) -> AsyncIterator[tuple[Service, Any]]:
    """A service, and a function that makes it stop and returns when it has begun to."""
    Current.state = State()
    assembly = assembly_of(classes(server), tables(server, http=http))
    async with anyio.create_task_group() as tasks:
        ready, stop, stopped = anyio.Event(), anyio.Event(), anyio.Event()
        services: list[Service] = []

        async def run() -> None:
            async with Kernel(assembly).running() as kernel:
                services.append(Service(kernel))
                ready.set()
                await stop.wait()
            stopped.set()

        tasks.start_soon(run)
        await ready.wait()

        async def begin() -> anyio.Event:
            stop.set()
            # New connections are refused from the moment it has begun.
            with anyio.fail_after(10):
                while True:
                    try:
                        probe = await connect(services[0].port)
                    except OSError:
                        return stopped
                    probe.close()
                    await anyio.sleep(0.001)

        try:
            yield services[0], begin
        finally:
            stop.set()


async def test_stop_while_idle(server: str) -> None:
    async with stopping(server) as (service, stop), service.connect() as client:
        await client.ask("/hit/1")
        stopped = await stop()
        assert await client.until_closed() == b""
        assert not client.was_reset
        client.close()
        await stopped.wait()


async def test_stop_lets_an_idle_connection_send_one_more(server: str) -> None:
    async with stopping(server, linger=2.0) as (service, stop), service.connect() as client:
        await client.ask("/hit/1")
        stopped = await stop()
        await client.send(GET)
        answer = await client.answer()
        assert (answer.status, answer.closes) == (200, True)
        assert await client.until_closed() == b""
        client.close()
        await stopped.wait()


@pytest.mark.parametrize(
    "data", [GET, POST, CHUNKED, EXPECT + JSON], ids=["get", "post", "chunked", "expect"]
)
@pytest.mark.parametrize("at", [1, 10, 0.5, -3, -1])
async def test_stop_while_a_request_arrives(server: str, data: bytes, at: float) -> None:
    cut = int(len(data) * at) if isinstance(at, float) else at
    async with stopping(server, linger=2.0) as (service, stop), service.connect() as client:
        await client.send(data[:cut])
        await anyio.sleep(0.02)
        stopped = await stop()
        await client.send(data[cut:])
        answer = await client.answer()
        if answer.status == 100:
            answer = await client.answer()
        assert (answer.status, answer.closes) == (200, True)
        assert await client.until_closed() == b""
        assert not client.was_reset
        client.close()
        await stopped.wait()


async def test_stop_while_handlers_wait(server: str) -> None:
    async with stopping(server) as (service, stop):
        async with service.connect() as first, service.connect() as second:
            await first.send(request("/wait"))
            await second.send(request("/wait-post", "POST", JSON))
            await until(lambda: Current.state.running == 2)
            stopped = await stop()
            await anyio.sleep(0.2)
            assert not stopped.is_set()
            Current.state.release.set()
            for client in (first, second):
                answer = await client.answer()
                assert (answer.status, answer.closes) == (200, True)
                assert await client.until_closed() == b""
                client.close()
        await stopped.wait()


async def test_stop_while_an_answer_is_written(server: str) -> None:
    async with stopping(server) as (service, stop), service.connect(buffer=4096) as client:
        await client.send(request("/text/8000000"))
        await client.receive_some(1)
        stopped = await stop()
        await anyio.sleep(0.2)
        assert not stopped.is_set()
        answer = await client.answer()
        assert len(answer.body) == 8_000_002
        assert await client.until_closed() == b""
        client.close()
        await stopped.wait()


async def test_stop_while_a_stream_runs(server: str) -> None:
    async with stopping(server) as (service, stop), service.connect(buffer=4096) as client:
        await client.send(request("/halves/2000"))
        await client.receive_some(1)
        await Current.state.started.wait()
        stopped = await stop()
        assert not stopped.is_set()
        Current.state.release.set()
        answer = await client.answer()
        assert answer.body.count(b"\n") == 2000
        client.close()
        await stopped.wait()


async def test_stop_with_requests_in_the_pipeline(server: str) -> None:
    async with stopping(server, linger=0.5) as (service, stop), service.connect() as client:
        await client.send(request("/wait") + GET * 20 + POST + request("/later/2") * 20)
        await Current.state.started.wait()
        await anyio.sleep(0.02)
        stopped = await stop()
        Current.state.release.set()
        answers = read_answers(await client.until_closed())
        assert [answer.status for answer in answers] == [200] * 42
        # The last may have been ready before the stop began; the connection is then an idle one.
        assert not any(answer.closes for answer in answers[:-1])
        assert not client.was_reset
        client.close()
        await stopped.wait()


async def test_stop_with_requests_that_wait_to_be_parsed(server: str) -> None:
    """Behind an unsafe request nothing is parsed; it is all answered nevertheless."""
    async with stopping(server, linger=0.5) as (service, stop), service.connect() as client:
        await client.send(request("/wait-post", "POST", JSON) + GET * 20 + POST + GET)
        await Current.state.started.wait()
        await anyio.sleep(0.02)
        stopped = await stop()
        Current.state.release.set()
        answers = read_answers(await client.until_closed())
        assert [answer.status for answer in answers] == [200] * 23
        assert [answer.closes for answer in answers] == [False] * 22 + [True]
        assert not client.was_reset
        client.close()
        await stopped.wait()


async def test_stop_answers_the_backlog(server: str) -> None:
    """Connected as the system sees it, but not accepted when the stop begins."""

    async def hello(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    async with listening(server, linger=1.0) as (listener, port):
        clients = [await connect(port) for _ in range(300)]
        for client in clients[::2]:
            await client.send(GET)
        await anyio.sleep(0.05)
        listener.begin(hello)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.stop)
            await anyio.lowlevel.checkpoint()
            for client in clients[1::2]:
                await client.send(GET)
            with anyio.fail_after(20):
                for client in clients:
                    assert (await client.answer()).body == b"ok"
                    assert await client.until_closed() == b""
                    assert not client.was_reset
                    client.close()


async def test_stop_under_load_loses_nothing(server: str) -> None:
    answered = refused = 0
    async with anyio.create_task_group() as tasks:
        async with serving(server, http={"linger": 0.3}) as service:
            port = service.port

            async def ask(number: int) -> None:
                nonlocal answered, refused
                while True:
                    try:
                        client = await connect(port)
                    except OSError:
                        refused += 1
                        return
                    try:
                        with anyio.fail_after(20):
                            for turn in range(10):
                                target = f"/{('hit', 'later')[turn % 2]}/{number}"
                                answer = await client.ask(target)
                                assert answer.body == b'"%d"' % number
                                answered += 1
                                if answer.closes:
                                    break
                    finally:
                        client.close()

            for number in range(20):
                tasks.start_soon(ask, number)
            await anyio.sleep(0.4)
    assert answered > 20  # how many there are in time depends on the machine
    assert refused == 20


async def test_past_the_drain_deadline_waiting_calls_are_answered_503(server: str) -> None:
    got: list[Any] = []

    async def ask(client: Client) -> None:
        with anyio.fail_after(20):
            got.extend(read_answers(await client.until_closed()))
        client.close()

    async with anyio.create_task_group() as tasks:
        with pytest.raises(ExceptionGroup, match=r".*"):
            async with serving(server, kernel={"drain_timeout": 0.3}) as service:
                for _ in range(5):
                    client = await connect(service.port)
                    await client.send(request("/wait"))
                    tasks.start_soon(ask, client)
                await until(lambda: Current.state.running == 5)
    assert [answer.status for answer in got] == [503] * 5
    assert all(answer.headers["retry-after"] == "1" for answer in got)
    assert Current.state.events == ["wait cancelled"] * 5


# Reload.


async def test_reload_under_load_loses_nothing(server: str) -> None:
    answers: list[tuple[int, int]] = []
    running = True
    Current.state = State()

    def version(number: int) -> Any:
        return assembly_of(classes(server), tables(server, number, http={"linger": 0.3}))

    async with Kernel(version(1)).running() as kernel:
        port = int(kernel.require(HTTP).urls[0].rpartition(":")[2])

        async def ask(number: int) -> None:
            requests = [
                request("/version"),
                request("/later-version"),
                request("/version", "POST", JSON),
            ]
            while running:
                client = await connect(port)
                try:
                    with anyio.fail_after(20):
                        for turn in range(1 if number % 2 else 20):
                            many = 1 + turn % 3
                            await client.send(
                                b"".join(requests[(turn + n) % 3] for n in range(many))
                            )
                            for _ in range(many):
                                answer = await client.answer()
                                answers.append((answer.status, json.loads(answer.body)))
                finally:
                    client.close()

        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(ask, number)
            for number in range(2, 10):
                await anyio.sleep(0.05)
                await kernel.reload(version(number))
                answers.append((200, -number))
            running = False
    assert {status for status, _ in answers} == {200}
    assert len(answers) > 20  # how many there are in time depends on the machine
    newest = 1
    for _, value in answers:
        newest = max(newest, -value)
        assert value < 0 or value >= newest


async def test_reload_keeps_connections_and_what_they_have_sent(server: str) -> None:
    Current.state = State()

    def version(number: int) -> Any:
        return assembly_of(classes(server), tables(server, number))

    async with Kernel(version(1)).running() as kernel:
        service = Service(kernel)
        async with service.connect() as idle, service.connect() as half, service.connect() as busy:
            assert (await idle.ask("/version")).body == b"1"
            posted = request("/version", "POST", JSON)
            await half.send(posted[:-3])
            await busy.send(request("/wait") + request("/version") * 3)
            await Current.state.started.wait()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(kernel.reload, version(2))
                while kernel.state != "reloading":
                    await anyio.sleep(0.01)
                await anyio.sleep(0.1)
                await idle.send(request("/version"))
                async with service.connect() as late:
                    await late.send(request("/version"))
                    await anyio.sleep(0.05)
                    Current.state.release.set()
                    assert (await busy.answer()).body == b'"wait"'
                    # A server may count it as in flight, and wait for its body with the reload.
                    await half.send(posted[-3:])
                    assert (await half.answer()).body in (b"1", b"2")
                    assert (await idle.answer()).body == b"2"
                    assert (await late.answer()).body == b"2"
                    for _ in range(3):
                        assert (await busy.answer()).body in (b"1", b"2")
            assert (await half.ask("/version")).body == b"2"


# The system runs out.


async def test_running_out_of_descriptors_is_survived(anyio_backend_name: str, server: str) -> None:
    async with process(server, anyio_backend_name, descriptors=100) as service:
        clients = [await connect(service.port) for _ in range(150)]
        answered: list[int] = []

        async def ask(number: int) -> None:
            with anyio.fail_after(30):
                answer = await clients[number].ask(f"/hit/{number}")
                assert answer.body == b'"%d"' % number
                answered.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(150):
                tasks.start_soon(ask, number)
            await until(lambda: len(answered) > 50)
            before = service.cpu
            await anyio.sleep(0.5)
            # Those that cannot be accepted wait; nobody turns in circles for them.
            assert service.cpu - before < 0.25
            assert len(answered) < 150
            for number in answered:
                clients[number].close()
            await until(lambda: len(answered) == 150)
        for client in clients:
            client.close()
        assert (await service.ask("/hit/alive")).status == 200
        assert "Traceback" not in service.output


async def test_logs_hold_no_surprise(server: str, caplog: pytest.LogCaptureFixture) -> None:
    """Clients that leave are no errors of the server's."""
    caplog.set_level(logging.WARNING)
    async with serving(server) as service:
        for cut in CUTS.values():
            for how in ("reset", "close"):
                async with service.connect() as client:
                    await client.send(GET + cut)
                    await end(client, how)
        async with service.connect() as client:
            await client.send(request("/wait"))
            await Current.state.started.wait()
            client.reset()
            await until(lambda: Current.state.running == 0)
        await alive(service)
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []
