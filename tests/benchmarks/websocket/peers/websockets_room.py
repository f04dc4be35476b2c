"""The work on websockets, with its defaults.

python websockets_room.py PORT [--uvloop] [--plain]
"""

import sys
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import anyio
from messages import JOINED, MESSAGES
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.http11 import Request, Response

Handlers = Mapping[str, Callable[[ServerConnection], Awaitable[None]]]

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


HANDLERS: Handlers = {"/echo": echo, "/members": member, "/control": control}


def plain(connection: ServerConnection, request: Request) -> Response | None:
    """What says that it serves."""
    if request.path == "/json":
        return connection.respond(HTTPStatus.OK, '{"message":"hello"}')
    return None


async def main(handlers: Handlers) -> None:
    async def handle(socket: ServerConnection) -> None:
        assert socket.request is not None
        await handlers[socket.request.path](socket)

    compression = None if "--plain" in sys.argv else "deflate"
    async with serve(
        handle, "127.0.0.1", int(sys.argv[1]), process_request=plain, compression=compression
    ) as server:
        await server.serve_forever()


def run(handlers: Handlers) -> None:
    """Serve, by the path of the handshake."""
    anyio.run(main, handlers, backend_options={"use_uvloop": "--uvloop" in sys.argv})


if __name__ == "__main__":
    run(HANDLERS)
