"""Rooms that span processes, over one broker; faults are put between."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
import pytest
from room_members import Connection
from room_processes import JSON, PATIENT, Faulty, hub, settle, two, until

from covet_kernel.contracts import BrokerLimitError
from covet_memory import MemoryBroker
from covet_operations import TooLarge
from covet_websocket._rooms import Rooms


async def test_members_of_both_hear_both_in_one_order() -> None:
    async with two() as (_, first, here, second, there), anyio.create_task_group() as tasks:

        async def say(rooms: Rooms, who: str) -> None:
            for number in range(20):
                assert await rooms.publish("lobby", f"{who}{number}")

        tasks.start_soon(say, first, "a")
        tasks.start_soon(say, second, "b")
        heard = [(m["id"], m["message"]) for m in [await here.message() for _ in range(40)]]
        other = [(m["id"], m["message"]) for m in [await there.message() for _ in range(40)]]
        assert heard == other
        assert [text for _, text in heard if text[0] == "a"] == [f"a{n}" for n in range(20)]
        positions = [int(number.rpartition(".")[2]) for number, _ in heard]
        assert positions == list(range(positions[0], positions[0] + 40))


async def test_a_client_resumes_in_another_process() -> None:
    async with two() as (_, first, here, second, there):
        for number in range(5):
            await first.publish("lobby", number)
        known = [(await here.message())["id"] for _ in range(5)]
        for _ in range(5):
            await there.message()
        back = Connection()
        async with second.join(back, "lobby", encoding=JSON, after=known[1]) as membership:
            assert membership.resumed
            await second.publish("lobby", 5)
            assert [(await back.message())["message"] for _ in range(4)] == [2, 3, 4, 5]


async def test_a_client_resumes_in_a_process_that_was_not_there() -> None:
    broker = MemoryBroker()
    here = Connection()
    async with hub(broker) as first, first.join(here, "lobby", encoding=JSON):
        await settle(first)
        for number in range(5):
            await first.publish("lobby", number)
        known = [(await here.message())["id"] for _ in range(5)]
        back = Connection()
        async with hub(broker, **PATIENT) as third:
            async with third.join(back, "lobby", encoding=JSON, after=known[2]) as membership:
                assert membership.resumed
                await third.publish("lobby", 5)
                assert [(await back.message())["message"] for _ in range(3)] == [3, 4, 5]
                assert (await here.message())["message"] == 5


async def test_nothing_is_delivered_twice() -> None:
    async with two() as (faulty, first, here, second, there):
        faulty.twice = True
        for number in range(5):
            await first.publish("lobby", number)
        await second.publish("lobby", "end")
        for each in (here, there):
            assert [(await each.message())["message"] for _ in range(6)] == [0, 1, 2, 3, 4, "end"]
        counted = {m.name: sum(v for _, v in m.read()) for m in second.metrics()}
        assert counted["websocket.rooms.repeated"] >= 5


async def test_an_accepted_message_whose_answer_got_lost() -> None:
    async with two() as (faulty, first, here, second, there):
        await first.publish("lobby", 0)
        faulty.loses = lambda body: b"lost" in body
        await first.publish("lobby", "lost")
        faulty.loses = lambda body: False
        await settle(first)
        await until(lambda: not first._opened["lobby"].span.alone)  # type: ignore[union-attr]
        await settle(first)
        assert await second.publish("lobby", "end")
        for each in (here, there):
            assert [(await each.message())["message"] for _ in range(3)] == [0, "lost", "end"]


async def test_presence_of_others() -> None:
    broker = MemoryBroker()
    here, there = Connection(), Connection()
    async with hub(broker) as first, first.join(here, "lobby", encoding=JSON, presence=True) as a:
        await settle(first)
        async with hub(broker, **PATIENT) as second:
            async with second.join(
                there, "lobby", encoding=JSON, data={"n": "Bob"}, presence=True
            ) as b:
                while b.id not in first.present("lobby"):
                    await here.until("joined")
                while a.id not in second.present("lobby"):
                    await there.until("joined")
                assert first.present("lobby") == {a.id: None, b.id: {"n": "Bob"}}
                assert second.present("lobby") == {a.id: None, b.id: {"n": "Bob"}}
            assert (await here.until("left"))["left"] == [b.id]
            assert first.present("lobby") == {a.id: None}


async def test_a_process_that_ends_takes_its_members_with_it() -> None:
    broker = MemoryBroker()
    here = Connection()
    async with hub(broker) as first, first.join(here, "lobby", encoding=JSON, presence=True):
        await settle(first)
        async with AsyncExitStack() as stack:
            async with hub(broker, **PATIENT) as second:
                await stack.enter_async_context(second.join(Connection(), "lobby", encoding=JSON))
                await until(lambda: len(first.present("lobby")) == 2)
            await until(lambda: len(first.present("lobby")) == 1)


async def test_a_process_that_dies_is_missed() -> None:
    broker = MemoryBroker()
    dying = Faulty(broker)
    here = Connection()
    beats = {"heartbeat": 0.02, "patience": 0.01, "heartbeat_timeout": 0.1}
    async with hub(broker, **beats) as first, first.join(here, "lobby", encoding=JSON):
        await settle(first)
        async with (
            hub(dying, **PATIENT) as second,
            second.join(Connection(), "lobby", encoding=JSON),
        ):
            await until(lambda: len(first.present("lobby")) == 2)
            dying.stuck = True
            await until(lambda: len(first.present("lobby")) == 1)


async def test_while_the_broker_is_away_each_goes_on_alone_and_catches_up() -> None:
    async with two() as (faulty, first, here, second, there):
        await first.publish("lobby", "before")
        before = await here.message()
        assert (await there.message())["id"] == before["id"]
        faulty.cut(ConnectionError("gone"))
        await until(lambda: first._opened["lobby"].span.alone)  # type: ignore[union-attr]
        assert not await first.publish("lobby", "alone")
        assert (await here.message())["message"] == "alone"
        assert await second.publish("lobby", "missed")
        assert (await there.message())["message"] == "missed"
        assert len(first.present("lobby")) == 1
        faulty.fails = None
        # Nobody has to be reset: what was missed is known.
        assert (await here.message())["message"] == "missed"
        await until(lambda: len(first.present("lobby")) == 2)
        assert await first.publish("lobby", "again")
        last, other = await here.message(), await there.message()
        assert last == other
        assert last["message"] == "again"
        # By the id of before, all of it can be had here.
        back = Connection()
        async with first.join(back, "lobby", encoding=JSON, after=before["id"]):
            heard = [(await back.message())["message"] for _ in range(3)]
            assert heard == ["alone", "missed", "again"]
        counted = {m.name: sum(v for _, v in m.read()) for m in first.metrics()}
        assert counted["websocket.rooms.outages"] >= 1


async def test_members_are_reset_when_what_they_missed_is_not_known() -> None:
    async with two(history_messages=2) as (faulty, first, here, second, there):
        await first.publish("lobby", "before")
        await here.message()
        faulty.cut(ConnectionError("gone"))
        await until(lambda: first._opened["lobby"].span.alone)  # type: ignore[union-attr]
        for number in range(5):
            await second.publish("lobby", number)
        faulty.fails = None
        told = await here.message()
        assert told["reset"] is True
        assert await second.publish("lobby", "end")
        heard = await here.message()
        assert heard["message"] == "end"
        for _ in range(6):
            await there.message()
        assert (await there.message())["id"] == heard["id"]


async def test_a_broker_that_takes_nothing_is_an_outage() -> None:
    async with two(publish_timeout=0.05) as (faulty, first, here, second, there):
        faulty.stuck = True
        assert not await first.publish("lobby", "here")
        assert (await here.message())["message"] == "here"
        faulty.stuck = False
        await until(lambda: not first._opened["lobby"].span.alone)  # type: ignore[union-attr]
        await settle(first)
        await second.publish("lobby", "end")
        heard = [await there.message()]
        assert [each["message"] for each in heard] == ["end"]


async def test_without_a_broker_from_the_start() -> None:
    faulty = Faulty(MemoryBroker())
    faulty.fails = ConnectionError("not yet")
    here = Connection()
    async with hub(faulty) as rooms, rooms.join(here, "lobby", encoding=JSON):
        assert not await rooms.publish("lobby", 1)
        assert (await here.message())["message"] == 1
        assert not await rooms.publish("elsewhere", 1)
        faulty.fails = None
        await until(lambda: not rooms._opened["lobby"].span.alone)  # type: ignore[union-attr]
        assert await rooms.publish("lobby", 2)
        assert (await here.message())["message"] == 2


async def test_whoever_is_in_no_room_can_publish() -> None:
    broker = MemoryBroker()
    async with hub(broker) as first, hub(broker) as second:
        async with first.join(here := Connection(), "lobby", encoding=JSON):
            await settle(first)
            for number in range(5):
                assert await second.publish("lobby", number)
            assert [(await here.message())["message"] for _ in range(5)] == list(range(5))
        assert len(second) == 0


async def test_what_the_broker_does_not_take_is_told() -> None:
    async with two() as (faulty, first, here, _, there):
        faulty.fails = BrokerLimitError("too large")
        with pytest.raises(TooLarge):
            await first.publish("lobby", "large")
        with pytest.raises(TooLarge):
            await first.publish("elsewhere", "large")
        faulty.fails = None
        assert await first.publish("lobby", "small")
        assert (await here.message())["message"] == "small"
        assert (await there.message())["message"] == "small"


async def test_strangers_on_the_topic_are_passed_over() -> None:
    broker = MemoryBroker()
    async with hub(broker) as rooms, rooms.join(here := Connection(), "lobby", encoding=JSON):
        await settle(rooms)
        [topic] = broker.topics
        for body in (b"", b"\x81", b"\x93" * 2000, b"{}", b"\x81\xa4kind\xa4said"):
            await broker.publish(topic, body)
        await rooms.publish("lobby", "sound")
        assert (await here.message())["message"] == "sound"
        counted = {m.name: sum(v for _, v in m.read()) for m in rooms.metrics()}
        assert counted["websocket.rooms.unreadable"] == 5


async def test_two_that_did_not_hear_of_each_other_agree() -> None:
    broker = MemoryBroker()
    one, other = Faulty(broker), Faulty(broker)
    here, there = Connection(), Connection()
    beats = {"heartbeat": 0.02}
    async with hub(one, **beats) as first, hub(other, **beats) as second:
        other.fails = ConnectionError("not yet")
        async with (
            first.join(here, "lobby", encoding=JSON),
            second.join(there, "lobby", encoding=JSON),
        ):
            await settle(first)
            await first.publish("lobby", "here")
            await second.publish("lobby", "there")
            # Both have begun by themselves.
            second._opened["lobby"].span.settled.set()  # type: ignore[union-attr]
            other.fails = None
            rooms = [each._opened["lobby"].room for each in (first, second)]
            await until(lambda: rooms[0].epoch == rooms[1].epoch)
            await settle(first)
            await settle(second)
            await first.publish("lobby", "both")
            while (heard := await here.message()).get("message") != "both":
                pass
            while (other_heard := await there.message()).get("message") != "both":
                pass
            assert heard["id"] == other_heard["id"]


async def test_a_room_that_is_left_is_unsubscribed() -> None:
    faulty = Faulty(MemoryBroker())
    async with hub(faulty, linger=0.0) as rooms:
        async with rooms.join(Connection(), "lobby", encoding=JSON):
            await settle(rooms)
            assert faulty.subscriptions == 1
        await until(lambda: len(rooms) == 0 and faulty.subscriptions == 0)


async def test_a_slow_member_that_blocks_holds_up_its_room_only() -> None:
    broker = MemoryBroker()
    slow, fast, other = Connection(room=1), Connection(), Connection()
    async with (
        hub(broker, queue_messages=1, patience=60.0, heartbeat_timeout=100.0) as rooms,
        rooms.join(slow, "lobby", encoding=JSON, when_slow="block"),
        rooms.join(fast, "lobby", encoding=JSON),
        rooms.join(other, "kitchen", encoding=JSON),
    ):
        await settle(rooms)
        await settle(rooms, "kitchen")
        for number in range(5):
            await rooms.publish("lobby", number)
        await rooms.publish("kitchen", "not held up")
        assert (await other.message())["message"] == "not held up"
        assert [(await slow.message())["message"] for _ in range(5)] == list(range(5))
        assert [(await fast.message())["message"] for _ in range(5)] == list(range(5))
