"""HTTP/3: requests and their answers."""

from __future__ import annotations

import json
import logging
from typing import Any

import anyio
import pytest

from covet_http import StreamAbortedError

INTERNAL_ERROR, NO_ERROR, CANCELLED = 0x102, 0x100, 0x10C


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers the body, piece by piece as it comes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
        await send({"type": "http.response.body", "body": message["body"], "more_body": more})


async def test_a_request_is_answered(http3: Any) -> None:
    async with http3.listening(http3.hello) as (_, port), http3.connected(port) as client:
        assert await client.ask() == (200, b"ok")
        assert await client.ask() == (200, b"ok")
        assert b"date" in client.headers[0]


async def test_the_scope_is_what_asgi_says(http3: Any) -> None:
    scopes = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await http3.hello(scope, receive, send)

    more = [("cookie", "a=1"), ("x-a", "b\xe4"), ("cookie", "b=2"), ("te", "trailers")]
    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        await client.ask("/a%20b?c=%20d", more=more)
        (scope,) = scopes
        assert scope["client"] == client.socket.getsockname()
    assert scope["type"] == "http"
    assert scope["http_version"] == "3"
    assert scope["method"] == "GET"
    assert scope["scheme"] == "https"
    assert (scope["path"], scope["raw_path"]) == ("/a b", b"/a%20b")
    assert scope["query_string"] == b"c=%20d"
    assert scope["server"] == ("127.0.0.1", port)
    assert scope["headers"] == [
        (b"host", b"a"),
        (b"x-a", b"b\xe4"),
        (b"te", b"trailers"),
        (b"cookie", b"a=1; b=2"),
    ]
    assert scope["extensions"]["tls"]["tls_version"] == 0x0304
    assert scope["extensions"]["http.response.trailers"] == {}


async def test_many_requests_at_once(http3: Any) -> None:
    async with http3.listening(echo, config={"max_streams": 20}) as (_, port):
        async with http3.connected(port) as client:
            # More than may be open: those that wait are sent as others end.
            bodies = [b"%d" % n * n for n in range(1, 200)]
            streams = [client.request(method="POST", body=body) for body in bodies]
            await client.until_over(*streams)
            assert [client.body[each] for each in streams] == bodies
            assert not client.reset


async def test_long_bodies_both_ways_at_once(http3: Any) -> None:
    body = bytes(range(256)) * 4096
    async with http3.listening(echo) as (_, port), http3.connected(port) as client:
        streams = [client.request(method="POST", body=body) for _ in range(2)]
        await client.until_over(*streams)
        assert all(client.body[each] == body for each in streams)


async def test_a_body_in_pieces(http3: Any) -> None:
    async with http3.listening(echo) as (_, port), http3.connected(port) as client:
        stream = client.request(method="POST", body=None)
        for n in range(300):
            client.data(stream, b"%d," % n)
        client.data(stream, b"", end=True)
        await client.until_over(stream)
        assert client.body[stream] == b"".join(b"%d," % n for n in range(300))


async def test_the_end_of_a_stream_may_come_without_a_frame(http3: Any) -> None:
    async with http3.listening(echo) as (_, port), http3.connected(port) as client:
        stream = client.request(method="POST", body=None)
        client.data(stream, b"all")
        await client.until(lambda: client.body.get(stream) == b"all")
        client.raw(b"", stream=stream)
        await client.until_over(stream)
        assert client.body[stream] == b"all"


async def test_head_has_no_body(http3: Any) -> None:
    async with http3.listening(http3.hello) as (_, port), http3.connected(port) as client:
        assert await client.ask(method="HEAD") == (200, b"")
        assert client.headers[0][b"content-length"] == b"2"


