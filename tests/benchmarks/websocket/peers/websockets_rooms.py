"""A room by hand on websockets: JSON is written once, and the last hundred messages are kept.

python websockets_rooms.py PORT [--uvloop] [--plain]
"""

import json
from collections import deque
from secrets import token_hex
from typing import Any

from messages import JOINED, MESSAGES, ROOM
from websockets.asyncio.server import ServerConnection, broadcast
from websockets_room import run

SAID = [json.loads(message) for message in MESSAGES]

members: set[ServerConnection] = set()
history: deque[tuple[str, str]] = deque(maxlen=100)
epoch, position = token_hex(6), 0


def written(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


async def member(socket: ServerConnection) -> None:
    members.add(socket)
    try:
        last = f"{epoch}.{position}"
        await socket.send(written({"room": ROOM, "you": token_hex(8), "last": last}))
        await socket.wait_closed()
    finally:
        members.discard(socket)


def publish(message: Any) -> None:
    global position
    position += 1
    name = f"{epoch}.{position}"
    frame = written({"room": ROOM, "id": name, "message": message})
    history.append((name, frame))
    broadcast(members, frame)


async def control(socket: ServerConnection) -> None:
    await socket.send(JOINED)
    async for message in socket:
        publish(SAID[int(message)])


if __name__ == "__main__":
    run({"/members": member, "/control": control})
