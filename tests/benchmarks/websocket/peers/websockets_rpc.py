"""The calls by hand on websockets.

python websockets_rpc.py PORT [--uvloop]
"""

import json

from by_hand import answer
from websockets.asyncio.server import ServerConnection
from websockets_room import run


async def rpc(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(json.dumps(answer(json.loads(message))))


if __name__ == "__main__":
    run({"/rpc": rpc})
