"""Rooms of one process: who gets what, in which order, and what limits there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from room_members import Connection, Plain, broadcast

from covet_http import WebSocketClosed
from covet_operations import Conflict, Invalid, TooLarge, Unavailable
from covet_websocket._rooms import Rooms, RoomsConfig

JSON = Plain()


@asynccontextmanager
async def hub(**config: Any) -> AsyncIterator[Rooms]:
    config.setdefault("presence_interval", 0.001)
    async with Rooms(RoomsConfig(**config), broadcast=broadcast).running() as rooms:
        yield rooms


def texts(connection: Connection) -> list[Any]:
    connection.read()
    return [each["message"] for each in connection.got if "message" in each]


def ids(connection: Connection) -> list[str]:
    connection.read()
    return [each["id"] for each in connection.got if "message" in each]


async def test_what_is_said_reaches_everybody_once_encoded_once() -> None:
    encoding = Plain()
    members = [Connection() for _ in range(50)]
    async with hub() as rooms, AsyncExitStack() as stack:
        for each in members:
            await stack.enter_async_context(rooms.join(each, "lobby", encoding=encoding))
        before = encoding.frames
        await rooms.publish("lobby", {"text": "hello"})
        await rooms.publish("lobby", "there")
        await rooms.publish("elsewhere", "nobody hears it")
        assert encoding.frames == before + 2
        for each in members:
            assert texts(each) == [{"text": "hello"}, "there"]
        assert len({tuple(ids(each)) for each in members}) == 1


async def test_ids_count_up() -> None:
    connection = Connection()
    async with hub() as rooms, rooms.join(connection, "lobby", encoding=JSON):
        for number in range(5):
            await rooms.publish("lobby", number)
        epoch, _, first = ids(connection)[0].rpartition(".")
        assert ids(connection) == [f"{epoch}.{int(first) + n}" for n in range(5)]
        assert connection.got[0]["last"] == f"{epoch}.0"


async def test_who_left_hears_nothing() -> None:
    stays, goes = Connection(), Connection()
    async with hub() as rooms, rooms.join(stays, "lobby", encoding=JSON):
        async with rooms.join(goes, "lobby", encoding=JSON):
            await rooms.publish("lobby", 1)
        await rooms.publish("lobby", 2)
        assert texts(stays) == [1, 2]
        assert texts(goes) == [1]


async def test_a_member_comes_back_and_gets_exactly_what_it_missed() -> None:
    stays, away, back = Connection(), Connection(), Connection(room=3)
    async with hub() as rooms, rooms.join(stays, "lobby", encoding=JSON):
        async with rooms.join(away, "lobby", encoding=JSON):
            await rooms.publish("lobby", 0)
        for number in range(1, 20):
            await rooms.publish("lobby", number)
        [last] = ids(away)
        async with rooms.join(back, "lobby", encoding=JSON, after=last) as membership:
            assert membership.resumed
            await rooms.publish("lobby", 20)
            found = []
            while len(found) < 20:
                found.append((await back.message())["message"])
            assert found == list(range(1, 21))
            assert back.got[0]["resumed"] is True
            await rooms.publish("lobby", 21)
            assert (await back.message())["message"] == 21


@pytest.mark.parametrize("after", ["", "nonsense", "0.0", "x" * 1000, "a.999999"])
async def test_an_id_that_is_not_known_is_a_reset(after: str) -> None:
    connection = Connection()
    async with hub() as rooms:
        async with rooms.join(connection, "lobby", encoding=JSON, after=after) as membership:
            assert not membership.resumed
            assert (await connection.next())["reset"] is True
            await rooms.publish("lobby", "goes on")
            assert texts(connection) == ["goes on"]


async def test_a_history_that_does_not_reach_back_is_a_reset() -> None:
    stays = Connection()
    async with hub(history_messages=3) as rooms, rooms.join(stays, "lobby", encoding=JSON):
        for number in range(5):
            await rooms.publish("lobby", number)
        known = ids(stays)
        for after, resumed in zip(known, [False, True, True, True, True], strict=True):
            back = Connection()
            async with rooms.join(back, "lobby", encoding=JSON, after=after) as membership:
                assert membership.resumed is resumed
                await wait_all_tasks_blocked()
                assert texts(back) == ([*range(known.index(after) + 1, 5)] if resumed else [])


async def test_histories_have_an_age_and_a_size() -> None:
    stays = Connection()
    async with (
        hub(history_age=0.01, message_bytes=5000) as rooms,
        rooms.join(stays, "lobby", encoding=JSON),
    ):
        await rooms.publish("lobby", 1)
        await rooms.publish("lobby", 2)
        first = ids(stays)[0]
        await anyio.sleep(0.02)
        async with rooms.join(Connection(), "lobby", encoding=JSON, after=first) as membership:
            assert not membership.resumed
    stays = Connection()
    async with (
        hub(history_bytes=20_000) as rooms,
        rooms.join(stays, "lobby", encoding=JSON),
    ):
        for _ in range(50):
            await rooms.publish("lobby", "x" * 1000)
        size = {m.name: list(m.read()) for m in rooms.metrics()}["websocket.room.history.bytes"]
        assert 10_000 < size[0][1] <= 20_000


async def test_all_histories_together_have_a_size() -> None:
    async with hub(history_total_bytes=20_000) as rooms, AsyncExitStack() as stack:
        seen = {}
        for name in ("old", "new"):
            seen[name] = Connection()
            await stack.enter_async_context(rooms.join(seen[name], name, encoding=JSON))
            for _ in range(8):
                await rooms.publish(name, "x" * 500)
        sizes = {m.name: dict(m.read()) for m in rooms.metrics()}["websocket.room.history.bytes"]
        assert sum(sizes.values()) <= 20_000
        assert sizes["old",] < sizes["new",]


async def fall_behind(rooms: Rooms, slow: Connection, count: int) -> None:
    for number in range(count):
        await rooms.publish("lobby", number, key=f"k{number % 2}")
        await wait_all_tasks_blocked()


async def test_the_oldest_is_dropped() -> None:
    slow, fast = Connection(room=2), Connection()
    async with (
        hub(queue_messages=3) as rooms,
        rooms.join(slow, "lobby", encoding=JSON, when_slow="drop-oldest"),
        rooms.join(fast, "lobby", encoding=JSON),
    ):
        slow.read()
        await fall_behind(rooms, slow, 10)
        assert texts(fast) == list(range(10))
        found = [await slow.message() for _ in range(5)]
        assert [each["message"] for each in found] == [0, 1, 7, 8, 9]
        read = {m.name: dict(m.read()) for m in rooms.metrics()}
        assert read["websocket.room.dropped"]["lobby",] == 5
        # And it is in time again.
        await wait_all_tasks_blocked()
        await rooms.publish("lobby", "now")
        assert slow.read()[-1]["message"] == "now"


async def test_of_one_key_only_the_latest_waits() -> None:
    slow, fast = Connection(room=2), Connection()
    async with (
        hub(queue_messages=4) as rooms,
        rooms.join(slow, "lobby", encoding=JSON, when_slow="coalesce"),
        rooms.join(fast, "lobby", encoding=JSON),
    ):
        slow.read()
        await fall_behind(rooms, slow, 10)
        found = [await slow.message() for _ in range(4)]
        assert [each["message"] for each in found] == [0, 1, 8, 9]
        assert texts(fast) == list(range(10))


async def test_a_slow_member_is_disconnected() -> None:
    slow, fast = Connection(room=2), Connection()
    async with (
        hub(queue_messages=3) as rooms,
        rooms.join(slow, "lobby", encoding=JSON, when_slow="disconnect") as membership,
        rooms.join(fast, "lobby", encoding=JSON, presence=True),
    ):
        slow.read()
        await fall_behind(rooms, slow, 5)
        assert slow.close_code is None
        await fall_behind(rooms, slow, 1)
        assert slow.close_code == 1013
        assert membership.left
        assert texts(fast) == [0, 1, 2, 3, 4, 0]
        read = {m.name: dict(m.read()) for m in rooms.metrics()}
        assert read["websocket.room.disconnected"]["lobby",] == 1
        assert read["websocket.room.members"]["lobby",] == 1


async def test_a_member_that_blocks_is_waited_for() -> None:
    slow, fast = Connection(room=1), Connection()
    said: list[int] = []
    async with (
        hub(queue_messages=2, patience=60.0, heartbeat_timeout=100.0) as rooms,
        rooms.join(slow, "lobby", encoding=JSON, when_slow="block"),
        rooms.join(fast, "lobby", encoding=JSON),
        anyio.create_task_group() as tasks,
    ):

        async def say() -> None:
            for number in range(10):
                await rooms.publish("lobby", number)
                said.append(number)

        slow.read()
        tasks.start_soon(say)
        await wait_all_tasks_blocked()
        assert said == [0, 1, 2]
        assert texts(fast) == [0, 1, 2]
        found = [(await slow.message())["message"] for _ in range(10)]
        assert found == list(range(10))
    assert texts(fast) == list(range(10))


async def test_nobody_is_waited_for_longer_than_patience() -> None:
    slow, fast = Connection(room=1), Connection()
    async with (
        hub(queue_messages=2, patience=0.01) as rooms,
        rooms.join(slow, "lobby", encoding=JSON, when_slow="block") as membership,
        rooms.join(fast, "lobby", encoding=JSON),
    ):
        for number in range(10):
            await rooms.publish("lobby", number)
        assert slow.close_code == 1013
        assert membership.left
        assert texts(fast) == list(range(10))


async def test_who_waits_for_a_slow_member_can_be_cancelled() -> None:
    slow, fast = Connection(room=1), Connection()
    async with (
        hub(queue_messages=1, patience=60.0, heartbeat_timeout=100.0) as rooms,
        rooms.join(slow, "lobby", encoding=JSON, when_slow="block"),
        rooms.join(fast, "lobby", encoding=JSON),
    ):
        await rooms.publish("lobby", 0)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(rooms.publish, "lobby", "cancelled")
                await wait_all_tasks_blocked()
                scope.cancel()
        slow.read()
        await wait_all_tasks_blocked()
        await rooms.publish("lobby", 1)
        assert texts(fast) == [0, 1]


@pytest.mark.parametrize("name", ["", "x" * 201, "é" * 101, "a\nb", "a\0", "\ud800", "\x85"])
async def test_names_that_are_none(name: str) -> None:
    async with hub() as rooms:
        with pytest.raises(Invalid):
            async with rooms.join(Connection(), name, encoding=JSON):
                pass
        with pytest.raises(Invalid):
            await rooms.publish(name, 1)
        assert len(rooms) == 0


async def test_limits_on_what_a_client_can_grow() -> None:
    async with (
        hub(rooms=2, members=2, rooms_per_connection=2, data_bytes=10, message_bytes=10) as rooms,
        AsyncExitStack() as stack,
    ):
        mine = Connection()
        await stack.enter_async_context(rooms.join(mine, "a", encoding=JSON))
        with pytest.raises(Conflict):
            await stack.enter_async_context(rooms.join(mine, "a", encoding=JSON))
        await stack.enter_async_context(rooms.join(mine, "b", encoding=JSON))
        with pytest.raises(Conflict):
            await stack.enter_async_context(rooms.join(mine, "c", encoding=JSON))
        with pytest.raises(Unavailable):
            await stack.enter_async_context(rooms.join(Connection(), "c", encoding=JSON))
        await stack.enter_async_context(rooms.join(Connection(), "a", encoding=JSON))
        with pytest.raises(Unavailable):
            await stack.enter_async_context(rooms.join(Connection(), "a", encoding=JSON))
        with pytest.raises(TooLarge):
            await stack.enter_async_context(
                rooms.join(Connection(), "b", encoding=JSON, data="x" * 10)
            )
        with pytest.raises(TooLarge):
            await rooms.publish("a", "x" * 10)
        with pytest.raises(Invalid):
            await rooms.publish("a", 1, key="k" * 257)
        assert len(rooms) == 2


async def test_a_room_makes_place_for_another_once_it_is_empty() -> None:
    async with hub(rooms=1) as rooms:
        async with rooms.join(Connection(), "a", encoding=JSON):
            pass
        assert len(rooms) == 1
        async with rooms.join(Connection(), "b", encoding=JSON):
            assert len(rooms) == 1


async def test_empty_rooms_are_kept_for_a_while_and_forgotten() -> None:
    first = Connection()
    async with hub(linger=30.0) as rooms:
        async with rooms.join(first, "lobby", encoding=JSON):
            await rooms.publish("lobby", 1)
        await rooms.publish("lobby", 2)
        back = Connection()
        async with rooms.join(back, "lobby", encoding=JSON, after=ids(first)[0]) as membership:
            assert membership.resumed
            await wait_all_tasks_blocked()
            assert texts(back) == [2]
    async with hub(linger=0.0) as rooms:
        async with rooms.join(Connection(), "lobby", encoding=JSON):
            await rooms.publish("lobby", 1)
        while len(rooms):
            await anyio.sleep(0.01)
        counted = {m.name: list(m.read()) for m in rooms.metrics()}
        assert counted["websocket.rooms.published"] == [((), 1.0)]
        assert counted["websocket.room.members"] == []


async def test_a_connection_that_is_closed() -> None:
    closed = Connection()
    closed.close()
    async with hub() as rooms:
        with pytest.raises(WebSocketClosed):
            async with rooms.join(closed, "lobby", encoding=JSON):
                pass
        slow = Connection(room=1)
        async with rooms.join(slow, "lobby", encoding=JSON) as membership:
            await rooms.publish("lobby", 1)
            await wait_all_tasks_blocked()
            slow.close()
            await wait_all_tasks_blocked()
            assert membership.left
            await rooms.publish("lobby", 2)


async def test_after_the_end_nobody_comes() -> None:
    async with hub() as rooms:
        stack = AsyncExitStack()
        membership = await stack.enter_async_context(
            rooms.join(Connection(), "lobby", encoding=JSON)
        )
    assert membership.left
    with pytest.raises(Unavailable):
        async with rooms.join(Connection(), "lobby", encoding=JSON):
            pass
    await stack.aclose()


async def test_lag_is_that_of_the_slowest() -> None:
    slow, fast = Connection(room=1), Connection()
    async with (
        hub() as rooms,
        rooms.join(slow, "lobby", encoding=JSON),
        rooms.join(fast, "lobby", encoding=JSON),
    ):
        fast.read()
        await rooms.publish("lobby", "x" * 100)
        fast.read()
        read = {m.name: dict(m.read()) for m in rooms.metrics()}
        assert read["websocket.room.lag.messages"]["lobby",] == 2
        assert read["websocket.room.lag.bytes"]["lobby",] > 200
        assert read["websocket.rooms"][()] == 1
