"""WebSockets where another server holds them: ASGI's messages, and what covet makes of them."""

from __future__ import annotations

from types import TracebackType
from typing import Annotated, Any, Self

import anyio
import pytest
from asgi_boundary import application

import covet_http as http
from covet_operations import NotFound


class Peer:
    """An ASGI server's side of one WebSocket."""

    def __init__(self, app: Any, path: str, *, extensions: Any = None, **more: Any) -> None:
        headers = [(b"host", b"a"), *more.pop("headers", ())]
        self._app = app
        self._scope = {
            "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "ws",
            "path": path, "query_string": b"", "headers": headers, "subprotocols": [],
            "extensions": extensions or {}, **more,
        }  # fmt: skip
        self._to, self._from_client = anyio.create_memory_object_stream[Any](100)
        self._sent, self.answers = anyio.create_memory_object_stream[Any](100)

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._app, self._scope, self._from_client.receive, self._sent.send)
        await self.tell({"type": "websocket.connect"})
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is not None:
                self._tasks.cancel_scope.cancel()
            await self._tasks.__aexit__(kind, error, trace)
        finally:
            for each in (self._to, self._from_client, self._sent, self.answers):
                each.close()

    async def tell(self, message: Any) -> None:
        await self._to.send(message)

    async def leave(self, code: int = 1006) -> None:
        await self.tell({"type": "websocket.disconnect", "code": code, "reason": ""})

    async def hear(self) -> Any:
        with anyio.fail_after(10):
            return await self.answers.receive()


@http.websocket("/echo", subprotocols=("chat.2", "chat.1"))
async def echo(socket: http.WebSocket) -> None:
    await socket.accept()
    async for message in socket:
        await socket.send(message)


@http.websocket("/rooms/{room}")
async def rooms(
    socket: http.WebSocket, room: int, name: str, agent: Annotated[str, http.Header("user-agent")]
) -> None:
    if room == 4:
        raise NotFound("there is no such room")
    await socket.accept(headers=[("x-room", str(room))])
    await socket.send_json({"room": room, "name": name, "agent": agent})


async def test_messages_go_both_ways(web: Any) -> None:
    async with application(web, echo) as app, Peer(app, "/echo") as peer:
        accepted = await peer.hear()
        assert accepted["type"] == "websocket.accept"
        assert accepted["subprotocol"] is None
        await peer.tell({"type": "websocket.receive", "text": "a", "bytes": None})
        await peer.tell({"type": "websocket.receive", "bytes": b"\xff", "text": None})
        assert await peer.hear() == {"type": "websocket.send", "text": "a"}
        assert await peer.hear() == {"type": "websocket.send", "bytes": b"\xff"}
        await peer.leave(1000)


async def test_inputs_come_from_the_handshake(web: Any) -> None:
    async with (
        application(web, rooms) as app,
        Peer(
            app, "/rooms/3", query_string=b"name=Ada", headers=[(b"user-agent", b"tests")]
        ) as peer,
    ):
        accepted = await peer.hear()
        assert (b"x-room", b"3") in accepted["headers"]
        assert (await peer.hear())["text"] == '{"room":3,"name":"Ada","agent":"tests"}'
        assert (await peer.hear())["code"] == 1000


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/rooms/4", [(b"user-agent", b"x")], 404),
        ("/rooms/x", [(b"user-agent", b"x")], 422),
        ("/rooms/3", [], 422),
        ("/nowhere", [], 404),
        ("/rooms/3", [(b"user-agent", b"x"), (b"origin", b"https://evil.example")], 403),
    ],
)
async def test_a_refusal_is_the_answer_that_http_gives(
    web: Any, path: str, headers: Any, status: int
) -> None:
    extensions: Any = {"websocket.http.response": {}}
    async with (
        application(web, rooms) as app,
        Peer(app, path, query_string=b"name=Ada", headers=headers, extensions=extensions) as peer,
    ):
        start = await peer.hear()
        assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
        assert (b"content-type", b"application/problem+json") in start["headers"]
        assert b'"status":%d' % status in (await peer.hear())["body"]


async def test_a_server_without_denials_is_told_to_close(web: Any) -> None:
    async with application(web, rooms) as app, Peer(app, "/nowhere") as peer:
        assert (await peer.hear())["type"] == "websocket.close"
