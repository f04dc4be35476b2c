"""Who is slow holds up only themselves, what is kept for them is bounded, and they are given up in time."""

from __future__ import annotations

from time import monotonic
from typing import Any

import anyio
import pytest

from covet_hypercorn._h3_connection import Http3Connection
from covet_hypercorn._quic import FIRST_WINDOW, STREAM_WINDOW, connection_window

NO_ERROR, INCOMPLETE, CANCELLED = 0x100, 0x10D, 0x10C


def connection_of(listener: Any) -> Http3Connection:
    """The only one."""
    (found,) = listener._connections
    assert isinstance(found, Http3Connection)
    return found


def received(client: Any) -> int:
    """Bytes that have come of the first stream, in frames."""
    found: int = client.quic._streams[0].receiver.starting_offset()
    return found


class Taker:
    """An application that takes its body only as it is told to.

    Attributes:
        taken: Bytes it has.
    """

    def __init__(self) -> None:
        self.taken = 0
        self.ended = 0
        self._may = anyio.Event()

    def go(self) -> None:
        self._may.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        more = scope["method"] == "POST"
        if more:
            await self._may.wait()
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.taken += len(message["body"])
            more = message["more_body"]
        self.ended += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


async def test_a_slow_application_holds_up_its_own_stream_only(http3: Any) -> None:
    taker = Taker()
    async with http3.listening(taker) as (listener, port), http3.connected(port) as client:
        stream = client.request(method="POST", body=bytes(1_000_000))
        for _ in range(20):
            assert await client.ask() == (200, b"ok")
        found = connection_of(listener)
        await client.until(lambda: found._protocol._streams[stream].unread > FIRST_WINDOW - 100)
        for _ in range(20):
            assert await client.ask() == (200, b"ok")
        assert found._protocol._streams[stream].unread <= FIRST_WINDOW
        assert client.quic._streams[stream].sender.highest_offset <= FIRST_WINDOW + 100
        taker.go()
        await client.until_over(stream)
        assert taker.taken == 1_000_000
        assert client.status(stream) == 200


async def test_however_much_nobody_takes_another_request_comes_through(http3: Any) -> None:
    """Half of a long body is taken, of each of many: more than the window of all then allows for."""
    halfway, most = anyio.Semaphore(0), connection_window(40)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            taken, more = 0, True
            while more:
                message = await receive()
                taken, more = taken + len(message["body"]), message["more_body"]
                if taken > 20_000 and more:
                    await halfway.acquire()
        await http3.hello(scope, receive, send)

    async with http3.listening(application, config={"max_streams": 40}) as (listener, port):
        async with http3.connected(port) as client:
            streams = [client.request(method="POST", body=bytes(60_000)) for _ in range(39)]
            unread = connection_of(listener)._protocol._streams

            def held() -> int:
                return sum(each.unread for each in unread.values())

            await client.until(lambda: held() > 500_000)
            assert await client.ask() == (200, b"ok")
            assert held() <= most
            assert all(each.unread <= STREAM_WINDOW for each in unread.values())
            for _ in range(39 * 60):
                halfway.release()
            await client.until_over(*streams)
            assert await client.ask() == (200, b"ok")
            found = connection_of(listener).quic
            assert found._shared == 1 << 20
            assert set(found._taken) <= {2, 6, 10}  # what is not a request


async def test_what_is_reset_frees_the_window_of_all(http3: Any) -> None:
    taker = Taker()
    async with http3.listening(taker) as (_, port), http3.connected(port) as client:
        for _ in range(200):
            stream = client.request(method="POST", body=None)
            client.data(stream, bytes(60_000))
            sender = client.quic._streams[stream].sender
            await client.until(lambda sender=sender: sender.highest_offset >= FIRST_WINDOW)
            client.quic.reset_stream(stream, CANCELLED)
            client.wake()
            await client.until(lambda stream=stream: stream in client.reset)
        assert taker.taken == 0
        assert await client.ask() == (200, b"ok")


async def flood(scope: Any, receive: Any, send: Any) -> None:
    """Sends for as long as it is let."""
    if scope["path"] == "/small":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": bytes(50_000), "more_body": True})
        counted[0] += 50_000


counted = [0]


