"""A service with channels and methods, which tests serve."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import anyio
from pydantic import BaseModel, Field

import covet_websocket as websocket
from covet_kernel.contracts import Credentials, Principal
from covet_operations import Conflict, NotFound, Unauthenticated, operation

EVENTS: list[str] = []
"""What has happened in handlers."""

HELD: dict[str, anyio.Event] = {}


class Said(BaseModel):
    kind: Literal["said"] = "said"
    text: str = Field(max_length=100)


class Moved(BaseModel):
    kind: Literal["moved"]
    x: float


Incoming = Annotated[Said | Moved, Field(discriminator="kind")]


class Heard(BaseModel):
    room: str
    text: str


class Asked(BaseModel):
    question: int


class NoSuchRoom(NotFound):
    """There is no such room."""

    room: str


class SoldOut(Conflict):
    """Nothing is left."""

    left: int


@operation(errors=(NoSuchRoom,))
@websocket.channel("/rooms/{room}")
async def talk(room: str, connection: websocket.Connection[Incoming, Heard]) -> None:
    """Say what was said."""
    if room == "nowhere":
        raise NoSuchRoom("there is none", room=room)
    async for message in connection:
        text = message.text if isinstance(message, Said) else f"at {message.x}"
        if text == "fail":
            raise SoldOut("nothing is left", left=0)
        if text == "bye":
            return
        await connection.send(Heard(room=room, text=text))


@websocket.channel("/strict", on_invalid="close", encodings=("json",))
async def strict(connection: websocket.Connection[Said, Heard]) -> None:
    async for message in connection:
        await connection.send(Heard(room="", text=message.text))


@websocket.channel("/asking/{count}")
async def ask(count: int, connection: websocket.Connection[Said, Asked | Heard]) -> None:
    """Ask, and say whether that has come."""
    async with anyio.create_task_group() as tasks:
        for each in range(count):
            tasks.start_soon(_ask, connection, each)
    async for message in connection:
        await connection.send(Heard(room="", text=message.text))


async def _ask(connection: Any, number: int) -> None:
    try:
        await connection.send(Asked(question=number), acknowledged=True, timeout=TIMEOUTS[0])
    except websocket.NotAcknowledged:
        EVENTS.append(f"{number} not acknowledged")
    else:
        EVENTS.append(f"{number} acknowledged")


TIMEOUTS = [20.0]


@websocket.channel("/hasty")
async def hasty(connection: websocket.Connection[Said, Heard]) -> None:
    """Answer the handshake, cancelled before it is."""
    for _ in range(3):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await connection.accept()
    async for message in connection:
        await connection.send(Heard(room="", text=message.text))


@operation(requires=("talk",))
@websocket.channel("/private")
async def private(connection: websocket.Connection[Said, Heard], caller: Principal) -> None:
    await connection.send(Heard(room="private", text=caller.id))


@websocket.channel("/together")
async def together(connection: websocket.Connection[Said, Heard], rooms: websocket.Rooms) -> None:
    """Say to everybody what one has said."""
    async with rooms.join(connection, "all") as membership:
        async for message in connection:
            await membership.publish({"text": message.text})


# Methods.


@operation(effect="read", errors=(SoldOut,))
@websocket.method("add")
def add(left: int, right: int = 1) -> int:
    """Add two numbers."""
    if left == 13:
        raise SoldOut("nothing is left", left=2)
    return left + right


@websocket.method("echo")
async def echo(said: Said) -> Said:
    return said


@websocket.method("later")
async def later(text: str) -> str:
    """Answer when the test says so."""
    EVENTS.append(f"{text} began")
    try:
        await HELD.setdefault(text, anyio.Event()).wait()
    except BaseException:
        EVENTS.append(f"{text} was cancelled")
        raise
    return text


@operation(on_disconnect="finish")
@websocket.method("surely")
async def surely(text: str) -> str:
    EVENTS.append(f"{text} began")
    await HELD.setdefault(text, anyio.Event()).wait()
    EVENTS.append(f"{text} was done")
    return text


@websocket.method("count")
async def count(to: int, fail: bool = False) -> AsyncIterator[int]:
    """Count, from 0."""
    try:
        for each in range(to):
            EVENTS.append(f"{each}")
            yield each
        if fail:
            raise SoldOut("nothing is left", left=0)
    finally:
        EVENTS.append("counted")


@operation(requires=("talk",))
@websocket.method("who")
async def who(caller: Principal) -> str:
    return caller.id


@websocket.method("broken")
async def broken() -> int:
    raise RuntimeError("with a secret")


@websocket.method("called")
async def called(call: websocket.MethodCall) -> list[str]:
    return [str(call.id), call.metadata("x-name") or ""]


class Tokens:
    """Knows ann, who may talk, and bob, who may not."""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        EVENTS.append(f"{credentials.value} asked")
        if credentials.value not in ("ann", "bob"):
            raise Unauthenticated("no such token")
        allowed = {"talk"} if credentials.value == "ann" else set()
        return Principal(id=credentials.value, permissions=frozenset(allowed))


ALL: tuple[Any, ...] = (
    talk, strict, ask, hasty, private, together, add, echo, later, surely, count, who, broken, called,
)  # fmt: skip
