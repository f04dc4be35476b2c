"""ASGI's WebSockets over real sockets: what an application is told, what it may say, and how it ends."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from applications import Receive, Scope, Send, serving
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websocket_client import connecting, frame, opened
from wire import PATIENCE

Hears = Callable[[Scope, Receive, Send], Awaitable[None]]


def accepting(handler: Hears) -> Hears:
    """An application that lets everybody in, and then does this."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        await handler(scope, receive, send)

    return app


@accepting
async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


async def test_the_scope_has_all_that_is_known() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await receive()
        accept = {"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x-a", b"1")]}
        await send(accept)

    async with (
        serving(app) as port,
        opened(port, "/a%2Fb?x=%20", subprotocols=["a", "b"]) as client,
    ):
        assert client.response.headers["x-a"] == "1"
        assert client.protocol.subprotocol == "b"
        assert await client.ended() == (1000, "")
    (scope,) = seen
    assert scope["path"] == "/a/b"
    assert scope["raw_path"] == b"/a%2Fb"
    assert scope["query_string"] == b"x=%20"
    assert scope["scheme"] == "ws"
    assert scope["subprotocols"] == ["a", "b"]
    assert scope["http_version"] == "1.1"
    assert "method" not in scope
    assert (b"host", b"a") in scope["headers"]
    assert "websocket.http.response" in scope["extensions"]


