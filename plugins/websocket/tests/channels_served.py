"""The service of `channels_library`, served, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import channels_library as library
import msgspec
import pytest

from covet_http import WebSocketClosed
from covet_http.testing import Client, WebSocketSession, run_service, usable_servers
from covet_kernel import Plugin
from covet_kernel.contracts import Authenticator, Operation
from covet_operations import operations_of
from covet_websocket import WebSockets

SERVERS = usable_servers()
PROTOCOLS = ("covet.json", "covet.msgpack")


class Service(Plugin[None]):
    """Declares what the library has."""

    def covet_operations(self) -> Iterable[Operation]:
        held = {each.__name__: staticmethod(each) for each in library.ALL}
        return operations_of(type("Held", (), held)())

    def covet_authenticators(self) -> Iterable[Authenticator]:
        return (library.Tokens(),)

    def covet_permissions(self) -> Iterable[str]:
        return ("talk",)


@asynccontextmanager
async def serving(
    server: str = "auto",
    http: Mapping[str, Any] | None = None,
    *,
    http2: bool = False,
    **config: Any,
) -> AsyncIterator[Client]:
    """Serve everything, with this configuration of the plugin; HTTP/2 as well where a server is named."""
    library.EVENTS.clear()
    library.HELD.clear()
    library.TIMEOUTS[:] = [20.0]
    async with run_service(
        server=server,
        plugins={"websocket": WebSockets, "library": Service},
        config={
            "websocket": {"rpc": {}, **config},
            "http": dict(http or {}),
            **({server: {"http2": True}} if http2 else {}),
        },
    ) as client:
        yield client


class Peer:
    """A client of one WebSocket, whatever its encoding."""

    def __init__(self, session: WebSocketSession) -> None:
        self.session = session
        self.packed = session.subprotocol == "covet.msgpack"

    async def send(self, **members: Any) -> None:
        await self.send_value(members)

    async def send_value(self, value: Any) -> None:
        if self.packed:
            await self.session.send(msgspec.msgpack.encode(value))
        else:
            await self.session.send_json(value)

    async def receive(self) -> dict[str, Any]:
        data = await self.session.receive()
        assert isinstance(data, bytes) is self.packed
        found: dict[str, Any] = (
            msgspec.msgpack.decode(data) if isinstance(data, bytes) else msgspec.json.decode(data)
        )
        return found

    async def ask(self, **members: Any) -> dict[str, Any]:
        await self.send(**members)
        return await self.receive()

    async def closed(self) -> tuple[int | None, str]:
        with pytest.raises(WebSocketClosed):
            while True:
                await self.session.receive()
        return self.session.close_code, self.session.close_reason


@asynccontextmanager
async def connected(
    client: Client, path: str = "/rpc", protocol: str = "", **parts: Any
) -> AsyncIterator[Peer]:
    """Connect to the service."""
    offered = (protocol,) if protocol else ()
    async with client.websocket(path, subprotocols=offered, **parts) as session:
        yield Peer(session)


async def until(holds: Callable[[], bool]) -> None:
    """Return when something is so; what makes it so runs meanwhile."""
    with anyio.fail_after(20):
        while not holds():
            await anyio.sleep(0.001)
