"""The messages of ASGI over real sockets: scopes, bodies, answers, orders that are wrong, clients that leave."""

from __future__ import annotations

import contextvars
import json
import logging
from collections.abc import AsyncIterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from applications import Receive, Scope, Send, answer, asking, serving
from served import listening
from wire import PATIENCE, WireError, connected, read_answers, request

from covet_engine import ClientDisconnectedError
from covet_engine._asgi import AsgiExchange, AsgiTarget
from covet_engine._core import Gone, Kind
from covet_http import DISCONNECT, StreamAbortedError

LOGGER = "covet.engine"


async def whole_body(receive: Receive) -> tuple[bytes, list[int]]:
    """The body, and the sizes of its pieces."""
    pieces = []
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        pieces.append(message["body"])
        if not message["more_body"]:
            return b"".join(pieces), [len(piece) for piece in pieces]


# What an application is told.


async def test_the_scope_has_all_that_is_known() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(dict(scope))
        await answer(send)

    async with serving(app) as port, connected(port) as client:
        head = (
            b"GET /a%2Fb/%C3%A9?x=1&y=%20 HTTP/1.1\r\nHost: h:80\r\nX-Odd:  \t a  b \t \r\n"
            b"X-Empty:\r\nx-odd: \xe9\r\n\r\n"
        )
        await client.send(head)
        await client.answer()
        here = client.socket.getsockname()
    (scope,) = seen
    subscribe = scope.pop("extensions")[DISCONNECT]["subscribe"]
    assert callable(subscribe)
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a/b/é",
        "raw_path": b"/a%2Fb/%C3%A9",
        "query_string": b"x=1&y=%20",
        "root_path": "",
        "headers": [
            (b"host", b"h:80"), (b"x-odd", b"a  b"), (b"x-empty", b""), (b"x-odd", b"\xe9"),
        ],
        "client": here,
        "server": ("127.0.0.1", port),
    }  # fmt: skip