async def test_trailers_are_sent(http3: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
        await send(start)
        await send({"type": "http.response.body", "body": b"sum"})
        fields = [] if scope["path"] == "/none" else [(b"X-Sum", b"42")]
        await send({"type": "http.response.trailers", "headers": fields})

    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        assert await client.ask() == (200, b"sum")
        assert client.trailers[0] == [(b"x-sum", b"42")]
        assert await client.ask("/none") == (200, b"sum")
        assert 4 not in client.trailers


async def test_trailers_of_a_request_are_passed_over(http3: Any) -> None:
    async with http3.listening(echo) as (_, port), http3.connected(port) as client:
        stream = client.request(method="POST", body=None)
        client.data(stream, b"body")
        client.h3.send_headers(stream, [(b"x-sum", b"1")], end_stream=True)
        client.wake()
        await client.until_over(stream)
        assert (client.status(stream), client.body[stream]) == (200, b"body")


async def test_an_early_answer_is_the_end_of_the_request(http3: Any) -> None:
    async with http3.listening(http3.hello) as (_, port), http3.connected(port) as client:
        stream = client.request(method="POST", body=None)
        client.data(stream, bytes(100_000))
        await client.until_over(stream)
        assert client.body[stream] == b"ok"
        await client.until(lambda: stream in client.stopped)
        assert client.stopped[stream] == NO_ERROR
        # What was sent of it does not count for the others.
        for _ in range(40):
            again = client.request(method="POST", body=None)
            client.data(again, bytes(60_000))
            await client.until_over(again)
            client.quic.reset_stream(again, NO_ERROR)
        assert await client.ask() == (200, b"ok")


@pytest.mark.parametrize("begun", [False, True])
async def test_an_application_that_fails(
    http3: Any, caplog: pytest.LogCaptureFixture, begun: bool
) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/ok":
            await http3.hello(scope, receive, send)
            return
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise OSError("no disk")

    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        stream = client.request()
        await client.until_over(stream)
        if begun:
            assert client.reset[stream] == INTERNAL_ERROR
            assert stream not in client.ended
        else:
            assert client.status(stream) == 500
            assert client.headers[stream][b"content-length"] == b"0"
        assert await client.ask("/ok") == (200, b"ok")
    assert "no disk" in caplog.text


async def test_an_answer_that_is_given_up_is_reset(http3: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise StreamAbortedError(504)

    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        stream = client.request()
        await client.until_over(stream)
        assert client.reset[stream] == INTERNAL_ERROR


MISTAKES: list[tuple[str, list[Any]]] = [
    ("begun already", [{"type": "http.response.start", "status": 200}] * 2),
    ("before the start", [{"type": "http.response.body", "body": b"x"}]),
    ("before the body", [{"type": "http.response.trailers", "headers": []}]),
    ("no message 'http.other'", [{"type": "http.other"}]),
    (
        "cannot be a header",
        [{"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\r\nc: d")]}],
    ),
    (
        "one message",
        [
            {"type": "http.response.start", "status": 200, "trailers": True},
            {"type": "http.response.body", "body": b"x"},
            {"type": "http.response.trailers", "headers": [], "more_trailers": True},
        ],
    ),
]


@pytest.mark.parametrize(("words", "messages"), MISTAKES, ids=[each[0] for each in MISTAKES])
async def test_mistakes_of_an_application(http3: Any, words: str, messages: list[Any]) -> None:
    heard = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        try:
            for each in messages:
                await send(each)
        except Exception as error:
            heard.append(str(error))

    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        await client.until_over(client.request())
        assert len(heard) == 1
        assert words in heard[0]


async def test_headers_about_a_connection_are_left_out(http3: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"Connection", b"close"), (b"Keep-Alive", b"1"), (b"X-A", b"b")]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body"})

    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        assert (await client.ask())[0] == 204
        assert set(client.headers[0]) == {b":status", b"x-a", b"date", b"alt-svc"}


async def test_connect_is_not_implemented(http3: Any) -> None:
    # bad input 34
    async with http3.listening(http3.hello) as (_, port), http3.connected(port) as client:
        stream = client.next_id()
        client.h3.send_headers(stream, [(b":method", b"CONNECT"), (b":authority", b"a:1")])
        client.wake()
        await client.until_over(stream)
        assert client.status(stream) == 501
        await client.until(lambda: stream in client.stopped)


