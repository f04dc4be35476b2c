"""HTTP/2: requests and answers, windows, slow ends of either side, and polite ends."""

from __future__ import annotations

import json
import logging
import ssl
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trustme
from anyio.streams.tls import TLSStream
from http2_serving import counters, held, hello, serve
from services.http2 import NO_ERROR, PSEUDO, Client, body_of, connected, echo, frame, raw

from covet_engine import _library, _plugin
from covet_http import StreamAbortedError

pytest.importorskip("covet_engine._native", reason="the library is not built")

GOAWAY = b"\x00\x00\x08\x07"
LARGEST = 2**31 - 1


async def test_requests_and_answers() -> None:
    async with serve(echo) as listener, connected(listener) as client:
        crumbs = [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]
        status, body = await client.ask("/a?b", "POST", body=b"xyz", more=crumbs)
        assert (status, body) == (200, b"2 POST /a host=a|x=y|cookie=a=1; b=2 xyz")
        stream = await client.request(method="HEAD")
        await client.until_over(stream)
        assert (client.status[stream], client.body.get(stream, b"")) == (200, b"")
        streams = [await client.request(f"/{n}") for n in range(20)]
        await client.until_over(*streams)
        assert [client.body[each][:9] for each in streams[:2]] == [b"2 GET /0 ", b"2 GET /1 "]
        assert counters(listener).http2_connections == 1


async def test_http1_goes_on_beside_it() -> None:
    async with serve(echo) as listener, listener.connect() as stream:
        await stream.send(b"P")  # which HTTP/2 begins with as well
        await stream.send(b"UT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n!")
        assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
        assert counters(listener).http2_connections == 0


async def test_without_it_the_preface_is_a_bad_request() -> None:
    async with serve(echo, config={"http2": False}) as listener, listener.connect() as stream:
        await stream.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert (await stream.receive()).startswith(b"HTTP/1.1 505 ")


@pytest.mark.parametrize("size", [20_000, 300_000])
async def test_large_bodies_in_both_directions(size: int) -> None:
    async with serve(echo) as listener, connected(listener) as client:
        stream = await client.request("/", "POST", body=None)
        left = size
        while left:
            room = min(client.h2.local_flow_control_window(stream), 16_384, left)
            if room:
                client.h2.send_data(stream, b"x" * room, end_stream=room == left)
                left -= room
                await client.flush()
            else:
                await client.step()
        await client.until_over(stream)
        assert client.body[stream].count(b"x") == size