async def test_the_path_of_an_absolute_target_is_the_path_alone() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await answer(send)

    async with serving(app) as port, connected(port) as client:
        await client.send(b"GET http://h/a%20b?c HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.answer()
    assert (seen[0]["path"], seen[0]["raw_path"]) == ("/a b", b"/a%20b")
    assert seen[0]["query_string"] == b"c"


async def test_http_1_0_without_any_field() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await answer(send, b"ok")

    async with serving(app) as port, connected(port) as client:
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        (found,) = read_answers(await client.until_closed())
    assert found.body == b"ok"
    assert seen[0]["http_version"] == "1.0"
    assert seen[0]["headers"] == []


async def test_each_request_has_a_context_and_a_scope_of_its_own() -> None:
    number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        before = number.get()
        number.set(before + 1)
        scope["mine"] = scope.get("mine", 0) + 1
        scope["asgi"]["mine"] = scope["asgi"].get("mine", 0) + 1
        await anyio.lowlevel.checkpoint()
        await answer(send, b"%d %d %d" % (number.get(), scope["mine"], scope["asgi"]["mine"]))

    async with serving(app) as port, connected(port) as client:
        for _ in range(5):
            assert (await client.ask("/")).body == b"1 1 1"


async def test_an_upgrade_is_answered_as_plain_http() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await answer(send, b"plain")

    async with serving(app) as port, connected(port) as client:
        fields = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA")
        await client.send(request("/", "GET", b"", *fields))
        assert (await client.answer()).body == b"plain"


async def test_what_is_returned_need_not_be_a_coroutine() -> None:
    class Later:
        def __init__(self, send: Send) -> None:
            self.send = send

        def __await__(self) -> Any:
            yield from anyio.lowlevel.checkpoint().__await__()
            yield from answer(self.send, b"later").__await__()

    def app(scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] != "http":
            raise NotImplementedError
        return Later(send)

    async with asking(app) as client:
        assert (await client.get("/")).text == "later"


# Bodies coming in.


async def test_a_body_that_is_there_comes_in_one_message_without_waiting() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        coroutine = receive()
        try:
            coroutine.send(None)  # type: ignore[attr-defined]
        except StopIteration as stop:
            message = stop.value
        else:
            raise AssertionError("it waited")
        assert message == {"type": "http.request", "body": b"abc", "more_body": False}
        await answer(send, b"fine")

    async with serving(app) as port, connected(port) as client:
        assert (await client.ask("/", "POST", b"abc")).body == b"fine"


@pytest.mark.parametrize("size", [0, 1, 1000, 100_000, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_of_any_size_arrive_whole(size: int, chunked: bool) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    largest = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal largest
        found, sizes = await whole_body(receive)
        largest = max(sizes)
        await answer(send, b"same" if found == body else b"different")

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, size, 7001):
            yield body[at : at + 7001]

    async with asking(app) as client:
        sent = client.post("/", content=pieces() if chunked else body)
        assert (await sent).text == "same"
    assert largest <= 1 << 20


async def test_a_body_is_not_read_faster_than_the_application_asks() -> None:
    size = 64 << 20
    ask = anyio.Event()
    total = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal total
        await ask.wait()
        more = True
        while more:
            message = await receive()
            total += len(message["body"])
            more = message["more_body"]
        await answer(send, b"%d" % total)

    async with serving(app) as port, connected(port) as client:
        head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size
        await client.send(head)
        piece, sent = b"x" * 65536, 0
        for _ in range(20):  # until nothing has gone for a while
            try:
                while sent < size:
                    sent += client.socket.send(piece[: size - sent])
            except BlockingIOError:
                await anyio.sleep(0.01)
        # What the buffers of the system and one block of the engine's hold, and no more.
        assert sent < size // 2
        ask.set()
        await client.send(b"x" * (size - sent))
        assert (await client.answer()).body == b"%d" % size


async def test_after_the_body_receive_waits_for_the_client_to_leave() -> None:
    inside, left = anyio.Event(), anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await whole_body(receive)
        inside.set()
        assert (await receive())["type"] == "http.disconnect"
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    async with serving(app) as port:
        async with connected(port) as client:
            await client.send(request("/"))
            await inside.wait()
        with anyio.fail_after(PATIENCE):
            await left.wait()


async def test_after_the_answer_receive_says_disconnected_at_once() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"done")
        seen.append(await receive())

    async with serving(app) as port, connected(port) as client:
        assert (await client.ask("/", "POST", b"unread")).body == b"done"
        assert (await client.ask("/", "POST", b"unread")).body == b"done"
    assert seen == [{"type": "http.disconnect"}] * 2


async def test_whoever_waits_in_receive_hears_that_the_answer_is_complete() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

        async def listen() -> None:
            seen.append((await receive())["type"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            tasks.start_soon(listen)
            await anyio.sleep(0.01)
            await answer(send, b"done")

    async with serving(app) as port, connected(port) as client:
        assert (await client.ask("/")).body == b"done"
        await client.ask("/")
    assert seen == ["http.disconnect"] * 4


@pytest.mark.parametrize(
    "bad",
    [
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc",
    ],
)
async def test_a_body_that_ends_early_or_is_malformed_never_looks_complete(bad: bytes) -> None:
    # bad input 12
    messages: list[dict[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            messages.append(await receive())
            if messages[-1]["type"] == "http.disconnect" or not messages[-1]["more_body"]:
                break

    async with serving(app) as port, connected(port) as client:
        at = bad.index(b"\r\n\r\n") + 9
        await client.send(bad[:at])
        while not messages:
            await anyio.sleep(0.001)
        await client.send(bad[at:])
        client.finish()
        await client.until_closed()
    assert messages[-1]["type"] == "http.disconnect"
    assert all(each["more_body"] for each in messages[:-1])


async def test_the_last_piece_before_a_client_left_is_not_the_end_of_the_body() -> None:
    # bad input 12
    record = bytes(240)
    core: Any = SimpleNamespace(
        arena=memoryview(record + b"piece"), live={}, read=lambda handle: None
    )
    exchange = AsgiExchange(AsgiTarget(core, None), 1, 0, 0)  # type: ignore[arg-type]
    exchange.on_event(Kind.BODY, len(record), 5, 0, 0)
    exchange.on_event(Kind.GONE, 0, 0, 0, Gone.CLOSED)
    piece = await exchange.receive()
    assert piece == {"type": "http.request", "body": b"piece", "more_body": True}
    assert (await exchange.receive())["type"] == "http.disconnect"


# Answers going out.


async def test_a_complete_answer_has_its_length_and_goes_out_at_once() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"hello", 201, (b"X-A", b"1"), (b"x-a", b"2"), (b"server", b"mine"))

    async with serving(app) as port, connected(port) as client:
        await client.send(request("/"))
        data = await client.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    assert body == b"hello"
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 201 Created"
    assert [line for line in lines if line[:2].lower() == b"x-"] == [b"X-A: 1", b"x-a: 2"]
    assert b"content-length: 5" in lines
    assert b"server: mine" in lines


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_bodies_are_anything_that_has_bytes(kind: Any) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, kind(b"body"))

    async with asking(app) as client:
        assert (await client.get("/")).content == b"body"


async def test_a_stream_is_chunked_or_as_long_as_declared() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"6")] if scope["path"] == "/declared" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in (b"ab", b"", b"cd"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await anyio.lowlevel.checkpoint()
        await send({"type": "http.response.body", "body": b"ef"})

    async with serving(app) as port, connected(port) as client:
        plain = await client.ask("/")
        assert plain.headers["transfer-encoding"] == "chunked"
        assert plain.body == b"abcdef"
        declared = await client.ask("/declared")
        assert declared.headers["content-length"] == "6"
        assert declared.body == b"abcdef"
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        (old,) = read_answers(await client.until_closed())
        assert old.closes
        assert old.body == b"abcdef"


async def test_each_piece_of_a_stream_leaves_when_it_is_sent() -> None:
    more = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await more.wait()
        await send({"type": "http.response.body", "body": b"last"})

    async with serving(app) as port, connected(port) as client:
        await client.send(request("/"))
        seen = b""
        while b"first" not in seen:
            seen += await client.receive()
        assert b"last" not in seen
        more.set()
        while b"0\r\n\r\n" not in seen:
            seen += await client.receive()
        assert b"last" in seen


async def test_a_client_that_does_not_read_stops_the_stream() -> None:
    sent = 0
    whole = 64 << 20
    piece = b"x" * (1 << 20)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200})
        while sent < whole:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            sent += len(piece)
        await send({"type": "http.response.body"})

    async with serving(app) as port, connected(port, buffer=65536) as client:
        await client.send(request("/"))
        got = len(await client.receive())
        before = -1
        while before != sent:
            before = sent
            await anyio.sleep(0.1)
        assert sent < whole // 2
        while got < whole:
            got += len(await client.receive())
        assert sent == whole


