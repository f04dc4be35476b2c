"""A room on covet-websocket whose members are told who is there."""

import covet_http as http
from covet_websocket import Rooms


@http.get("/json")
def json() -> dict[str, str]:
    return {"message": "hello"}


@http.websocket("/members")
async def member(socket: http.WebSocket, rooms: Rooms) -> None:
    await socket.accept()
    async with rooms.join(socket, "lobby", data={"name": "somebody"}, presence=True):
        async for _ in socket:
            pass