async def test_a_body_is_read_while_the_answer_streams() -> None:
    """Both directions at once, as gRPC has it, with trailers behind them."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert "http.response.trailers" in scope["extensions"]
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"ready", "more_body": True})
        while True:
            message = await receive()
            await send({"type": "http.response.body", "body": message["body"], "more_body": True})
            if not message["more_body"]:
                break
        await send({"type": "http.response.body", "body": b"."})
        status = [(b"grpc-status", b"0"), (b"Grpc-Message", b"fine")]
        await send({"type": "http.response.trailers", "headers": status})

    async with serve(application) as listener, connected(listener) as client:
        for _ in range(3):
            stream = await client.request("/", "POST", body=None, more=[("te", "trailers")])
            expected = b"ready"
            while client.body.get(stream) != expected:
                await client.step()
            for piece in (b"one", b"two", b"three"):
                client.h2.send_data(stream, piece)
                await client.flush()
                expected += piece
                while client.body[stream] != expected:
                    await client.step()
            client.h2.end_stream(stream)
            await client.flush()
            await client.until_over(stream)
            assert client.body[stream] == expected + b"."
            assert client.trailers[stream] == [(b"grpc-status", b"0"), (b"grpc-message", b"fine")]
            assert stream not in client.reset


async def test_an_answer_without_a_body_ends_with_its_head() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        fields = [(b"grpc-status", b"12"), (b"connection", b"close"), (b"Keep-Alive", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b""})

    async with serve(application) as listener, raw(listener) as client:
        await client.send(frame(1, 1, client.block(PSEUDO), 0x5))
        await client.until_over(1)
        assert client.frames[-1][:2] == (1, 0x5)
        names = [name for name, _ in client.fields[1]]
        assert names == [":status", "grpc-status", "content-length", "date"]


async def test_a_client_that_waits_to_be_asked_for_the_body() -> None:
    async with serve(echo) as listener, connected(listener) as client:
        stream = await client.request("/", "POST", body=None, more=[("expect", "100-continue")])
        while stream not in client.interim:
            await client.step()
        client.h2.send_data(stream, b"now", end_stream=True)
        await client.flush()
        await client.until_over(stream)
        assert client.body[stream].endswith(b" now")
        assert client.interim[stream] == 100


async def test_a_slow_application_holds_back_no_other_stream() -> None:
    release = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await release.wait()
        await echo(scope, receive, send)

    async with serve(application) as listener, connected(listener) as client:
        await client.ask()
        slow = [await client.request("/slow", "POST", body=None) for _ in range(40)]
        for each in slow:
            for size in (16_384, 16_384, 16_384, 16_383):
                while client.h2.outbound_flow_control_window < size:
                    await client.step()  # the connection's window is no limit for all of them
                client.h2.send_data(each, b"x" * size)
            await client.flush()
        for _ in range(5):
            assert (await client.ask("/", "POST", body=b"z" * 16_000))[0] == 200
        # None gets more than its window until it takes what it has.
        assert [client.h2.local_flow_control_window(each) for each in slow] == [0] * len(slow)
        release.set()
        for each in slow:
            client.h2.end_stream(each)
        await client.flush()
        await client.until_over(*slow)
        assert {client.body[each].count(b"x") for each in slow} == {65_535}


async def test_a_slow_reader_holds_back_no_other_stream_and_is_given_up() -> None:
    # bad input 21, 30
    given_up = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            await echo(scope, receive, send)
            return
        scope["extensions"]["covet.disconnect"]["subscribe"](given_up.set)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 200_000, "more_body": True})
        await send({"type": "http.response.body", "body": b"x" * 200_000})

    async with serve(application, write_timeout=0.2) as listener:
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
        assert counters(listener).write_timeouts == 1


async def test_a_stream_is_paused_until_its_client_reads() -> None:
    sent = 0

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
            sent += 10_000
        await send({"type": "http.response.body", "body": b""})

    async with serve(application) as listener, connected(listener, reads=False) as client:
        stream = await client.request()
        while len(client.body.get(stream, b"")) < 65_535:
            await client.step()
        for _ in range(200):
            await anyio.lowlevel.checkpoint()
        # A window, what waits in the engine, and one piece beyond it.
        assert sent <= 65_535 + 64 * 1024 + 20_000
        client.reads = True
        client.h2.increment_flow_control_window(LARGEST - 65_535)
        client.h2.increment_flow_control_window(LARGEST - 65_535, stream)
        await client.flush()
        await client.until_over(stream)
        assert len(client.body[stream]) == 1_000_000


async def test_a_body_that_does_not_come_is_answered_408() -> None:
    # bad input 21
    async with serve(echo, read_timeout=0.05) as listener, connected(listener) as client:
        stream = await client.request("/", "POST", body=None)
        await client.until_over(stream)
        assert client.status[stream] == 408
        assert (await client.ask())[0] == 200


async def test_a_head_that_does_not_come_ends_the_connection() -> None:
    # bad input 21
    async with serve(echo, keep_alive_timeout=0.1) as listener, raw(listener) as client:
        await client.send(frame(1, 1, client.block(PSEUDO), 0x5)[:-1])
        await client.until_closed()
        assert client.goaway == NO_ERROR
        assert counters(listener).header_timeouts == 1


async def test_an_idle_connection_is_ended_with_a_word() -> None:
    async with serve(echo, keep_alive_timeout=0.1) as listener, connected(listener) as client:
        assert (await client.ask())[0] == 200
        await client.until_closed()
        assert client.goaway == NO_ERROR
        assert counters(listener).idle_timeouts == 1


async def test_an_application_that_fails() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/begun":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        elif scope["path"] == "/less":
            length = [(b"content-length", b"10")]
            await send({"type": "http.response.start", "status": 200, "headers": length})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        elif scope["path"] == "/odd":
            raise KeyError

    async with serve(application) as listener, connected(listener) as client:
        for path in ("/", "/odd"):
            assert (await client.ask(path))[0] == 500
        for path in ("/begun", "/less"):
            stream = await client.request(path)
            await client.until_over(stream)
            assert client.reset[stream] == 2
        assert counters(listener).aborted == 2


async def test_a_stream_that_is_reset_cancels_its_call() -> None:
    begun: list[str] = []
    gone: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["path"])
        over = anyio.Event()
        scope["extensions"]["covet.disconnect"]["subscribe"](over.set)
        await over.wait()
        gone.append(scope["path"])

    async with serve(application) as listener:
        async with connected(listener) as client:
            stream = await client.request("/one")
            while begun != ["/one"]:
                await anyio.lowlevel.checkpoint()
            client.h2.reset_stream(stream)
            await client.flush()
            while gone != ["/one"]:
                await anyio.lowlevel.checkpoint()
            await client.request("/two")
            while begun != ["/one", "/two"]:
                await anyio.lowlevel.checkpoint()
        with anyio.fail_after(30):
            while gone != ["/one", "/two"]:
                await anyio.lowlevel.checkpoint()
        assert counters(listener).http2_resets == 1


async def test_answering_before_the_body_has_come_harms_nobody() -> None:
    application, started, release = held()

    async def by_path(scope: Any, receive: Any, send: Any) -> None:
        await (application if scope["path"] == "/held" else hello)(scope, receive, send)

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
        assert client.reset[upload] == NO_ERROR
        release.set()
        await client.until_over(neighbour)
        assert client.status == {upload: 200, neighbour: 200}


async def test_the_access_log_says_what_ended_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="covet.http.access")
    begun = anyio.Event()

    async def by_path(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            await hello(scope, receive, send)
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
    seen = [(each["target"], each["http"], each["status"]) for each in lines]
    assert seen == [("/", "2", 200), ("/late", "2", 200), ("/left", "2", 499)]


async def test_more_requests_than_may_be_in_flight_wait_for_their_turn() -> None:
    async with serve(echo, config={"max_in_flight": 2}) as listener, connected(listener) as client:
        streams = [await client.request(f"/{n}", "POST", body=b"b") for n in range(50)]
        await client.until_over(*streams)
        assert {client.status[each] for each in streams} == {200}


async def test_a_pause_holds_requests_until_the_next_phase() -> None:
    async with serve(echo) as listener, connected(listener) as client:
        await listener.pause()
        streams = [await client.request(f"/{n}", "POST", body=b"b") for n in range(3)]
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert not client.status
        listener.begin(hello)
        await client.until_over(*streams)
        assert [client.body[each] for each in streams] == [b"ok"] * 3


async def test_stop_says_goaway_twice_and_answers() -> None:
    application, started, release = held()
    async with serve(application) as listener, raw(listener) as client:
        async with connected(listener) as idle:
            await client.send(frame(1, 1, client.block(PSEUDO), 0x5))
            await started.wait()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.stop)
                while not client.goaways:
                    await client.step()
                # One that was on its way is still answered.
                await client.send(frame(1, 3, client.block(PSEUDO), 0x5))
                while len(client.goaways) < 2:
                    await client.step()
                assert client.goaways == [(LARGEST, NO_ERROR), (3, NO_ERROR)]
                await client.send(frame(1, 5, client.block(PSEUDO), 0x5))
                await idle.until_closed()
                assert idle.goaway == NO_ERROR
                release.set()
                await client.until_closed()
            assert client.status == {1: 200, 3: 200}


async def test_an_endless_stream_is_told_that_the_service_stops() -> None:
    ended = anyio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        ended.set()

    async with serve(endless) as listener, connected(listener) as client:
        stream = await client.request()
        while stream not in client.body:
            await client.step()
        with anyio.move_on_after(0.1):
            await listener.stop()
        # Past its deadline the listener is left, and everybody who is there is cut.
        assert not ended.is_set()


async def test_the_body_of_a_reset_stream_is_not_complete() -> None:
    bodies = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        bodies.append(await body_of(receive))

    async with serve(application) as listener, connected(listener) as client:
        stream = await client.request("/", "POST", body=None)
        client.h2.send_data(stream, b"half")
        await client.flush()
        await client.ask("/other")
        client.h2.reset_stream(stream)
        await client.flush()
        with anyio.fail_after(30):
            while len(bodies) < 2:
                await anyio.lowlevel.checkpoint()
        assert sorted(bodies) == [b"", b"half"]


class Without:
    """The library as it is where libnghttp2 is missing."""

    def __init__(self, lib: Any) -> None:
        self._lib = lib

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lib, name)

    def cv_engine_new(self, options: Any) -> Any:
        wanted, options.http2 = options.http2, 0
        engine = self._lib.cv_engine_new(options)
        options.http2 = wanted
        return engine


async def test_without_its_library_http1_is_spoken_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ffi, lib = _library.load()
    monkeypatch.setattr(_plugin, "load", lambda: _library.Library(ffi, Without(lib)))
    _library.say_without_http2.cache_clear()
    for _ in range(2):
        async with serve(echo) as listener, listener.connect() as stream:
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
            await stream.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert (await stream.receive()).startswith(b"HTTP/1.1 505 ")
    said = [each.getMessage() for each in caplog.records]
    assert len(said) == 1
    assert "libnghttp2" in said[0]


async def test_clients_choose_it_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    path = tmp_path / "both.pem"
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(path))
    seen = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["http_version"], scope["scheme"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 300_000})

    async with serve(application, config={"tls": {"certificate": path}}) as listener:
        for protocols in (["h2", "http/1.1"], ["http/1.1"], []):
            context = ssl.create_default_context()
            authority.configure_trust(context)
            if protocols:
                context.set_alpn_protocols(protocols)
            with anyio.fail_after(30):
                stream = await TLSStream.wrap(
                    listener.connect(), hostname="localhost", ssl_context=context
                )
                if "h2" in protocols:
                    client = Client(stream)
                    status, body = await client.ask()
                    assert (status, len(body)) == (200, 300_000)
                else:
                    await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    answer = b""
                    while len(answer) < 300_000:
                        answer += await stream.receive()
                    assert answer.startswith(b"HTTP/1.1 200 ")
                    await stream.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")  # it has not chosen that
                    while b"HTTP/1.1 505 " not in answer:
                        answer += await stream.receive()
                await stream.transport_stream.aclose()
    assert seen == [("2", "https"), ("1.1", "https"), ("1.1", "https")]