async def test_trailers_follow_a_chunked_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert "http.response.trailers" in scope["extensions"]
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send({"type": "http.response.body", "body": b"abc"})
        fields = [(b"x-sum", b"6")]
        await send({"type": "http.response.trailers", "headers": fields, "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"x-end", b"yes")]})

    async with serving(app) as port, connected(port) as client:
        found = await client.ask("/")
        assert found.body == b"abc"
        assert found.trailers == {"x-sum": "6", "x-end": "yes"}
        assert (await client.ask("/", "HEAD")).trailers == {}
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        (old,) = read_answers(await client.until_closed())
        assert old.body == b"abc"


@pytest.mark.parametrize("name", [b"Content-Length", b"transfer-encoding", b"host", b"a b"])
async def test_trailers_that_frame_a_message_are_refused(name: bytes) -> None:
    # bad input 13
    raised: list[Exception] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send({"type": "http.response.body", "body": b"abc"})
        try:
            await send({"type": "http.response.trailers", "headers": [(name, b"1")]})
        except ValueError as error:
            raised.append(error)
        await send({"type": "http.response.trailers", "headers": []})

    async with serving(app) as port, connected(port) as client:
        assert (await client.ask("/")).trailers == {}
    assert len(raised) == 1


@pytest.mark.parametrize("status", [204, 205, 304])
async def test_answers_that_have_no_body_have_none(status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/pieces":
            await send({"type": "http.response.start", "status": status})
            await send({"type": "http.response.body", "body": b"no", "more_body": True})
            await send({"type": "http.response.body", "body": b"no"})
        else:
            await answer(send, b"no", status, (b"etag", b'"a"'))

    async with serving(app) as port, connected(port) as client:
        for path in ("/", "/pieces", "/"):
            found = await client.ask(path)
            assert (found.status, found.body) == (status, b"")


async def test_head_has_the_length_of_what_get_would_get() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        match scope["path"]:
            case "/whole":
                await answer(send, b"12345")
            case "/declared":
                await answer(send, b"", 200, (b"content-length", b"12345"))
            case "/stream":
                await send({"type": "http.response.start", "status": 200})
                for _ in range(200):
                    await send({"type": "http.response.body", "body": b"x", "more_body": True})
                await send({"type": "http.response.body"})

    async with serving(app) as port, connected(port) as client:
        assert (await client.ask("/whole", "HEAD")).headers["content-length"] == "5"
        assert (await client.ask("/declared", "HEAD")).headers["content-length"] == "12345"
        assert (await client.ask("/stream", "HEAD")).body == b""
        assert (await client.ask("/whole")).body == b"12345"


async def test_the_application_may_close_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"bye", 200, (b"Connection", b"Close"), (b"keep-alive", b"timeout=5"))

    async with serving(app) as port, connected(port) as client:
        await client.send(request("/"))
        (found,) = read_answers(await client.until_closed())
    assert found.closes
    assert "keep-alive" not in found.headers


# What an application does wrong.

INJECTIONS = [
    (b"x", b"a\r\nevil: 1"),
    (b"x", b"a\nevil: 1"),
    (b"x", b"a\rb"),
    (b"x", b"a\0b"),
    (b"x", b"a\x7fb"),
    (b"x", b"a\x1bb"),
    (b"x\r\nevil", b"1"),
    (b"x y", b"1"),
    (b"x:", b"1"),
    (b"", b"1"),
    ("é".encode(), b"1"),
    (b"location", b"/\r\nset-cookie: a=b"),
    (b"content-type", b"text/plain\r\nevil: 1"),
    (b"set-cookie", b"a=b\r\n\r\n<script>"),
]


@pytest.mark.parametrize(("name", "value"), INJECTIONS)
async def test_a_field_that_could_end_the_line_is_an_exception_where_it_is_set(
    name: bytes, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    # bad input 39
    raised: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await answer(send, b"secret", 200, (b"ok", b"1"), (name, value))
        except ValueError as error:
            raised.append(error)
            raise

    async with serving(app) as port, connected(port) as client:
        await client.send(request("/"))
        found = await client.answer()
        assert found.status == 500
        assert b"secret" not in found.body
        assert "evil" not in found.headers
        assert "ok" not in found.headers
        assert (await client.ask("/")).status == 500
    assert len(raised) == 2


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 1000, "200", None, 200.0])
async def test_a_status_that_is_none_is_refused(status: Any) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(ValueError, match="no status"):
            await send({"type": "http.response.start", "status": status})
        await answer(send, b"ok")

    async with asking(app) as client:
        assert (await client.get("/")).text == "ok"


async def test_a_wrong_length_is_an_exception_and_never_a_wrong_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        declared = [(b"content-length", b"5")]
        path = scope["path"]
        if path == "/twice":
            await answer(send, b"", 200, *declared, *declared)
        elif path == "/odd":
            await answer(send, b"", 200, (b"content-length", b"+5"))
        elif path.startswith("/whole"):
            await answer(send, b"1234" if path == "/whole-short" else b"123456", 200, *declared)
        else:
            await send({"type": "http.response.start", "status": 200, "headers": declared})
            await send({"type": "http.response.body", "body": b"1234", "more_body": True})
            await anyio.lowlevel.checkpoint()
            rest = b"" if path == "/stream-short" else b"56"
            await send({"type": "http.response.body", "body": rest})

    async with serving(app) as port:
        for path in ("/twice", "/odd", "/whole-short", "/whole-long"):
            async with connected(port) as client:
                assert (await client.ask(path)).status == 500
        for path in ("/stream-short", "/stream-long"):
            async with connected(port) as client:
                with pytest.raises(WireError):
                    await client.ask(path)
    failures = [each for each in caplog.records if each.name == LOGGER]
    assert len(failures) == 6
    assert all(each.exc_info and each.exc_info[0] is ValueError for each in failures)


ORDERS: list[list[dict[str, Any]]] = [
    [{"type": "http.response.body"}],
    [{"type": "http.response.trailers", "headers": []}],
    [{"type": "http.response.start", "status": 200}] * 2,
    [{"type": "http.response.start", "status": 200}, {"type": "http.response.trailers"}],
    [{"type": "http.response.begin"}],
    [{"type": "websocket.accept"}],
]


@pytest.mark.parametrize("messages", ORDERS)
async def test_messages_in_the_wrong_order_are_refused(messages: list[dict[str, Any]]) -> None:
    raised: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            for message in messages:
                await send(dict(message))
        except RuntimeError as error:
            raised.append(str(error))
        if messages[0].get("status"):
            await send({"type": "http.response.body", "body": b"ok"})
        else:
            await answer(send, b"ok")

    async with asking(app) as client:
        assert (await client.get("/")).text == "ok"
    assert len(raised) == 1
    assert messages[-1]["type"] in raised[0]


async def test_nothing_follows_a_complete_answer() -> None:
    raised: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"ok")
        for message in (
            {"type": "http.response.body", "body": b"more"},
            {"type": "http.response.start", "status": 200},
        ):
            try:
                await send(message)
            except RuntimeError as error:
                raised.append(str(error))

    async with serving(app) as port, connected(port) as client:
        assert (await client.ask("/")).body == b"ok"
        assert (await client.ask("/")).body == b"ok"
    assert len(raised) == 4


