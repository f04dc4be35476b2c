"""Rooms that are cancelled at every await and turn, alone and over a broker: nobody and nothing is left."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from room_members import Connection
from room_processes import JSON, PATIENT, Faulty, hub, settle, until

from covet_kernel.testing import cancel_at_every_await, cancel_at_every_tick
from covet_memory import MemoryBroker
from covet_websocket._rooms import Rooms

# Who has lost the broker for a moment would try again, and take turns for it.
STEADY = {"heartbeat": 60.0, "heartbeat_timeout": 120.0}


def nothing_is_held(rooms: Rooms, members: int) -> None:
    """Of a process with so many members, all in the lobby, nothing is under way."""
    opened = rooms._opened["lobby"]
    room = opened.room
    assert len(room.members) == room.holds == members
    assert len(rooms._connections) == members
    assert not room._behind
    assert not room._gate.locked()
    counted = {m.name: dict(m.read()) for m in rooms.metrics()}
    assert counted["websocket.room.members"]["lobby",] == members


def is_silent(rooms: Rooms) -> bool:
    """Whether such a process has nothing to say to others."""
    span = rooms._opened["lobby"].span
    assert span is not None
    return not (span._pending or span._outgoing or span.topic._lock.locked())


async def visited(rooms: Rooms, after: str | None = None) -> None:
    """Come, talk, be slow, listen and go."""
    visitor = Connection(room=1)
    async with (
        rooms.join(
            visitor, "lobby", encoding=JSON, when_slow="block", presence=True, after=after
        ) as membership,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(membership.publish, "one")
        await membership.publish("two")
        # Everything it was sent, in whichever order the two were said.
        heard: set[Any] = set()
        while heard < {"one", "two"}:
            heard.add((await visitor.next()).get("message"))


@pytest.mark.parametrize("kit", [cancel_at_every_await, cancel_at_every_tick])
async def test_a_visit_cancelled_anywhere(kit: Any) -> None:
    async with hub(None, queue_messages=1) as rooms:
        stays = Connection()

        async def check() -> None:
            await wait_all_tasks_blocked()
            nothing_is_held(rooms, 1)
            stays.read()

        async with rooms.join(stays, "lobby", encoding=JSON):
            assert await kit(lambda: visited(rooms), check=check) >= 2


@pytest.mark.parametrize("kit", [cancel_at_every_await, cancel_at_every_tick])
async def test_a_visit_cancelled_anywhere_over_a_broker(kit: Any) -> None:
    broker = MemoryBroker()
    one, other = Faulty(broker), Faulty(broker)
    here, there = Connection(), Connection()
    async with (
        hub(one, **STEADY) as first,
        hub(other, **PATIENT, **STEADY) as second,
        first.join(here, "lobby", encoding=JSON, presence=True),
    ):
        await settle(first)
        heard: list[Any] = []
        other_heard: list[Any] = []

        async def check() -> None:
            # What was said behind it comes behind all that it has said, and to both.
            assert await second.publish("lobby", f"end {len(heard)}")
            for connection, found in ((here, heard), (there, other_heard)):
                while not str((said := await connection.message())["message"]).startswith("end"):
                    found.append((said["id"], said["message"]))
                found.append((said["id"], said["message"]))
            assert heard == other_heard
            for rooms in (first, second):
                await until(lambda rooms=rooms: rooms.count("lobby") == 2)  # type: ignore[misc]
                await until(lambda rooms=rooms: is_silent(rooms))  # type: ignore[misc]
                nothing_is_held(rooms, 1)
            assert one.subscriptions == other.subscriptions == 1

        async with second.join(there, "lobby", encoding=JSON, presence=True):
            await settle(second)
            await first.publish("lobby", "first")
            first_id = (await here.message())["id"]
            await there.message()
            assert await kit(lambda: visited(first, after=first_id), check=check) >= 3
    assert one.subscriptions == other.subscriptions == 0


async def test_a_process_cancelled_at_every_turn_leaves_no_subscription() -> None:
    broker = MemoryBroker()
    faulty = Faulty(broker)
    stays = Connection()

    async def lives() -> None:
        # It does not wait until it knows what was said before, for which it may have to ask twice.
        async with (
            hub(faulty, **STEADY, **PATIENT) as rooms,
            rooms.join(Connection(), "lobby", encoding=JSON),
        ):
            assert await rooms.publish("lobby", "hello")

    async with hub(broker, **STEADY) as first:

        async def check() -> None:
            assert faulty.subscriptions == 0
            await until(lambda: first.count("lobby") == 1)

        async with first.join(stays, "lobby", encoding=JSON):
            await settle(first)
            assert await cancel_at_every_tick(lives, check=check) >= 5


async def test_whoever_leaves_while_it_is_behind_leaves_no_task() -> None:
    """Its connection may take nothing for as long as it likes, and come back to the room all the while."""
    slow = Connection(room=1)
    async with hub(None) as rooms, rooms.join(Connection(), "lobby", encoding=JSON):
        await wait_all_tasks_blocked()
        before = len(anyio.get_running_tasks())
        for number in range(20):
            async with rooms.join(slow, "lobby", encoding=JSON, presence=True):
                await rooms.publish("lobby", number)
                await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()
        assert len(anyio.get_running_tasks()) == before
        nothing_is_held(rooms, 1)