@pytest.mark.parametrize("deflate", [False, True])
async def test_messages_of_all_sizes_come_back(deflate: bool) -> None:
    async with serving(echo) as port, opened(port, deflate=deflate) as client:
        for size in (0, 1, 125, 126, 65_535, 65_536, 300_000):
            for message in ("é" * (size // 2), b"\xff" * size):
                await client.send(message)
                assert await client.receive() == message
        await client.send_pieces([b"\xc3", b"", b"\xa9 in", b" pieces"], text=True)
        assert await client.receive() == "é in pieces"
        await client.close()


async def test_a_hundred_messages_at_once_keep_their_order() -> None:
    async with serving(echo) as port, opened(port) as client:
        for number in range(300):
            client.protocol.send_text(b"%d" % number)
        await client.flush()
        assert [await client.receive() for _ in range(300)] == [str(n) for n in range(300)]


async def test_the_first_to_close_is_heard() -> None:
    ends: list[Any] = []

    @accepting
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            if message["text"] == "you":
                await send({"type": "websocket.close", "code": 4001, "reason": "as you like"})
        ends.append((message["code"], message["reason"]))

    async with serving(app) as port:
        async with opened(port) as client:
            await client.close(3000, "bye")
        async with opened(port) as client:
            await client.send("you")
            assert await client.ended() == (4001, "as you like")
        async with opened(port) as client:
            await client.send("me")
        async with opened(port) as client:
            await client.stream.send(frame(0x88))
            assert await client.ended() == (1005, "")
    assert ends == [(3000, "bye"), (4001, "as you like"), (1006, ""), (1005, "")]


async def test_a_refusal_is_an_answer_as_any() -> None:
    # bad input 18: what comes behind a refused handshake is no request
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        assert (await receive())["type"] == "websocket.connect"
        if scope["path"] == "/plain":
            await send({"type": "websocket.close"})
            return
        denial = "websocket.http.response"
        headers = [(b"content-type", b"text/plain"), (b"www-authenticate", b"Bearer")]
        await send({"type": f"{denial}.start", "status": 401, "headers": headers})
        await send({"type": f"{denial}.body", "body": b"who ", "more_body": True})
        await send({"type": f"{denial}.body", "body": b"are you?"})

    async with serving(app) as port:
        async with connecting(port, "/plain") as client:
            assert (await client.open()).status_code == 403
        async with connecting(port) as client:
            asked = client.protocol.connect()
            client.protocol.send_request(asked)
            behind = b"GET /admin HTTP/1.1\r\nhost: a\r\n\r\n"
            await client.stream.send(b"".join(client.protocol.data_to_send()) + behind)
            answer = b""
            with anyio.fail_after(PATIENCE), pytest.raises(anyio.EndOfStream):
                while True:
                    answer += await client.stream.receive()
    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"www-authenticate: Bearer\r\n" in answer
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"who are you?")
    assert answer.count(b"HTTP/1.1") == 1


async def test_what_fails_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def before(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("before")

    @accepting
    async def after(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise ValueError("after")

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    with caplog.at_level(logging.ERROR, "covet.engine"):
        async with serving(before) as port, connecting(port) as client:
            assert (await client.open()).status_code == 500
        async with serving(after) as port, opened(port) as client:
            await client.send("x")
            assert await client.ended() == (1011, "")
        async with serving(silent) as port, connecting(port) as client:
            assert (await client.open()).status_code == 500
    assert "had not answered the handshake" in caplog.text
    assert "before" in caplog.text
    assert "after" in caplog.text


async def test_sending_to_a_client_that_has_left_raises() -> None:
    raised: list[BaseException] = []
    done = anyio.Event()

    @accepting
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.disconnect"
        try:
            await send({"type": "websocket.send", "text": "x"})
        except OSError as error:
            raised.append(error)
        done.set()

    async with serving(app) as port:
        async with opened(port):
            pass
        with anyio.fail_after(PATIENCE):
            await done.wait()
    assert len(raised) == 1


async def test_a_slow_client_holds_its_sender_back() -> None:
    sent = 0

    @accepting
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        for _ in range(100):
            await send({"type": "websocket.send", "bytes": bytes(200_000)})
            sent += 1

    async with serving(app) as port, opened(port) as client:
        await client.frame()
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert sent < 100
        for _ in range(99):
            assert len(await client.receive()) == 200_000
        assert await client.ended() == (1000, "")


async def test_a_client_is_held_back_that_nobody_listens_to() -> None:
    listen = anyio.Event()
    heard = 0

    @accepting
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal heard
        await listen.wait()
        for _ in range(1000):
            heard += len((await receive())["bytes"])

    async with serving(app) as port, opened(port) as client:
        sending = frame(0x82, bytes(30_000)) * 1000
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.stream.send, sending)
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            assert heard == 0
            listen.set()
        assert await client.ended() == (1000, "")
    assert heard == 30_000_000


async def test_stopping_closes_those_that_are_open() -> None:
    ends: list[int] = []

    @accepting
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        ends.append((await receive())["code"])

    async with anyio.create_task_group() as tasks:
        inside, stop = anyio.Event(), anyio.Event()
        ports: list[int] = []

        async def serve() -> None:
            async with serving(app) as port:
                ports.append(port)
                inside.set()
                await stop.wait()

        tasks.start_soon(serve)
        await inside.wait()
        async with opened(ports[0]) as client:
            stop.set()
            assert await client.ended() == (1001, "")
    assert ends == [1001]


async def test_a_header_with_a_line_end_is_refused() -> None:
    raised: list[ValueError] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for name, value in ((b"x", b"a\r\nb: c"), (b"x\n", b"a"), (b"x y", b"a")):
            try:
                await send({"type": "websocket.accept", "headers": [(name, value)]})
            except ValueError as error:
                raised.append(error)
        await send({"type": "websocket.accept", "headers": [(b"sec-websocket-accept", b"x")]})

    async with serving(app) as port, connecting(port) as client:
        assert (await client.open()).status_code == 500
    assert len(raised) == 3


async def test_starlette_is_served_as_it_is() -> None:
    async def chat(socket: WebSocket) -> None:
        await socket.accept(subprotocol="chat")
        try:
            while True:
                said = await socket.receive_json()
                await socket.send_json({"heard": said, "path": socket.url.path})
        except WebSocketDisconnect as left:
            codes.append(left.code)

    codes: list[int] = []
    app = Starlette(routes=[WebSocketRoute("/ws", chat)])
    async with serving(app) as port:
        async with opened(port, subprotocols=["chat"]) as client:
            await client.send('{"a": [1, 2]}')
            assert await client.receive() == '{"heard":{"a":[1,2]},"path":"/ws"}'
            await client.close(1001)
        async with connecting(port, "/nowhere") as client:
            assert (await client.open()).status_code == 403
    assert codes == [1001]