async def test_an_exception_before_the_first_byte_is_500_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/started":
            await send({"type": "http.response.start", "status": 200})
        if scope["path"] == "/later":
            await anyio.lowlevel.checkpoint()
        raise ValueError("secret")

    async with serving(app) as port, connected(port) as client:
        for path in ("/", "/started", "/later"):
            found = await client.ask(path)
            assert (found.status, found.body) == (500, b"Internal Server Error")
    failures = [each for each in caplog.records if each.name == LOGGER]
    assert len(failures) == 3
    assert all(each.exc_info for each in failures)


async def test_an_exception_behind_the_first_byte_cuts_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        await anyio.lowlevel.checkpoint()
        raise StreamAbortedError("quiet") if scope["path"] == "/quiet" else ValueError("loud")

    async with serving(app) as port:
        for path in ("/", "/quiet"):
            async with connected(port) as client:
                with pytest.raises(WireError):
                    await client.ask(path)
    assert len([each for each in caplog.records if each.name == LOGGER]) == 1


@pytest.mark.parametrize("path", ["/nothing", "/started", "/part"])
async def test_returning_without_a_whole_answer_is_an_error(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if path != "/nothing":
            await send({"type": "http.response.start", "status": 200})
        if path == "/part":
            await send({"type": "http.response.body", "body": b"some", "more_body": True})

    async with serving(app) as port, connected(port) as client:
        if path == "/part":
            with pytest.raises(WireError):
                await client.ask(path)
        else:
            assert (await client.ask(path)).status == 500
    (failure,) = [each for each in caplog.records if each.name == LOGGER]
    assert "returned" in failure.getMessage()


# Clients that leave.


async def test_sending_to_a_client_that_has_left_is_an_os_error() -> None:
    raised: list[BaseException] = []
    inside, done = anyio.Event(), anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if scope["path"] == "/stream":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"some", "more_body": True})
        inside.set()
        assert (await receive())["type"] == "http.disconnect"
        try:
            if scope["path"] == "/stream":
                await send({"type": "http.response.body", "body": b"more", "more_body": True})
            else:
                await answer(send, b"whole")
        except OSError as error:
            raised.append(error)
            raise
        finally:
            done.set()

    async with serving(app) as port:
        for path in ("/stream", "/whole"):
            inside, done = anyio.Event(), anyio.Event()
            async with connected(port) as client:
                await client.send(request(path))
                await inside.wait()
                if path == "/stream":
                    await client.receive()
            with anyio.fail_after(PATIENCE):
                await done.wait()
    assert [type(error) for error in raised] == [ClientDisconnectedError] * 2


