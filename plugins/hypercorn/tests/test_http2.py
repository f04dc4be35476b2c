"""HTTP/2: requests and answers, windows, floods, broken frames, and polite ends."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trustme
from anyio.streams.tls import TLSStream
from hypothesis import given
from hypothesis import strategies as st
from services.http2 import (
    BLOCK,
    CALM,
    NO_ERROR,
    PROTOCOL,
    PSEUDO,
    REFUSED,
    Client,
    body_of,
    connected,
    echo,
    frame,
    raw,
)
from services.http2_hostile import broken, flood, floods

from covet_http import StreamAbortedError
from covet_hypercorn._frames import FloodError, FrameGuard

GOAWAY = b"\x00\x00\x08\x07"


@pytest.fixture
def serve(server: Any) -> Any:
    """A listener for an application, over HTTP/2, in memory."""

    @asynccontextmanager
    async def serving(
        application: Any, *, config: Any = None, **options: Any
    ) -> AsyncIterator[Any]:
        settings = {"http2": True, **(config or {})}
        async with server.listening(application, config=settings, **options) as (listener, _):
            yield listener

    return serving


async def test_answers_over_http2(serve: Any) -> None:
    async with serve(echo) as listener, connected(listener) as client:
        status, body = await client.ask("/a?b", "POST", body=b"xyz", more=[("cookie", "a=1"), ("cookie", "b=2")])  # fmt: skip
        assert (status, body) == (200, b"2 POST /a host=a|cookie=a=1; b=2 xyz")
        stream = await client.request(method="HEAD")
        await client.until_over(stream)
        assert (client.status[stream], client.body.get(stream, b"")) == (200, b"")
        streams = [await client.request(f"/{n}") for n in range(20)]
        await client.until_over(*streams)
        assert [client.body[each][:9] for each in streams[:3]] == [b"2 GET /0 ", b"2 GET /1 ", b"2 GET /2 "]  # fmt: skip


async def test_large_bodies_in_both_directions(serve: Any) -> None:
    async with serve(echo) as listener, connected(listener) as client:
        stream = await client.request("/", "POST", body=None)
        left = 300_000
        while left:
            room = min(client.h2.local_flow_control_window(stream), 16_384, left)
            if room:
                client.h2.send_data(stream, b"x" * room, end_stream=room == left)
                left -= room
                await client.flush()
            else:
                await client.step()
        await client.until_over(stream)
        assert client.body[stream].count(b"x") == 300_000


async def test_a_slow_application_holds_back_no_other_stream(serve: Any) -> None:
    release = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await release.wait()
        await echo(scope, receive, send)

    async with serve(application) as listener, connected(listener) as client:
        await client.ask()  # the connection's window is known with the answer
        slow = await client.request("/slow", "POST", body=None)
        for _ in range(3):
            client.h2.send_data(slow, b"x" * 16_384)
        for _ in range(1000):
            client.h2.send_data(slow, b"y")
        await client.flush()
        for _ in range(20):
            assert (await client.ask("/", "POST", body=b"z" * 16_000))[0] == 200
        # It gets no more than its window until it takes what it has.
        assert client.h2.local_flow_control_window(slow) == 65_535 - 3 * 16_384 - 1000
        release.set()
        client.h2.end_stream(slow)
        await client.flush()
        await client.until_over(slow)
        assert client.body[slow].count(b"x") == 3 * 16_384


async def test_a_slow_reader_holds_back_no_other_stream_and_is_given_up(serve: Any) -> None:
    # bad input 21, 30
    given_up = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            await echo(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 200_000})
        given_up.set()

    async with serve(application, write_timeout=0.05) as listener:
        async with connected(listener, reads=False) as client:
            stream = await client.request("/much")
            while len(client.body.get(stream, b"")) < 65_535:
                await client.step()
            client.h2.increment_flow_control_window(65_535)
            await client.flush()
            assert (await client.ask())[0] == 200
            await client.until_over(stream)
            assert client.reset[stream] == 8
            await given_up.wait()
            assert (await client.ask())[0] == 200


async def test_a_body_that_does_not_come_is_given_up(serve: Any) -> None:
    # bad input 21
    async with serve(echo, read_timeout=0.05) as listener, connected(listener) as client:
        await client.request("/", "POST", body=None)
        await client.until_closed()
        assert client.goaway == NO_ERROR


async def test_streams_that_end_in_trailers_are_released(serve: Any) -> None:
    async def with_trailers(scope: Any, receive: Any, send: Any) -> None:
        assert "http.response.trailers" in scope["extensions"]
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"item"})
        await send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]})

    async with serve(with_trailers) as listener, connected(listener) as client:
        for _ in range(1100):
            stream = await client.request()
            await client.until_over(stream)
            assert client.trailers.pop(stream) == [(b"grpc-status", b"0")]
        assert len(client.ended) == 1100
        assert client.goaway is None


async def test_answering_before_the_body_has_come_harms_nobody(server: Any, serve: Any) -> None:
    application, started, release = server.held()

    async def by_path(scope: Any, receive: Any, send: Any) -> None:
        await (application if scope["path"] == "/held" else server.hello)(scope, receive, send)

    async with serve(by_path) as listener, connected(listener) as client:
        neighbour = await client.request("/held")
        await started.wait()
        upload = await client.request("/", "POST", body=None)
        await client.until_over(upload)
        # The rest is not wanted (RFC 9113, 8.1); what is on its way counts against no window.
        for _ in range(70):
            await client.stream.send(frame(0, upload, b"x" * 16_000))
        while upload not in client.reset:
            await client.step()
        assert client.reset[upload] in (NO_ERROR, 5)
        release.set()
        await client.until_over(neighbour)
        assert client.status == {upload: 200, neighbour: 200}


async def test_an_application_that_fails(serve: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/begun":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        elif scope["path"] == "/field":
            headers = [(b"x", b"a\r\nb: c")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        elif scope["path"] == "/odd":
            raise KeyError
        elif scope["path"] == "/twice":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.start", "status": 200, "headers": []})
        elif scope["path"] == "/late":
            await send({"type": "http.response.body", "body": b""})

    async with serve(application) as listener, connected(listener) as client:
        for path in ("/", "/field", "/odd", "/twice", "/late"):
            assert (await client.ask(path))[0] == 500
        stream = await client.request("/begun")
        await client.until_over(stream)
        assert client.reset[stream] == 2


async def test_a_stream_that_is_reset_cancels_its_call(serve: Any) -> None:
    gone = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        over = anyio.Event()
        scope["extensions"]["covet.disconnect"]["subscribe"](over.set)
        await over.wait()
        gone.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"nobody reads this"})

    async with serve(application) as listener:
        async with connected(listener) as client:
            stream = await client.request("/one")
            await anyio.lowlevel.checkpoint()
            client.h2.reset_stream(stream)
            await client.flush()
            while gone != ["/one"]:
                await anyio.lowlevel.checkpoint()
            await client.request("/two")
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
        with anyio.fail_after(10):
            while gone != ["/one", "/two"]:
                await anyio.lowlevel.checkpoint()


async def test_the_access_log_says_what_ended_an_answer(
    server: Any, serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="covet.http.access")
    begun = anyio.Event()

    async def by_path(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            await server.hello(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        if scope["path"] == "/late":
            raise StreamAbortedError("its time is over", 504)
        begun.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    async with serve(by_path, config={"access_log": True}) as listener:
        async with connected(listener) as client:
            await client.ask("/")
            await client.until_over(await client.request("/late"))
            left = await client.request("/left")
            await begun.wait()
            client.h2.reset_stream(left)
            await client.flush()
            while len(caplog.records) < 3:
                await anyio.lowlevel.checkpoint()
    lines = [json.loads(each.getMessage()) for each in caplog.records]
    seen = [(each["target"], each["http"], each["status"], each["bytes"]) for each in lines]
    assert seen == [("/", "2", 200, 2), ("/late", "2", 504, 5), ("/left", "2", 499, 5)]


# Floods


@pytest.mark.parametrize("name", sorted(floods()))
async def test_floods_end_their_connection_and_no_other(serve: Any, name: str) -> None:
    # bad input 27, 28, 29, 31
    running = most = 0

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await echo(scope, receive, send)
        finally:
            running -= 1

    # h2 ends the whole connection for these, which is safe too, and sooner.
    at_once = {
        "made-to-reset-by-header", "made-to-reset-by-no-window", "made-to-reset-by-priority",
        "empty-headers",
    }  # fmt: skip
    code = PROTOCOL if name in at_once else CALM
    async with serve(application) as listener, connected(listener) as bystander:
        assert (await bystander.ask())[0] == 200
        await flood(listener, floods()[name], code=code)
        assert (await bystander.ask())[0] == 200
        assert most <= 102
        assert running == 0


async def test_what_a_conversation_needs_is_no_flood(serve: Any) -> None:
    async with serve(echo) as listener, connected(listener) as client:
        for n in range(0, 400, 4):
            await client.stream.send(frame(2, n + 1001, b"\0\0\0\0\x10") * 2)
            client.h2.ping(b"12345678")
            stream = await client.request()
            client.h2.reset_stream(stream, 8)
            await client.flush()
            assert (await client.ask())[0] == 200
        assert client.goaway is None


async def test_calls_that_were_reset_count_until_they_have_ended(serve: Any) -> None:
    # bad input 27
    running = 0
    release = anyio.Event()

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        nonlocal running
        running += 1
        await release.wait()

    async with serve(stubborn, config={"max_streams": 10}) as listener:
        async with connected(listener) as client:
            for _ in range(10):
                stream = await client.request()
                client.h2.reset_stream(stream, 8)
            await client.flush()
            for _ in range(5):
                stream = await client.request()
                await client.until_over(stream)
                assert client.reset[stream] == REFUSED
            assert running == 10
            release.set()


@pytest.mark.parametrize("more", [[("a", "x" * 3900)] * 2000, [("cookie", "a=b")] * 5000])
async def test_a_bomb_of_headers_is_refused_where_it_is_unpacked(serve: Any, more: Any) -> None:
    # bad input 30
    async with serve(echo) as listener, raw(listener) as client:
        block = client.block([*PSEUDO, *more])
        assert len(block) < 16_000
        await client.send(frame(1, 1, block, 0x5))
        await client.until_closed()
        assert client.goaway == CALM


async def test_headers_of_all_calls_together_are_bounded(serve: Any) -> None:
    # bad input 30: the cap of one block, times all streams, times all connections, would be no cap
    running = 0
    release = anyio.Event()

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        nonlocal running
        running += 1
        await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with serve(stubborn, max_header_bytes=4096) as listener, raw(listener) as client:
        large = [*PSEUDO, ("a", "x" * 3500)]
        for stream in range(1, 41, 2):
            # Behind the first one each of them is a few bytes.
            await client.send(frame(1, stream, client.block(large), 0x5))
        while len(client.reset) < 20 - 8:
            await client.step()
        assert set(client.reset.values()) == {REFUSED}
        assert running == 8
        # It is the large ones that are too much, not the many.
        await client.send(*(frame(1, n, client.block(PSEUDO), 0x5) for n in range(41, 61, 2)))
        while running < 18:
            await anyio.lowlevel.checkpoint()
        release.set()
        await client.until_over(1)
        await client.until_over(59)
        for stream in range(61, 101, 2):
            await client.send(frame(1, stream, client.block(large), 0x5))
            await client.until_over(stream)
            assert client.status[stream] == 200


# Broken requests


@pytest.mark.parametrize("name", sorted(broken()))
async def test_broken_requests_reach_nobody(serve: Any, name: str) -> None:
    # bad input 32, 33, 34, 35, 36
    called = 0

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal called
        called += 1

    async with serve(application) as listener, raw(listener) as client:
        await client.send(frame(1, 1, client.block(broken()[name]), 0x5))
        await client.until_over(1)
        assert PROTOCOL in (client.reset.get(1), client.goaway)
        assert called == 0


async def test_plain_connect_is_not_spoken(serve: Any) -> None:
    # bad input 34
    async with serve(echo) as listener, raw(listener) as client:
        block = client.block([(":method", "CONNECT"), (":authority", "a:80")])
        await client.send(frame(1, 1, block, 0x5))
        await client.until_over(1)
        assert client.status.get(1) == 501 or client.reset.get(1) == PROTOCOL


@pytest.mark.parametrize("trailers", [False, True])
@pytest.mark.parametrize("sent", [0, 3, 7])
async def test_a_body_that_is_not_as_long_as_it_says(serve: Any, sent: int, trailers: bool) -> None:
    # bad input 33
    complete = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        last: Any = {"more_body": True}
        while last.get("more_body"):
            last = await receive()
        complete.extend([last] * (last["type"] == "http.request"))

    async with serve(application) as listener, raw(listener) as client:
        block = client.block([*PSEUDO, ("content-length", "5")])
        await client.send(frame(1, 1, block, 0x4), frame(0, 1, b"x" * sent, not trailers))
        if trailers:
            await client.send(frame(1, 1, client.block([("x-sum", "1")]), 0x5))
        await client.until_over(1)
        assert PROTOCOL in (client.reset.get(1), client.goaway)
        assert complete == []


BEHIND_THE_END = {
    "data": lambda client: frame(0, 1, b"y", 0x1),
    "request": lambda client: frame(1, 1, client.block(PSEUDO), 0x5),
    "trailers": lambda client: frame(1, 1, client.block([("x", "a")]), 0x5),
}


@pytest.mark.parametrize("what", BEHIND_THE_END)
async def test_nothing_comes_behind_the_trailers(server: Any, serve: Any, what: str) -> None:
    # bad input 33
    bodies = []
    release = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        bodies.append(await body_of(receive))
        await release.wait()
        await server.hello(scope, receive, send)

    async with serve(application) as listener, raw(listener) as client:
        await client.send(frame(1, 1, client.block(PSEUDO), 0x4), frame(0, 1, b"x"))
        await client.send(frame(1, 1, client.block([("x-sum", "1")]), 0x5))
        await client.send(BEHIND_THE_END[what](client))
        await client.until_over(1)
        assert client.reset == {1: 5}
        release.set()
        await client.send(frame(1, 3, client.block(PSEUDO), 0x5))
        await client.until_over(3)
        assert client.status == {3: 200}
        assert bodies == [b"x", b""]


BAD_TRAILERS = {
    "pseudo": [(":path", "/b")],
    "line-end": [("x", "1\r\ny: z")],
    "upper-case": [("X", "1")],
    "transfer-encoding": [("transfer-encoding", "chunked")],
    "connection": [("connection", "close")],
}


@pytest.mark.parametrize("name", BAD_TRAILERS)
async def test_bad_trailers_leave_a_body_incomplete(serve: Any, name: str) -> None:
    # bad input 32, 33
    complete = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        last: Any = {"more_body": True}
        while last.get("more_body"):
            last = await receive()
        complete.extend([last] * (last["type"] == "http.request"))

    async with serve(application) as listener, raw(listener) as client:
        await client.send(frame(1, 1, client.block(PSEUDO), 0x4), frame(0, 1, b"x"))
        await client.send(frame(1, 1, client.block(BAD_TRAILERS[name]), 0x5))
        await client.until_over(1)
        assert PROTOCOL in (client.reset.get(1), client.goaway)
        assert complete == []


async def test_trailers_are_not_headers(server: Any, serve: Any) -> None:
    # bad input 33
    said = [("host", "evil"), ("authorization", "x"), ("content-length", "9"), ("cookie", "a=b")]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert await body_of(receive) == b"x"
        assert [name for name, _ in scope["headers"]] == [b"host"]
        await server.hello(scope, receive, send)

    async with serve(application) as listener, raw(listener) as client:
        await client.send(frame(1, 1, client.block(PSEUDO), 0x4), frame(0, 1, b"x"))
        await client.send(frame(1, 1, client.block(said), 0x5))
        await client.until_over(1)
        assert client.status == {1: 200}


async def test_garbage_ends_the_connection(serve: Any) -> None:
    async with serve(echo) as listener:
        for garbage in (b"\0" * 100, frame(5, 1, b"x" * 10, 0x4), frame(9, 1, b"x", 0x4), frame(1, 2, BLOCK, 0x5)):  # fmt: skip
            async with raw(listener) as client:
                await client.send(garbage)
                await client.until_closed()


PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
BEHIND = PREFACE + b"SM\r\n\r\n" + frame(4, 0)
NO_PREFACES = {
    "behind-a-request": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + BEHIND, 200, 505),
    "another-target": (BEHIND.replace(b"*", b"/x"), 505),
    "another-version": (BEHIND.replace(b"2.0", b"3.7"), 505),
    "no-version-of-ours": (BEHIND.replace(b"2.0", b"1.2"), 505),
    "with-fields": (BEHIND.replace(b"0\r\n\r", b"0\r\nHost: u@h\r\n\r"), 505),
    "http-1": (BEHIND.replace(b"2.0", b"1.1"), 400),
}


@pytest.mark.parametrize("piece", [0, 1])
@pytest.mark.parametrize("case", NO_PREFACES)
async def test_http2_begins_only_with_its_preface(
    server: Any, serve: Any, case: str, piece: int
) -> None:
    # bad input 16, 34
    data, *statuses = NO_PREFACES[case]
    async with serve(server.hello) as listener:
        client = server.client(listener.connect())
        for at in range(0, len(data), piece or len(data)):
            with contextlib.suppress(anyio.BrokenResourceError):
                await client.send(data[at : at + (piece or len(data))])
            await anyio.lowlevel.checkpoint()
        answers = await client.until_closed()
    found = [int(each[:3]) for each in answers.split(b"HTTP/1.1 ")[1:]]
    assert found == statuses
    assert answers.startswith(b"HTTP/1.1")
    assert b"\x00\x00" not in answers


# The guard


@given(st.lists(st.integers(1, 60), max_size=20))
def test_frames_are_counted_however_they_are_split(sizes: list[int]) -> None:
    data = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(1, 1, BLOCK, 0x4) + frame(3, 1, b"1234") * 501
    )
    guard = FrameGuard(1000, lambda: 0.0)
    at = 0
    with pytest.raises(FloodError):
        for size in (*sizes, len(data)):
            guard.received(data[at : at + size])
            at += size
            assert at < len(data)
    calm = FrameGuard(1000, lambda: 0.0)
    calm.received(data[:-13])
    calm.sent(frame(1, 1, b"x") + frame(0, 1, b"x" * 100))


def test_budgets_are_refilled_with_time_and_with_what_is_sent() -> None:
    now = 0.0
    guard = FrameGuard(1000, lambda: now)
    guard.received(b"x" * 24)
    for _ in range(20):
        guard.received(frame(3, 1, b"1234") * 499)
        now += 10.0
    now = 200.0
    for _ in range(100):
        guard.received(frame(8, 1, b"1234") * 32)
        guard.sent(frame(0, 1, b"x" * 16_384))
    with pytest.raises(FloodError):
        guard.received(frame(8, 1, b"1234") * 5000)


# Ends, and TLS


async def test_stop_says_goaway_and_answers(server: Any, serve: Any) -> None:
    application, started, release = server.held()
    async with serve(application) as listener, connected(listener) as client:
        async with connected(listener) as idle:
            stream = await client.request()
            await started.wait()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.stop)
                data = b""
                while GOAWAY not in data:
                    data = await client.stream.receive()
                await idle.until_closed()
                assert idle.goaway == NO_ERROR
                release.set()
                answered = b""
                try:
                    while True:
                        answered += await client.stream.receive()
                except anyio.EndOfStream:
                    pass
            assert b"ok" in answered
            assert stream == 1


async def test_an_endless_stream_is_told_that_the_service_stops(serve: Any) -> None:
    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with serve(endless) as listener, connected(listener) as client:
        await client.request()
        await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(0.1):
            await listener.stop()
        # Past its deadline the listener is left, and everybody who is there is cut.


async def test_clients_choose_http2_over_tls(server: Any, tmp_path: Any) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    path = tmp_path / "both.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(str(path))
    import ssl

    seen = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["http_version"], scope["scheme"]))
        await server.hello(scope, receive, send)

    config = {"http2": True, "tls": {"certificate": str(path)}}
    async with server.listening(application, config=config) as (listener, _):
        for protocols in (["h2", "http/1.1"], ["http/1.1"], []):
            context = ssl.create_default_context()
            authority.configure_trust(context)
            if protocols:
                context.set_alpn_protocols(protocols)
            raw = listener.connect()
            stream = await TLSStream.wrap(raw, hostname="localhost", ssl_context=context)
            with anyio.fail_after(20):
                if "h2" in protocols:
                    client = Client(stream)
                    assert (await client.ask())[0] == 200
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(listener.pause)
                        await client.request()
                        await anyio.lowlevel.checkpoint()
                        listener.begin(application)
                        await client.step()
                else:
                    await stream.send(server.GET)
                    assert (await stream.receive()).startswith(b"HTTP/1.1 200")
                    await stream.send(BEHIND)  # which it has not chosen
                    assert (await stream.receive()).startswith(b"HTTP/1.1 505")
            await raw.aclose()
    assert seen[0] == ("2", "https")
    assert seen[-2:] == [("1.1", "https"), ("1.1", "https")]
