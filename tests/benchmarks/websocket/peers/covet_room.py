"""The work on covet: handlers as a user writes them."""

from messages import JOINED, MESSAGES

import covet_http as http

members: set[http.WebSocket] = set()


@http.get("/json")
def json() -> dict[str, str]:
    return {"message": "hello"}


@http.websocket("/echo")
async def echo(socket: http.WebSocket) -> None:
    await socket.accept()
    async for message in socket:
        await socket.send(message)


@http.websocket("/members")
async def member(socket: http.WebSocket) -> None:
    await socket.accept()
    members.add(socket)
    try:
        await socket.send(JOINED)
        async for _ in socket:
            pass
    finally:
        members.discard(socket)


@http.websocket("/control")
async def control(socket: http.WebSocket) -> None:
    await socket.accept()
    await socket.send(JOINED)
    async for message in socket:
        left_out = http.broadcast(members, MESSAGES[int(message)])
        assert not left_out
