"""Rooms over the servers that there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
from anyio.abc import TaskStatus
from pydantic_core import from_json

import covet_http as http
from covet_http import WebSocketClosed
from covet_http.testing import client_of, usable_servers
from covet_hypercorn import Hypercorn
from covet_kernel import Kernel, Plugin
from covet_kernel.testing import run_kernel
from covet_memory import Memory
from covet_operations import Operations, operations_of
from covet_websocket import ROOMS, Rooms, WebSockets

SERVERS = usable_servers()
ADA = {"name": "Ada"}


class Chat(Plugin[None]):
    requires = (ROOMS,)

    @http.websocket("/rooms/{room}", subprotocols=("covet.msgpack", "covet.json"))
    async def talk(
        self, socket: http.WebSocket, rooms: Rooms, room: str, name: str, after: str | None = None
    ) -> None:
        await socket.accept()
        async with rooms.join(
            socket, room, data={"name": name}, after=after, presence=True
        ) as membership:
            async for message in socket:
                assert isinstance(message, str)
                await membership.publish({"from": name, "text": message})

    def covet_operations(self) -> Any:
        return operations_of(self)


@pytest.fixture(params=[None, ""], ids=["alone", "spanning"])
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"rooms": {"broker": request.param, "presence_interval": 0.01, "sync_timeout": 0.01}}


@asynccontextmanager
async def served(server: str, config: dict[str, Any]) -> AsyncIterator[Any]:
    classes: dict[str, Any] = {
        "operations": Operations,
        "http": http.Http,
        "memory": Memory,
        "websocket": WebSockets,
        "chat": Chat,
    }
    if server == "engine":
        from covet_engine import Engine

        classes["engine"] = Engine
    else:
        classes["hypercorn"] = Hypercorn
    settings = {"http": {"port": 0, "server": server, "linger": 0.0}, "websocket": config}
    async with run_kernel(classes, settings) as kernel:
        yield kernel


async def heard(socket: Any) -> dict[str, Any]:
    while True:
        frame: dict[str, Any] = from_json(await socket.receive())
        if "message" in frame:
            return frame


@pytest.mark.parametrize("server", SERVERS)
async def test_two_talk_and_one_comes_back(server: str, config: dict[str, Any]) -> None:
    async with served(server, config) as kernel, client_of(kernel) as client:
        async with client.websocket("/rooms/lobby", params=ADA) as ada:
            assert from_json(await ada.receive())["room"] == "lobby"
            async with client.websocket("/rooms/lobby", params={"name": "Bob"}) as bob:
                await bob.receive()
                await ada.send("hello")
                first = await heard(bob)
                assert first["message"] == {"from": "Ada", "text": "hello"}
                assert await heard(ada) == first
            await ada.send("are you there?")
            missed = await heard(ada)
            back = {"name": "Bob", "after": first["id"]}
            async with client.websocket("/rooms/lobby", params=back) as bob:
                assert from_json(await bob.receive())["resumed"] is True
                assert await heard(bob) == missed
                await bob.send("I am")
                assert (await heard(ada))["message"] == {"from": "Bob", "text": "I am"}


@pytest.mark.parametrize("server", SERVERS)
async def test_each_is_written_to_as_it_has_asked_for(server: str, config: dict[str, Any]) -> None:
    async with (
        served(server, config) as kernel,
        client_of(kernel) as client,
        client.websocket("/rooms/lobby", params=ADA, subprotocols=("covet.msgpack",)) as ada,
        client.websocket("/rooms/lobby", params={"name": "Bob"}) as bob,
    ):
        await bob.receive()
        assert msgspec.msgpack.decode(await ada.receive())["room"] == "lobby"
        await bob.send("hello")
        text = await heard(bob)
        while "message" not in (frame := msgspec.msgpack.decode(await ada.receive())):
            pass
        assert frame == text


@pytest.mark.parametrize("server", SERVERS)
async def test_a_stop_closes_all(server: str, config: dict[str, Any]) -> None:
    stop = anyio.Event()

    async def serve(*, task_status: TaskStatus[Kernel]) -> None:
        async with served(server, config) as kernel:
            task_status.started(kernel)
            await stop.wait()

    async with anyio.create_task_group() as tasks:
        kernel = await tasks.start(serve)
        async with (
            client_of(kernel) as client,
            client.websocket("/rooms/lobby", params=ADA) as ada,
        ):
            await ada.receive()
            stop.set()
            with pytest.raises(WebSocketClosed):
                while True:
                    await ada.receive()
            assert ada.close_code == 1001
