"""The work on websockets, with its defaults.

python websockets_room.py PORT [--uvloop] [--plain]
"""

import sys
from http import HTTPStatus

import anyio
from messages import JOINED, MESSAGES
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.http11 import Request, Response

members: set[ServerConnection] = set()


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


async def member(socket: ServerConnection) -> None:
    members.add(socket)
    try:
        await socket.send(JOINED)
        await socket.wait_closed()
    finally:
        members.discard(socket)


async def control(socket: ServerConnection) -> None:
    await socket.send(JOINED)
    async for message in socket:
        broadcast(members, MESSAGES[int(message)])


HANDLERS = {"/echo": echo, "/members": member, "/control": control}


async def handle(socket: ServerConnection) -> None:
    assert socket.request is not None
    await HANDLERS[socket.request.path](socket)


def plain(connection: ServerConnection, request: Request) -> Response | None:
    """What says that it serves."""
    if request.path == "/json":
        return connection.respond(HTTPStatus.OK, '{"message":"hello"}')
    return None


async def main() -> None:
    compression = None if "--plain" in sys.argv else "deflate"
    async with serve(
        handle, "127.0.0.1", int(sys.argv[1]), process_request=plain, compression=compression
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    anyio.run(main, backend_options={"use_uvloop": "--uvloop" in sys.argv})