async def test_what_is_kept_for_a_client_that_does_not_read_is_bounded(http3: Any) -> None:
    counted[0] = 0
    async with http3.listening(flood) as (listener, port):
        async with http3.connected(port, max_stream_data=4096) as client:
            client.read(False)
            client.request()
            found = connection_of(listener)
            await client.until(lambda: counted[0] > 100_000)
            for _ in range(20):
                assert await client.ask("/small") == (200, b"ok")
            assert counted[0] <= 400_000
            assert found.quic.kept(0) <= 256 * 1024 + 1000
            client.read()
            await client.until(lambda: len(client.body.get(0, b"")) > 1_000_000)


async def test_many_that_do_not_read_share_what_is_kept(http3: Any) -> None:
    async with http3.listening(flood) as (listener, port):
        async with http3.connected(port, max_stream_data=100, max_data=5000) as client:
            client.read(False)
            streams = [client.request() for _ in range(60)]
            found = connection_of(listener)

            def kept() -> int:
                return sum(found.quic.kept(each) for each in streams)

            await client.until(lambda: all(found.quic.kept(each) for each in streams))
            # Those that came first kept more while they were few.
            assert kept() < 4_000_000
            assert all(found.quic.kept(each) <= 256 * 1024 + 1000 for each in streams)
            assert found.quic.kept(streams[-1]) < 64 * 1024


async def test_a_stream_that_is_not_read_is_reset_and_others_go_on(http3: Any) -> None:
    # bad input 21, 30
    async with http3.listening(flood, write_timeout=0.3) as (_, port):
        async with http3.connected(port, max_stream_data=4096) as client:
            client.read(False)
            stream = client.request()
            await client.until_over(stream)
            assert client.reset[stream] == CANCELLED
            assert await client.ask("/small") == (200, b"ok")


async def test_an_answer_whose_end_is_not_read_is_reset(http3: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(20_000)})
        done.set()

    done = anyio.Event()
    async with http3.listening(application, write_timeout=0.3) as (listener, port):
        async with http3.connected(port, max_stream_data=4096) as client:
            client.read(False)
            stream = client.request()
            await done.wait()
            await client.until_over(stream)
            assert client.reset[stream] == CANCELLED
            found = connection_of(listener)
            assert found._protocol._open == set()


async def test_a_client_that_reads_slowly_is_waited_for(
    http3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [0.0]
    for module in ("_h3", "_listener"):
        monkeypatch.setattr(f"covet_hypercorn.{module}.monotonic", lambda: monotonic() + passed[0])

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(20_000_000)})

    async with http3.listening(application, write_timeout=1000.0) as (listener, port):
        async with http3.connected(port, max_stream_data=4096) as client:
            client.read(False)
            stream = client.request()
            found = connection_of(listener).quic
            for _ in range(5):
                await client.until(lambda: found.acknowledged(stream) == received(client))
                passed[0] += 600.0
                await listener._expire()
                got = received(client)
                client.read()
                await client.until(lambda got=got: received(client) > got)
                client.read(False)
            await client.until(lambda: found.acknowledged(stream) == received(client))
            assert not client.reset
            while not client.over(stream):
                passed[0] += 1001.0
                await listener._expire()
                await anyio.sleep(0.01)
            assert client.reset[stream] == CANCELLED


async def test_a_body_that_does_not_come_ends_its_stream(http3: Any) -> None:
    # bad input 21
    heard = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            while True:
                message = await receive()
                heard.append(message["type"])
                if message["type"] == "http.disconnect":
                    return
        await http3.hello(scope, receive, send)

    async with http3.listening(application, read_timeout=0.3) as (_, port):
        async with http3.connected(port) as client:
            stream = client.request(method="POST", body=None)
            client.data(stream, b"a")
            await client.until_over(stream)
            assert client.reset[stream] == INCOMPLETE
            await client.until(lambda: client.stopped.get(stream) == INCOMPLETE)
            assert heard == ["http.request", "http.disconnect"]
            assert await client.ask() == (200, b"ok")