@pytest.mark.parametrize("how", ["reset", "stop"])
async def test_a_client_that_gives_up_cancels_its_call(http3: Any, how: str) -> None:
    gone = anyio.Event()
    started = anyio.Event()
    statuses = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            await http3.hello(scope, receive, send)
            return
        scope["extensions"]["covet.disconnect"]["subscribe"](gone.set)
        started.set()
        await gone.wait()
        statuses.append((await receive())["type"])
        await http3.hello(scope, receive, send)

    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        stream = client.request("/wait", "POST", body=None)
        await started.wait()
        if how == "reset":
            client.quic.reset_stream(stream, CANCELLED)
        else:
            client.quic.stop_stream(stream, CANCELLED)
        client.wake()
        await gone.wait()
        await client.until(lambda: stream in client.reset or stream in client.stopped)
        assert await client.ask() == (200, b"ok")
        assert statuses == ["http.disconnect"]
        assert stream not in client.ended


async def test_a_request_that_is_reset_before_it_has_come(http3: Any) -> None:
    async with http3.listening(http3.hello) as (_, port), http3.connected(port) as client:
        stream = client.next_id()
        client.quic.send_stream_data(stream, b"")
        client.quic.reset_stream(stream, CANCELLED)
        client.wake()
        await client.until_over(stream)
        assert client.reset[stream] == CANCELLED
        assert await client.ask() == (200, b"ok")


async def test_a_client_that_leaves_cancels_its_calls(http3: Any) -> None:
    gone = 0
    started = 0

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal gone, started
        started += 1
        while (await receive())["type"] != "http.disconnect":
            pass
        gone += 1

    async with http3.listening(application) as (_, port):
        async with http3.connected(port) as client:
            for _ in range(3):
                client.request()
            while started < 3:
                await anyio.sleep(0.001)
        with anyio.fail_after(30):
            while gone < 3:
                await anyio.sleep(0.001)


async def test_the_access_log(http3: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "covet.http.access")
    started = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            started.set()
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await http3.hello(scope, receive, send)

    async with http3.listening(application, config={"access_log": True}) as (_, port):
        async with http3.connected(port) as client:
            await client.ask("/a?b", more=[("user-agent", "x\x1by".replace("\x1b", "\t"))])
            stream = client.request("/wait")
            await started.wait()
            client.quic.stop_stream(stream, CANCELLED)
            client.wake()
            await client.until(lambda: stream in client.reset)
    lines = [json.loads(each) for each in caplog.messages if each.startswith("{")]
    assert [(each["target"], each["http"], each["status"]) for each in lines] == [
        ("/a?b", "3", 200),
        ("/wait", "3", 499),
    ]
    assert lines[0]["agent"] == "x\ty"


async def test_answers_of_the_other_versions_advertise_it(http3: Any, server: Any) -> None:
    import ssl

    async def own(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"0"), (b"Alt-Svc", b"clear")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    async def head(port: int) -> bytes:
        context = ssl.create_default_context(cadata=http3.files.trusted.decode())
        async with await anyio.connect_tcp(
            "127.0.0.1", port, tls=True, ssl_context=context, tls_hostname="localhost"
        ) as stream:
            client = server.client(stream)
            await client.send(server.GET)
            found: bytes = (await client.answer())[1]
            return found.lower()

    async with http3.listening(http3.hello) as (_, port):
        assert b'\r\nalt-svc: h3=":%d"; ma=86400' % port in await head(port)
    async with http3.listening(http3.hello, config={"http3_port": 443}) as (_, port):
        assert b'\r\nalt-svc: h3=":443"; ma=86400' in await head(port)
    async with http3.listening(own) as (_, port):
        answer = await head(port)
        assert answer.count(b"alt-svc") == 1
        assert b"alt-svc: clear" in answer
