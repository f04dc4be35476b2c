"""A room on covet-websocket, as a user has one."""

from json import loads

from messages import JOINED, MESSAGES, ROOM

import covet_http as http
from covet_websocket import Rooms

SAID = [loads(message) for message in MESSAGES]


@http.get("/json")
def json() -> dict[str, str]:
    return {"message": "hello"}


@http.websocket("/members")
async def member(socket: http.WebSocket, rooms: Rooms) -> None:
    await socket.accept()
    async with rooms.join(socket, ROOM):
        async for _ in socket:
            pass


@http.websocket("/control")
async def control(socket: http.WebSocket, rooms: Rooms) -> None:
    await socket.accept()
    await socket.send(JOINED)
    async for message in socket:
        await rooms.publish(ROOM, SAID[int(message)])