async def test_an_endless_stream_ends_when_its_client_leaves() -> None:
    ended = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
        finally:
            ended.set()

    async with serving(app) as port:
        for method in ("GET", "HEAD"):
            ended = anyio.Event()
            async with connected(port) as client:
                await client.send(request("/", method))
                await client.receive()
                client.reset()
            with anyio.fail_after(PATIENCE):
                await ended.wait()


async def test_covets_own_extension_tells_of_a_client_that_leaves() -> None:
    told: list[str] = []
    inside, done = anyio.Event(), anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        subscribe = scope["extensions"][DISCONNECT]["subscribe"]
        if scope["path"] == "/answered":
            subscribe(lambda: told.append("never"))
            await answer(send, b"ok")
            return

        def fail() -> None:
            raise ValueError("a callback's own")

        subscribe(lambda: told.append("first"))
        subscribe(fail)
        subscribe(lambda: told.append("second"))
        await receive()
        inside.set()
        await receive()
        subscribe(lambda: told.append("late"))
        done.set()

    async with serving(app) as port:
        async with connected(port) as client:
            await client.ask("/answered")
            await client.send(request("/"))
            await inside.wait()
        with anyio.fail_after(PATIENCE):
            await done.wait()
    assert told == ["first", "second", "late"]


async def test_a_client_that_leaves_is_no_failure_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inside, done = anyio.Event(), anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
            inside.set()
            await receive()
            if scope["path"] == "/send":
                await answer(send, b"nobody")
        finally:
            done.set()

    async with serving(app) as port:
        for path in ("/send", "/return"):
            inside, done = anyio.Event(), anyio.Event()
            async with connected(port) as client:
                await client.send(request(path))
                await inside.wait()
            await done.wait()
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


