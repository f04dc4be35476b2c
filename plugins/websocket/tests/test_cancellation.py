"""Channels, sessions and rooms cancelled at every await: nothing is lost, and nobody is left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from pydantic import BaseModel
from sockets import Socket

from covet_http import WebSocketClosed
from covet_kernel import Context, Plugin
from covet_kernel.contracts import Operation
from covet_kernel.testing import cancel_at_every_await, cancel_at_every_tick, run_kernel
from covet_operations import OPERATIONS, Operations, operations_of
from covet_websocket import Connection, MethodCall, RpcConfig, method
from covet_websocket._channel._types import MessageTypes
from covet_websocket._rpc._binding import MethodBinding
from covet_websocket._rpc._codec import codec
from covet_websocket._rpc._session import Session


class Said(BaseModel):
    text: str


TYPES = MessageTypes(Said, Said)


def connection_of(socket: Any) -> Connection[Said, Said]:
    return Connection(socket, TYPES, closes=False, ack_timeout=60.0, max_unacknowledged=1)


async def test_a_channel_cancelled_anywhere_loses_nothing() -> None:
    """No message, no acknowledgement and no answer to what was none, however little room there is."""
    made: list[tuple[Socket, Connection[Said, Said], list[str]]] = []

    async def receive_all(socket: Socket, connection: Any, got: list[str]) -> None:
        while len(got) < 3:
            got.append((await connection.receive()).text)
        await connection.conclude()

    async def talk() -> None:
        socket = Socket(room=1)
        socket.say(id=1, message={"text": "one"})
        socket.say(id=2, message={"text": 7})
        socket.say(id=5, message={"text": 8})
        socket.say(id=3, message={"text": "three"})
        socket.say(id=4, message={"text": "four"})
        talking: tuple[Socket, Any, list[str]] = socket, connection_of(socket), []
        made[:] = [talking]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_slowly, socket)
            await receive_all(*talking)
            tasks.cancel_scope.cancel()

    async def read_slowly(socket: Socket) -> None:
        while True:
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            await socket.next()

    async def check() -> None:
        ((socket, connection, got),) = made
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_slowly, socket)
            await receive_all(socket, connection, got)
            tasks.cancel_scope.cancel()
        socket.read()
        assert got == ["one", "three", "four"]
        assert socket.accepted == 1
        said = {
            (each["id"], "ack" if "ack" in each else each["error"]["code"]) for each in socket.got
        }
        assert said == {(1, "ack"), (2, "invalid"), (5, "invalid"), (3, "ack"), (4, "ack")}

    assert await cancel_at_every_await(talk, check=check) >= 3


async def test_waiting_for_acknowledgements_can_be_cancelled_anywhere() -> None:
    made: list[tuple[Socket, Connection[Said, Said]]] = []

    async def talk() -> None:
        socket = Socket(room=1)
        connection = connection_of(socket)
        made[:] = [(socket, connection)]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(acknowledge_all, socket)
            for text in ("one", "two"):
                tasks.start_soon(send, connection, text)
            await send(connection, "three")
            tasks.cancel_scope.cancel()

    async def send(connection: Any, text: str) -> None:
        await connection.send(Said(text=text), acknowledged=True)

    async def acknowledge_all(socket: Socket) -> None:
        while True:
            socket.say(id=(await socket.next())["id"], ack=True)

    async def check() -> None:
        ((socket, connection),) = made
        assert not connection._unacknowledged
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(acknowledge_all, socket)
            with anyio.fail_after(30):
                await send(connection, "more")
            tasks.cancel_scope.cancel()
        assert socket.accepted == 1

    assert await cancel_at_every_await(talk, check=check) >= 2
    assert await cancel_at_every_tick(talk, check=check) >= 2


async def test_a_handshake_is_answered_once_whoever_begins() -> None:
    socket = Socket()
    connection = connection_of(socket)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            # Whoever answers is cancelled, and another one has to.
            tasks.start_soon(connection.accept)
            await anyio.lowlevel.checkpoint()
            scope.cancel()
    async with anyio.create_task_group() as tasks:
        for text in ("one", "two", "three"):
            tasks.start_soon(connection.send, Said(text=text))
    assert socket.accepted == 1
    assert sorted(each["message"]["text"] for each in socket.read()) == ["one", "three", "two"]


# Calls.

LIVE: set[Any] = set()
"""Handlers that have begun and not ended."""


@asynccontextmanager
async def living(call: MethodCall) -> AsyncIterator[None]:
    LIVE.add(call)
    try:
        yield
    finally:
        LIVE.discard(call)


@method("add")
async def add(left: int, right: int, call: MethodCall) -> int:
    async with living(call):
        await anyio.lowlevel.checkpoint()
        return left + right


@method("forever")
async def forever(call: MethodCall) -> int:
    async with living(call):
        await anyio.sleep_forever()
        return 0


@method("count")
async def count(to: int, call: MethodCall) -> AsyncIterator[int]:
    async with living(call):
        for each in range(to):
            yield each


class Methods(Plugin[None]):
    """Compiles them, without a server."""

    requires = (OPERATIONS,)
    made: Any = ()

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        pipeline = ctx.require(OPERATIONS)

        def begin(serving: Any) -> None:
            Methods.made = pipeline.compile(serving, MethodBinding, codec)

        ctx.compile(begin)
        yield

    def covet_operations(self) -> Iterable[Operation]:
        held = {each.__name__: staticmethod(each) for each in (add, forever, count)}
        return operations_of(type("Held", (), held)())


@pytest.fixture
async def methods() -> AsyncIterator[Any]:
    async with run_kernel({"operations": Operations, "methods": Methods}, {}):
        yield {each.binding.address: each for each in Methods.made}


async def test_a_session_cancelled_anywhere_leaves_no_call(methods: Any) -> None:
    made: list[Session] = []

    async def serve() -> None:
        socket: Any = Socket(room=2)
        socket.say(id=1, method="forever")
        socket.say(id=2, method="count", params={"to": 4})
        socket.say(id=3, method="add", params={"left": 1, "right": 2})
        socket.say(id=4, method="nothing")
        socket.say(id=1, cancel=True)
        made[:] = [Session(socket, methods, RpcConfig(), {})]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_all, socket)
            await made[0].run()

    async def read_all(socket: Socket) -> None:
        ended: set[int] = set()
        while len(ended) < 4:
            frame = await socket.next()
            if "next" not in frame:
                ended.add(frame["id"])
        assert [each["next"] for each in socket.got if "next" in each] == [0, 1, 2, 3]
        socket.close(1000)

    async def check() -> None:
        (session,) = made
        assert not session._calls
        assert not session._answering
        assert not LIVE

    assert await cancel_at_every_await(serve, check=check) >= 1
    assert await cancel_at_every_tick(serve, check=check) >= 5


@pytest.mark.parametrize("policy", ["cancel", "leave"])
async def test_a_client_that_leaves_or_cancels_at_any_turn_leaves_no_call(
    methods: Any, policy: str
) -> None:
    """The same from the other side, at every turn of the loop."""
    for turns in range(12):
        socket: Any = Socket(room=1)
        session = Session(socket, methods, RpcConfig(), {})
        for number, name in enumerate(("forever", "count", "forever")):
            socket.say(id=number, method=name, params={"to": 100} if name == "count" else {})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.run)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            if policy == "cancel":
                for number in range(3):
                    socket.say(id=number, cancel=True)
                with anyio.fail_after(30):
                    while session._calls or session._answering or socket._in or socket.queued:
                        socket.read()
                        await anyio.lowlevel.checkpoint()
                codes = {
                    each["id"]: each["error"]["code"] for each in socket.got if "error" in each
                }
                assert codes.keys() >= {0, 2}
                assert set(codes.values()) == {"cancelled"}
            socket.close(1000)
        assert not session._calls
        assert not LIVE


async def test_whoever_waits_for_room_is_told_of_the_end() -> None:
    socket: Any = Socket(room=1)
    connection = connection_of(socket)
    await connection.send(Said(text="fills it"))
    async with anyio.create_task_group() as tasks:

        async def send() -> None:
            with pytest.raises(WebSocketClosed):
                await connection.send(Said(text="waits"))

        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        socket.close(1000)
