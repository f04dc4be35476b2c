"""Requests over real sockets: answers, limits, and one connection's failure staying its own."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
from typing import Any

import anyio
import anyio.abc
import pytest

from covet_hypercorn._connection import Connection
from covet_hypercorn._h1 import H1


async def test_answers_on_one_connection_in_order(server: Any) -> None:
    async with server.listening(server.hello) as (_, port), server.connected(port) as client:
        for _ in range(3):
            await client.send(server.GET)
            status, head, body = await client.answer()
            assert (status, body) == (200, b"ok")
            assert b"\r\ndate: " in head.lower()


async def test_pipelined_requests_are_answered_in_order(server: Any) -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        body = scope["path"].encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async with server.listening(echo) as (_, port), server.connected(port) as client:
        await client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(20)))
        assert [(await client.answer())[2] for _ in range(20)] == [b"/%d" % n for n in range(20)]


async def test_continue_is_said_once_and_only_when_asked(server: Any) -> None:
    # bad input 19
    async def read(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await server.hello(scope, receive, send)

    async with server.listening(read) as (_, port), server.connected(port) as client:
        await client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert (await client.head()).startswith(b"HTTP/1.1 100")
        await client.send(b"ab")
        status, _, _ = await client.answer()
        assert status == 200
        await client.send(server.GET)
        assert (await client.answer())[0] == 200


async def test_head_has_no_body(server: Any) -> None:
    async with server.listening(server.hello) as (_, port), server.connected(port) as client:
        await client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"content-length: 2" in await client.head()
        await client.send(server.GET)
        assert (await client.answer())[2] == b"ok"


@pytest.mark.parametrize("connection", [b"close", b"keep-alive", None])
async def test_http_1_0(server: Any, connection: bytes | None) -> None:
    line = b"Connection: " + connection + b"\r\n" if connection else b""
    async with server.listening(server.hello) as (_, port), server.connected(port) as client:
        await client.send(b"GET / HTTP/1.0\r\n" + line + b"\r\n")
        assert (await client.answer())[2] == b"ok"
        assert await client.until_closed() == b""


@pytest.mark.parametrize("name", [b"x\r\ny", b"x y", b"\xff"])
@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\0b", b"plain"])
async def test_response_headers_cannot_be_split(server: Any, name: bytes, value: bytes) -> None:
    # bad input 39
    async def application(scope: Any, receive: Any, send: Any) -> None:
        headers = [(name if value == b"plain" else b"x", value)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    async with server.listening(application) as (_, port), server.connected(port) as client:
        await client.send(server.GET)
        status, head, body = await client.answer()
    assert (status, body) == (500, b"")
    assert b"set-cookie" not in head


async def test_head_and_body_leave_in_one_write(server: Any) -> None:
    async with server.listening(server.hello) as (_, port), server.connected(port) as client:
        await client.send(server.GET)
        with anyio.fail_after(5):
            data = await client.stream.receive()
        assert data.endswith(b"\r\n\r\nok")


async def test_body_arrives_in_pieces(server: Any) -> None:
    async def count(scope: Any, receive: Any, send: Any) -> None:
        size = 0
        while True:
            message = await receive()
            size += len(message["body"])
            if not message["more_body"]:
                break
        body = str(size).encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async with server.listening(count) as (_, port), server.connected(port) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(30):
            await client.send(b"3\r\nabc\r\n")
        await client.send(b"0\r\n\r\n")
        assert (await client.answer())[2] == b"90"


async def test_answer_without_reading_a_large_body(server: Any) -> None:
    # The client gets its answer although it is still sending, and the server is free afterwards.
    async with server.listening(server.hello) as (_, port):
        async with server.connected(port) as client:
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
            await client.send(b"x" * 200_000)
            assert (await client.answer())[0] == 200
        async with server.connected(port) as client:
            await client.send(server.GET)
            assert (await client.answer())[0] == 200


async def test_application_error_is_500_and_the_server_lives(
    server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("secret")

    async with server.listening(broken) as (_, port):
        for _ in range(2):
            async with server.connected(port) as client:
                await client.send(server.GET)
                status, head, body = await client.answer()
                assert status == 500
                assert b"secret" not in head + body
    assert "the application failed" in caplog.text


@pytest.mark.parametrize("method", ["receive", "_send", "_request"])
async def test_a_defect_in_one_connection_ends_only_that_one(
    server: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    application, started, release = server.held()

    async def by_path(scope: Any, receive: Any, send: Any) -> None:
        await (application if scope["path"] == "/held" else server.hello)(scope, receive, send)

    async with server.listening(by_path) as (_, port):
        async with server.connected(port) as bystander, server.connected(port) as victim:
            await bystander.send(server.GET.replace(b"/", b"/held", 1))
            await started.wait()
            with monkeypatch.context() as patch:

                async def broken(*args: Any) -> None:
                    raise RuntimeError("a defect")

                patch.setattr(H1, method, broken)
                await victim.send(server.GET)
                await victim.until_closed()
            release.set()
            assert (await bystander.answer())[0] == 200
        async with server.connected(port) as newcomer:
            await newcomer.send(server.GET)
            assert (await newcomer.answer())[0] == 200
    assert "a connection failed and was closed" in caplog.text


async def test_failure_after_the_first_byte_does_not_look_complete(server: Any) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("too late")

    async with server.listening(broken) as (_, port), server.connected(port) as client:
        await client.send(server.GET)
        data = await client.until_closed()
    assert b"half" in data
    assert b"0\r\n\r\n" not in data


async def test_disconnect_is_told_at_once(server: Any) -> None:
    told = anyio.Event()

    async def wait(scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"]["covet.disconnect"]["subscribe"](told.set)
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    async with server.listening(wait) as (_, port):
        async with server.connected(port) as client:
            await client.send(server.GET)
            await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(5):
            await told.wait()


async def test_an_answered_client_is_not_called_gone(server: Any) -> None:
    gone: list[str] = []

    async def subscribe(scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"]["covet.disconnect"]["subscribe"](lambda: gone.append("gone"))
        await server.hello(scope, receive, send)

    async with server.listening(subscribe) as (_, port), server.connected(port) as client:
        for _ in range(2):
            await client.send(server.GET)
            await client.answer()
    assert gone == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nbad name: 5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nx: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
async def test_malformed_request_is_400_and_closes(server: Any, request_bytes: bytes) -> None:
    # bad input 1, 2, 3, 7, 15, 16, 17, 20: nothing after the broken request is parsed
    called: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        called.append(scope["path"])
        await server.hello(scope, receive, send)

    async with server.listening(application) as (_, port), server.connected(port) as client:
        await client.send(request_bytes + b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.until_closed()
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"/second" not in "".join(called).encode()


async def test_a_body_that_breaks_off_the_rules_is_400(server: Any) -> None:
    # bad input 8, 9, 10: the application, which waits for the rest, learns that there is none
    ended = anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await server.hello(scope, receive, send)
        ended.set()

    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    for rest in (b"0x5\r\nabcde\r\n", b"-5\r\n", b"3\r\nabcXX", b"zz\r\n"):
        async with server.listening(application) as (_, port), server.connected(port) as client:
            await client.send(head)
            await anyio.wait_all_tasks_blocked()
            await client.send(rest)
            answer = await client.until_closed()
            assert answer.startswith(b"HTTP/1.1 400")
            assert answer.count(b"HTTP/1.1") == 1
            with anyio.fail_after(5):
                await ended.wait()


async def test_same_outcome_one_byte_at_a_time(server: Any) -> None:
    async with server.listening(server.hello) as (_, port), server.connected(port) as client:
        for byte in server.GET:
            await client.send(bytes([byte]))
        assert (await client.answer())[0] == 200


async def test_header_limit(server: Any) -> None:
    # bad input 22
    async with server.listening(server.hello, max_header_bytes=4096) as (_, port):
        async with server.connected(port) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 2000)
            assert (await client.until_closed()).startswith(b"HTTP/1.1 431")
        async with server.connected(port) as client:
            await client.send(server.GET)
            assert (await client.answer())[0] == 200


async def test_http2_is_refused_unless_enabled(server: Any) -> None:
    # bad input 34
    async with server.listening(server.hello) as (_, port):
        async with server.connected(port) as client:
            await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert (await client.until_closed()).startswith(b"HTTP/1.1 505")
        async with server.connected(port) as client:
            await client.send(
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
            )
            assert (await client.answer())[0] == 200


async def test_a_client_that_is_too_slow_is_closed(server: Any) -> None:
    # bad input 21: header, idle and body
    async with server.listening(server.hello, keep_alive_timeout=0.1, read_timeout=0.1) as (
        _,
        port,
    ):
        async with server.connected(port) as client:
            await client.send(b"GET / HTTP/1.1\r\nHo")
            assert await client.until_closed() == b""
        async with server.connected(port) as client:
            await client.send(server.GET)
            await client.answer()
            assert await client.until_closed() == b""

    async def read(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async with server.listening(read, keep_alive_timeout=5, read_timeout=0.1) as (_, port):
        async with server.connected(port) as client:
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
            await client.until_closed()


async def test_a_slow_handler_is_not_a_slow_client(server: Any) -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep(0.5)
        await server.hello(scope, receive, send)

    async with server.listening(slow, keep_alive_timeout=0.1, read_timeout=0.1) as (_, port):
        async with server.connected(port) as client:
            await client.send(server.GET)
            assert (await client.answer())[0] == 200


async def test_a_client_that_does_not_read_is_closed(server: Any) -> None:
    # bad input 21: zero window
    ended = anyio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        finally:
            ended.set()

    async with server.listening(endless, write_timeout=0.2) as (_, port):
        async with server.connected(port) as client:
            await client.send(server.GET)
            with anyio.fail_after(10):
                await ended.wait()


async def test_a_client_that_reads_slowly_gets_all_of_a_long_answer(server: Any) -> None:
    body = b"x" * (300 * 65536)  # far more than the system's buffers hold

    async def long(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async with server.listening(long, write_timeout=2) as (_, port):
        async with server.connected(port) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            got = bytearray()
            with contextlib.suppress(anyio.EndOfStream):
                while True:  # no piece of it takes as long, all of it does
                    await anyio.sleep(0.01)
                    got += await client.stream.receive(65536)
            assert got.endswith(b"\r\n\r\n" + body)


async def test_accepting_pauses_at_the_limit(server: Any) -> None:
    async with server.listening(server.hello, max_connections=2) as (_, port):
        async with server.connected(port) as third_later:
            await third_later.send(server.GET)
            assert (await third_later.answer())[0] == 200
            async with server.connected(port) as second:
                await second.send(server.GET)
                assert (await second.answer())[0] == 200
                async with server.connected(port) as waiting:
                    await waiting.send(server.GET)
                    with anyio.move_on_after(0.2) as patience:
                        await waiting.answer()
                    assert patience.cancelled_caught
                    await second.stream.aclose()
                    assert (await waiting.answer())[0] == 200


async def test_a_connection_reset_in_the_backlog_is_skipped(server: Any) -> None:
    async with server.listening() as (listener, port):
        gone = socket.create_connection(("127.0.0.1", port))
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        gone.close()
        listener.begin(server.hello)
        async with server.connected(port) as client:
            await client.send(server.GET)
            assert (await client.answer())[0] == 200


async def test_access_log_is_one_escaped_line(
    server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # bad input 40
    caplog.set_level(logging.INFO, logger="covet.http.access")
    async with server.listening(server.hello, config={"access_log": True}) as (_, port):
        async with server.connected(port) as client:
            await client.send(
                b"GET /%1b%5b31m%0d%0aforged HTTP/1.1\r\nHost: a\r\n"
                b"User-Agent: x \x9b31m\xe2\x80\xa8 y\r\n\r\n"
            )
            await client.answer()
    (record,) = [each for each in caplog.records if each.name == "covet.http.access"]
    line = record.getMessage()
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert entry["status"] == 200
    assert entry["target"] == "/%1b%5b31m%0d%0aforged"
    assert entry["client"] == "127.0.0.1"


async def test_sending_to_a_client_that_left_can_be_cancelled(server: Any) -> None:
    ended = anyio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        with anyio.CancelScope() as sending:
            scope["extensions"]["covet.disconnect"]["subscribe"](sending.cancel)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
        ended.set()

    async with server.listening(endless) as (_, port):
        async with server.connected(port) as client:
            await client.send(server.GET)
            await client.stream.receive(10)
        with anyio.fail_after(10):
            await ended.wait()


async def test_an_application_that_goes_on_after_its_answer_leaves_the_next_alone(
    server: Any,
) -> None:
    heard = []

    async def late(scope: Any, receive: Any, send: Any) -> None:
        number = int(scope["path"][1:])
        if number > 1:
            await anyio.sleep(0.05)  # so that the one before returns meanwhile
        headers = [(b"content-length", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"%d" % number})
        await receive()  # the end of the body
        heard.append((await receive())["type"])
        await anyio.sleep(0.03)
        await send({"type": "http.response.body", "body": b"too late"})

    async with server.listening(late) as (_, port), server.connected(port) as client:
        for number in range(1, 5):
            await client.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            assert (await client.answer())[::2] == (200, b"%d" % number)
        while len(heard) < 4:
            await anyio.sleep(0.01)
    assert heard == ["http.disconnect"] * 4


class Vanishing(anyio.abc.ByteStream):
    """A client that is gone for who reads while somebody still writes to it."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._written, self._ended = anyio.Event(), anyio.Event()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        await self._written.wait()
        self._ended.set()
        raise anyio.EndOfStream

    async def send(self, item: bytes) -> None:
        self._written.set()
        await self._ended.wait()
        await anyio.wait_all_tasks_blocked()
        raise anyio.BrokenResourceError

    async def send_eof(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


async def test_a_request_is_told_of_a_client_that_is_found_gone_twice(server: Any) -> None:
    told = anyio.Event()

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        told.set()

    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    async with server.listening(reads) as (listener, _):
        with anyio.fail_after(10):
            await Connection(listener, Vanishing(head), None, None).run()
            await told.wait()