# One connection after the other, many at once, and the end.


async def test_pipelined_answers_keep_their_order() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        number = int(scope["path"][1:])
        await anyio.sleep(0.01 * (5 - number % 5))
        await answer(send, b"%d" % number)

    async with serving(app) as port, connected(port) as client:
        await client.send(b"".join(request(f"/{i}") for i in range(20)))
        assert [int((await client.answer()).body) for _ in range(20)] == list(range(20))


async def test_many_requests_wait_at_once() -> None:
    inside = 0
    most = 0
    everybody = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        if inside == 50:
            everybody.set()
        await everybody.wait()
        inside -= 1
        await answer(send, b"ok")

    async def ask(client: Any) -> None:
        assert (await client.get("/")).text == "ok"

    async with asking(app) as client, anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(ask, client)
    assert most == 50


async def test_at_the_end_what_was_accepted_is_answered() -> None:
    inside, go = anyio.Event(), anyio.Event()
    answers: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        inside.set()
        await go.wait()
        await answer(send, b"late but whole")

    async def ask(port: int) -> None:
        async with connected(port) as client:
            await client.send(request("/"))
            answers.append(await client.answer())
            assert await client.until_closed() == b""

    async with anyio.create_task_group() as tasks:
        async with serving(app) as port:
            tasks.start_soon(ask, port)
            await inside.wait()
            tasks.start_soon(lambda: _later(go))
        assert [each.body for each in answers] == [b"late but whole"]
        assert answers[0].closes


async def _later(event: anyio.Event) -> None:
    await anyio.sleep(0.1)
    event.set()


async def test_what_is_still_running_when_the_server_is_left_is_cancelled() -> None:
    """Wherever an application waits: in `receive`, in `send`, in something of its own, behind its answer."""
    events: list[str] = []
    inside = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal inside
        path = scope["path"]
        inside += 1
        try:
            match path:
                case "/own":
                    await anyio.sleep_forever()
                case "/receive":
                    await receive()
                    await receive()
                case "/body":
                    await whole_body(receive)
                case "/send":
                    await send({"type": "http.response.start", "status": 200})
                    while True:
                        piece = {"type": "http.response.body", "body": b"x" * 65536}
                        await send({**piece, "more_body": True})
                case "/behind":
                    await answer(send, b"done")
                    await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            events.append(path)
            raise

    async def leave(port: int, path: str) -> None:
        async with connected(port, buffer=4096) as client:
            length = "5" if path == "/body" else "0"
            head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n"
            await client.send(head.encode())
            if path == "/send":
                await over.wait()
            data = await client.until_closed()
            assert path in ("/send", "/behind") or data.startswith(b"HTTP/1.1 503") or not data

    paths = ["/own", "/receive", "/body", "/send", "/behind"]
    over = anyio.Event()
    async with anyio.create_task_group() as tasks:
        async with listening("engine", partial(app)) as (_, port):
            for path in paths:
                tasks.start_soon(leave, port, path)
            while inside < len(paths):
                await anyio.sleep(0.001)
            await anyio.sleep(0.05)
        over.set()
    assert sorted(events) == sorted(paths)


async def test_scopes_of_many_requests_never_mix() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body, _ = await whole_body(receive)
        if int(body) % 3 == 0:
            await anyio.sleep(0.001 * (int(body) % 4))
        fields = {name.decode(): value.decode() for name, value in scope["headers"]}
        found = [scope["path"], scope["query_string"].decode(), fields["x-number"], body.decode()]
        await answer(send, json.dumps(found).encode())

    async def talk(port: int, first: int) -> None:
        async with connected(port) as client:
            for i in range(first, first + 40):
                await client.send(request(f"/{i}?q={i}", "PUT", b"%d" % i, f"X-Number: {i}"))
                assert json.loads((await client.answer()).body) == [
                    f"/{i}",
                    f"q={i}",
                    f"{i}",
                    f"{i}",
                ]

    async with serving(app) as port, anyio.create_task_group() as tasks:
        for first in range(0, 800, 40):
            tasks.start_soon(talk, port, first)