async def test_a_conversation_may_pause(http3: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/talk":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"-", "more_body": True})
            while (message := await receive())["type"] == "http.request":
                more = message["more_body"]
                body = {"body": message["body"], "more_body": more}
                await send({"type": "http.response.body", **body})
                if not more:
                    return
        await receive()

    async with http3.listening(application, read_timeout=0.3) as (_, port):
        async with http3.connected(port) as client:
            talking = client.request("/talk", method="POST", body=None)
            await client.until(lambda: talking in client.headers)
            for said in (b"one", b"two"):
                late = client.request(method="POST", body=None)
                await client.until_over(late)
                assert client.reset[late] == INCOMPLETE
                client.data(talking, said)
            client.data(talking, b"", end=True)
            await client.until_over(talking)
            assert talking not in client.reset
            assert bytes(client.body[talking]) == b"-onetwo"


async def test_a_slow_application_is_not_the_clients_fault(http3: Any) -> None:
    taker = Taker()
    async with http3.listening(taker, read_timeout=0.3) as (_, port):
        async with http3.connected(port) as client:
            stream = client.request(method="POST", body=bytes(200_000))
            await anyio.sleep(1.0)
            assert client.closed is None
            assert not client.reset
            taker.go()
            await client.until_over(stream)
            assert client.status(stream) == 200


async def test_headers_that_do_not_come_end_their_stream(http3: Any) -> None:
    # bad input 21
    release = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await http3.hello(scope, receive, send)

    async with http3.listening(application, keep_alive_timeout=0.4) as (_, port):
        async with http3.connected(port) as client:
            long = client.request()
            stream = client.raw(http3.frame(1, b"\0\0\xd1", length=100), end=False)
            await client.until_over(stream)
            assert client.reset[stream] == INCOMPLETE
            # The connection is not idle: it waits for the other.
            release.set()
            await client.until_over(long)
            assert client.status(long) == 200


@pytest.mark.parametrize("asks", [0, 2])
async def test_an_idle_connection_is_ended_politely(http3: Any, asks: int) -> None:
    async with http3.listening(http3.hello, keep_alive_timeout=0.4) as (listener, port):
        async with http3.connected(port) as client:
            for _ in range(asks):
                assert await client.ask() == (200, b"ok")
            assert await client.until_closed() == NO_ERROR
            assert client.goaway == [4 * asks]
        while listener._connections:
            await anyio.sleep(0.001)


async def test_pings_do_not_keep_an_idle_connection(http3: Any) -> None:
    async with http3.listening(http3.hello, keep_alive_timeout=0.4) as (_, port):
        async with http3.connected(port) as client, anyio.create_task_group() as tasks:

            async def ping() -> None:
                while True:
                    client.quic.send_ping(1)
                    client.wake()
                    await anyio.sleep(0.05)

            tasks.start_soon(ping)
            assert await client.until_closed() == NO_ERROR
            tasks.cancel_scope.cancel()


async def test_a_handshake_that_does_not_go_on_is_given_up(http3: Any) -> None:
    async with http3.listening(http3.hello, keep_alive_timeout=0.4) as (listener, port):
        async with http3.connected(port, opens=False) as client:
            await client.until(lambda: listener._connections)
            client.silent = True
            while listener._connections:
                await anyio.sleep(0.01)


async def test_a_client_that_waits_is_asked_whether_it_is_there(http3: Any) -> None:
    release = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await http3.hello(scope, receive, send)

    times = {"keep_alive_timeout": 0.5, "read_timeout": 0.5, "write_timeout": 0.5}
    async with http3.listening(application, **times) as (_, port):
        async with http3.connected(port) as client:
            stream = client.request()
            await anyio.sleep(2.0)
            assert client.closed is None
            release.set()
            await client.until_over(stream)
            assert client.status(stream) == 200


async def test_a_client_that_is_gone_without_a_word_is_noticed(http3: Any) -> None:
    gone = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    times = {"keep_alive_timeout": 0.5, "read_timeout": 0.5, "write_timeout": 0.5}
    async with http3.listening(application, **times) as (listener, port):
        async with http3.connected(port) as client:
            client.request()
            await client.until(lambda: connection_of(listener)._protocol._running)
            client.silent = True
            client.wire = http3.wire(lost=1.0)
            await gone.wait()
        while listener._connections:
            await anyio.sleep(0.001)
