"""WebSockets of mounted ASGI applications."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anyio
import pytest

import covet_http as http
from covet_http import Message, Mount, Receive, Scope, Send, WebSocketClosed
from covet_http.testing import HandshakeRefused, run_service
from covet_kernel import Plugin


class Chat:
    """An application that does with a WebSocket what the end of its path says."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.heard: list[Message] = []
        self.left = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            raise NotImplementedError
        self.scopes.append(scope)
        assert (await receive())["type"] == "websocket.connect"
        match scope["path"].rpartition("/")[2]:
            case "echo":
                await self._echo(receive, send)
            case "deny":
                start = {"type": "websocket.http.response.start", "status": 418, "headers": []}
                await send(start)
                body = {"type": "websocket.http.response.body", "more_body": True}
                await send({**body, "body": b"no "})
                await send({**body, "body": b"tea", "more_body": False})
            case "refuse":
                await send({"type": "websocket.close", "code": 4000})
            case "fail":
                raise ValueError("secret")
            case "half":
                await send({"type": "websocket.accept"})
                raise ValueError("secret")
            case "close":
                await send({"type": "websocket.accept", "headers": [(b"X-A", b"b")]})
                await send({"type": "websocket.close", "code": 4001, "reason": "enough"})
                with pytest.raises(OSError, match="closed"):
                    await send({"type": "websocket.send", "text": "late"})

    async def _echo(self, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept", "subprotocol": "chat"})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.heard.append(message)
                self.left.set()
                return
            await send({**message, "type": "websocket.send"})


def mounting(app: Any) -> dict[str, type[Plugin[Any]]]:
    class Mounting(Plugin[None]):
        def covet_http_mounts(self) -> Iterable[Mount]:
            return [http.mount("/legacy", app)]

    return {"mounting": Mounting}


@pytest.fixture(params=["hypercorn"])
def server(request: pytest.FixtureRequest) -> str:
    """The servers that speak WebSocket."""
    name: str = request.param
    return name


async def test_messages_and_what_it_sees(server: str) -> None:
    app = Chat()
    async with run_service(server=server, plugins=mounting(app)) as client:
        async with client.websocket("/legacy/a%20b/echo?q=1", subprotocols=("chat", "x")) as socket:
            assert socket.subprotocol == "chat"
            for message in ("text", b"bytes", ""):
                await socket.send(message)
                assert await socket.receive() == message
            await socket.close(4000, "bye")
        await app.left.wait()
    (scope,) = app.scopes
    assert scope["path"] == "/legacy/a b/echo"
    assert scope["root_path"] == "/legacy"
    assert scope["query_string"] == b"q=1"
    assert scope["scheme"] == "ws"
    assert scope["subprotocols"] == ["chat", "x"]
    assert app.heard == [{"type": "websocket.disconnect", "code": 4000, "reason": "bye"}]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/legacy/deny", 418, b"no tea"),
        ("/legacy/refuse", 403, b""),
        ("/legacy/fail", 500, b"Internal Server Error"),
        ("/legacy/nothing", 500, b""),
    ],
)
async def test_what_is_not_accepted(server: str, path: str, status: int, body: bytes) -> None:
    async with run_service(server=server, plugins=mounting(Chat())) as client:
        with pytest.raises(HandshakeRefused) as refused:
            async with client.websocket(path):
                pass
    assert (refused.value.answer.status, refused.value.answer.body) == (status, body)


@pytest.mark.parametrize(("path", "code"), [("/legacy/close", 4001), ("/legacy/half", 1011)])
async def test_how_it_ends(server: str, path: str, code: int) -> None:
    async with (
        run_service(server=server, plugins=mounting(Chat())) as client,
        client.websocket(path) as socket,
    ):
        with pytest.raises(WebSocketClosed):
            await socket.receive()
        assert socket.close_code == code


async def test_a_path_of_the_service_comes_first(server: str) -> None:
    @http.websocket("/legacy/echo")
    async def ours(socket: http.WebSocket) -> None:
        await socket.accept()
        await socket.send("ours")

    ours.__annotations__["socket"] = http.WebSocket
    async with (
        run_service(ours, server=server, plugins=mounting(Chat())) as client,
        client.websocket("/legacy/echo") as socket,
    ):
        assert await socket.receive() == "ours"
