"""The broker where it differs from others: its limits, its dead letters, its groups' ends."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from covet_kernel.contracts import BrokerLimitError
from covet_memory import BrokerConfig, MemoryBroker
from covet_memory._group import Record


async def test_topics_and_groups_are_bounded() -> None:
    broker = MemoryBroker(BrokerConfig(topics=2, groups=2))
    async with (
        broker.subscribe("a", group="1"),
        broker.subscribe("a", group="2"),
        broker.subscribe("b"),
    ):
        with pytest.raises(BrokerLimitError, match="2 groups"):
            async with broker.subscribe("a"):
                pass
        with pytest.raises(BrokerLimitError, match="2 topics"):
            async with broker.subscribe("c"):
                pass
        async with broker.subscribe("a", group="1"):
            pass
    async with broker.subscribe("c"):
        assert set(broker.topics) == {"a", "c"}
    for number in range(1000):
        await broker.publish(f"nobody listens to {number}", b"1")
    assert set(broker.topics) == {"a"}


@pytest.mark.parametrize("name", ["", "x\0y", "n" * 256, "\u20ac" * 86])
async def test_names_are_bounded(name: str) -> None:
    broker = MemoryBroker()
    with pytest.raises(BrokerLimitError):
        await broker.publish(name, b"1")
    with pytest.raises(BrokerLimitError):
        async with broker.subscribe(name):
            pass
    with pytest.raises(BrokerLimitError):
        async with broker.subscribe("t", group=name):
            pass


async def test_bytes_count_as_well() -> None:
    broker = MemoryBroker(BrokerConfig(bytes=100, message_bytes=60))
    async with broker.subscribe("t", group="g") as messages:
        await broker.publish("t", b"x" * 60)
        with anyio.move_on_after(0.01) as scope:
            await broker.publish("t", b"x" * 41)
        assert scope.cancelled_caught
        await broker.publish("t", b"x" * 30, key="ten bytes.")
        await (await anext(messages)).ack()
        await broker.publish("t", b"x" * 60)


async def test_a_subscription_waits_when_it_has_too_much_in_flight() -> None:
    broker = MemoryBroker(BrokerConfig(in_flight=2))
    async with broker.subscribe("t", group="g") as one, broker.subscribe("t", group="g") as two:
        for number in range(4):
            await broker.publish("t", b"%d" % number)
        held = [await anext(one), await anext(one)]
        with anyio.move_on_after(0.01) as scope:
            await anext(one)
        assert scope.cancelled_caught
        assert (await anext(two)).body == b"2"
        await held[0].ack()
        assert (await anext(one)).body == b"3"


async def test_a_subscription_at_its_limit_leaves_the_message_to_another() -> None:
    broker = MemoryBroker(BrokerConfig(in_flight=1))
    got: list[tuple[str, bytes]] = []
    async with (
        broker.subscribe("t", group="g") as one,
        broker.subscribe("t", group="g") as two,
        anyio.create_task_group() as tasks,
    ):

        async def take(name: str, messages: object) -> None:
            got.append((name, (await anext(messages)).body))  # type: ignore[call-overload]

        # Two wait in the first subscription, which may have one message, then one in the second.
        for name, messages in (("one", one), ("one", one), ("two", two)):
            tasks.start_soon(take, name, messages)
            await anyio.wait_all_tasks_blocked()
        await broker.publish("t", b"1")
        await broker.publish("t", b"2")
        await anyio.wait_all_tasks_blocked()
        assert sorted(got) == [("one", b"1"), ("two", b"2")]
        tasks.cancel_scope.cancel()


async def test_what_a_cancelled_consumer_was_woken_for_wakes_another() -> None:
    broker = MemoryBroker()
    got: list[bytes] = []
    async with (
        broker.subscribe("t", group="g") as one,
        broker.subscribe("t", group="g") as two,
        anyio.create_task_group() as tasks,
    ):
        scope = anyio.CancelScope()

        async def cancelled() -> None:
            with scope:
                await anext(one)

        async def take() -> None:
            got.append((await anext(two)).body)

        for each in (cancelled, take):
            tasks.start_soon(each)
            await anyio.wait_all_tasks_blocked()
        # Cancelled first, woken second, before it could run: the message must not be lost on it.
        scope.cancel()
        broker.topics["t"].groups["g"].append(Record("t", b"1", None, {}, 1))
        await anyio.wait_all_tasks_blocked()
        assert got == [b"1"]


async def test_unacknowledged_messages_come_again_in_their_order() -> None:
    broker = MemoryBroker()
    async with broker.subscribe("t", group="g") as messages:
        for number in range(5):
            await broker.publish("t", b"%d" % number)
        for _ in range(4):
            await anext(messages)
    async with broker.subscribe("t", group="g") as messages:
        again = [await anext(messages) for _ in range(5)]
    assert [(message.body, message.attempt) for message in again] == [
        (b"0", 2),
        (b"1", 2),
        (b"2", 2),
        (b"3", 2),
        (b"4", 1),
    ]


async def test_dead_letters_wait_for_a_reader_and_say_where_they_come_from() -> None:
    broker = MemoryBroker(BrokerConfig(attempts=2))
    async with broker.subscribe("t", group="g") as messages:
        await broker.publish("t", b"poison", key="k", headers={"trace": "1"})
        for _ in range(2):
            await (await anext(messages)).nack()
    async with broker.subscribe("t.dead") as passing:  # one's own group receives from now on
        with anyio.move_on_after(0.01) as scope:
            await anext(passing)
        assert scope.cancelled_caught
    async with broker.subscribe("t.dead", group="undertaker") as dead:
        letter = await anext(dead)
        assert (letter.body, letter.key, letter.attempt) == (b"poison", "k", 1)
        assert letter.headers == {
            "trace": "1",
            "dead-topic": "t",
            "dead-group": "g",
            "dead-attempts": "2",
        }
        await letter.nack(requeue=False)
    assert (broker.counts.dead, broker.counts.dropped) == (1, 1)
    assert set(broker.topics) == {"t", "t.dead"}


async def test_dead_letters_are_bounded() -> None:
    broker = MemoryBroker(BrokerConfig(dead_letters=3, topics=2))
    for topic in ("a", "b"):
        async with broker.subscribe(topic) as messages:
            for number in range(10):
                await broker.publish(topic, b"%d" % number)
                await (await anext(messages)).nack(requeue=False)
    assert broker.counts.dropped == 14
    async with broker.subscribe("b.dead", group="undertaker") as dead:
        assert [(await anext(dead)).body for _ in range(3)] == [b"7", b"8", b"9"]
    for number in range(10):
        async with broker.subscribe(f"topic {number}") as messages:
            await broker.publish(f"topic {number}", b"1")
            await (await anext(messages)).nack(requeue=False)
    assert len(broker._letters) <= 2


async def test_a_full_group_that_everybody_left_holds_nobody_up_for_ever() -> None:
    broker = MemoryBroker(BrokerConfig(messages=1, retention=0.05))
    async with broker.subscribe("t", group="stays") as messages:
        async with broker.subscribe("t", group="leaves"):
            pass
        await broker.publish("t", b"1")
        await (await anext(messages)).ack()
        with anyio.fail_after(30):
            await broker.publish("t", b"2")
        assert (await anext(messages)).body == b"2"
    assert set(broker.topics["t"].groups) == {"stays"}


async def test_closing_ends_who_reads_and_who_waits_to_publish() -> None:
    broker = MemoryBroker(BrokerConfig(messages=1))
    ends: list[str] = []

    async def read() -> None:
        async with broker.subscribe("quiet") as messages:
            async for _ in messages:
                pass
        ends.append("read")

    async def publish() -> None:
        with pytest.raises(RuntimeError, match="closed"):
            await broker.publish("full", b"2")
        ends.append("publish")

    async with broker.subscribe("full", group="g"), anyio.create_task_group() as tasks:
        await broker.publish("full", b"1")
        tasks.start_soon(read)
        tasks.start_soon(publish)
        await anyio.wait_all_tasks_blocked()
        assert ends == []
        broker.close()
    assert sorted(ends) == ["publish", "read"]
    with pytest.raises(RuntimeError, match="closed"):
        async with broker.subscribe("t"):
            pass


@pytest.mark.parametrize("body", ["text", None, bytearray(b"1")])
async def test_a_body_is_bytes(body: object) -> None:
    with pytest.raises(TypeError):
        await MemoryBroker().publish("t", body)  # type: ignore[arg-type]
