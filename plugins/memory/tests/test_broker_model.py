"""A group against the simplest model of it, and whole brokers under storms of cancellations."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from covet_kernel.contracts import Message
from covet_memory import BrokerConfig, MemoryBroker
from covet_memory._group import Counts, Group, Pending, Record

CONFIG = BrokerConfig(messages=12, bytes=60, message_bytes=30, attempts=3)


class GroupMachine(RuleBasedStateMachine):
    """Publishes, delivers and settles; the model is one list per key in the order published."""

    def __init__(self) -> None:
        super().__init__()
        self.buried: list[Pending] = []
        self.group = Group(CONFIG, Counts(), lambda: None, self.buried.append)
        self.waiting: dict[str | None, list[bytes]] = {}
        self.flying: list[Pending] = []
        self.attempts: dict[bytes, int] = {}
        self.number = 0

    @rule(key=st.sampled_from([None, "a", "b"]), size=st.integers(1, 30))
    def publish(self, key: str | None, size: int) -> None:
        self.number += 1
        body = b"%d" % self.number
        record = Record("t", body, key, {}, size)
        held = sum(len(bodies) for bodies in self.waiting.values()) + len(self.flying)
        assert self.group.size == held
        if self.group.has_room(record):
            self.group.append(record)
            self.waiting.setdefault(key, []).append(body)
        else:
            assert held == 12 or self.group.bytes + size > 60

    @precondition(lambda self: self.group.ready)
    @rule()
    def deliver(self) -> None:
        pending = self.group.take()
        record = pending.record
        keys = [flying.record.key for flying in self.flying]
        if record.key is not None:
            assert record.key not in keys, "two of one key at once"
            assert self.waiting[record.key][0] == record.body, "out of order"
        self.waiting[record.key].remove(record.body)
        self.attempts[record.body] = self.attempts.get(record.body, 0) + 1
        assert pending.attempt == self.attempts[record.body]
        self.flying.append(pending)

    @precondition(lambda self: self.flying)
    @rule(choice=st.randoms(use_true_random=False))
    def ack(self, choice: random.Random) -> None:
        self.group.settle(self.flying.pop(choice.randrange(len(self.flying))))

    @precondition(lambda self: self.flying)
    @rule(choice=st.randoms(use_true_random=False), requeue=st.booleans())
    def nack(self, choice: random.Random, requeue: bool) -> None:
        pending = self.flying.pop(choice.randrange(len(self.flying)))
        buried = len(self.buried)
        self.group.put_back(pending, requeue=requeue)
        if requeue and pending.attempt < 3:
            assert len(self.buried) == buried
            self.waiting[pending.record.key].insert(0, pending.record.body)
        else:
            assert self.buried[buried:] == [pending]

    @invariant()
    def nothing_is_stuck_or_too_much(self) -> None:
        assert self.group.size <= 12
        assert self.group.bytes <= 60
        assert self.group.in_flight == len(self.flying)
        flying = {pending.record.key for pending in self.flying}
        may_come = any(
            bodies and (key is None or key not in flying) for key, bodies in self.waiting.items()
        )
        assert self.group.ready is may_come
        if not self.group.size:
            assert (self.group.bytes, self.group._behind) == (0, {})


TestGroup = GroupMachine.TestCase
TestGroup.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


class Storm:
    """Producers and members of one group that are cancelled and refuse at random."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.broker = MemoryBroker(BrokerConfig(messages=4, in_flight=2, attempts=1000))
        self.published: list[bytes] = []
        self.settled: list[bytes] = []

    async def produce(self, key: str) -> None:
        for number in range(12):
            body = b"%s %02d" % (key.encode(), number)
            with anyio.CancelScope() as scope:
                if self.chance.random() < 0.2:
                    scope.cancel()
                await self.broker.publish("t", body, key=key)
                self.published.append(body)

    async def consume(self, messages: AsyncIterator[Message], most: int) -> None:
        async for message in messages:
            for _ in range(self.chance.randrange(3)):
                await anyio.lowlevel.checkpoint()
            if self.chance.random() < 0.2:
                await message.nack()
                continue
            self.settled.append(message.body)
            await message.ack()
            most -= 1
            if not most:
                return

    async def come_and_go(self) -> None:
        while True:
            with anyio.move_on_after(self.chance.choice([0, 0.0005, 0.002])):
                async with self.broker.subscribe("t", group="g") as messages:
                    await self.consume(messages, self.chance.randrange(1, 6))
            await anyio.lowlevel.checkpoint()

    async def blow(self) -> None:
        with anyio.fail_after(30):
            async with self.broker.subscribe("t", group="g"), anyio.create_task_group() as outer:
                for _ in range(3):
                    outer.start_soon(self.come_and_go)
                async with anyio.create_task_group() as inner:
                    for key in ("a", "b", "c"):
                        inner.start_soon(self.produce, key)
                while len(self.settled) < len(self.published):
                    await anyio.sleep(0.001)
                outer.cancel_scope.cancel()


@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_no_accepted_message_is_lost_in_a_storm(backend: str, seed: int) -> None:
    storm = Storm(seed)
    anyio.run(storm.blow, backend=backend)
    assert sorted(storm.settled) == sorted(storm.published)
    for key in (b"a", b"b", b"c"):
        assert [body for body in storm.settled if body.startswith(key)] == [
            body for body in storm.published if body.startswith(key)
        ]
    (group,) = storm.broker.topics["t"].groups.values()
    assert (group.size, group.in_flight, group.bytes, len(group._waiting)) == (0, 0, 0, 0)


async def test_a_message_of_a_cancelled_publish_is_accepted_or_not() -> None:
    broker = MemoryBroker(BrokerConfig(messages=1))
    async with broker.subscribe("t", group="g") as messages:

        async def publish() -> None:
            await broker.publish("t", b"1")
            await broker.publish("t", b"2")

        for _ in range(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(publish)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            message = await anext(messages)
            assert message.body == b"1"
            await message.ack()
            with anyio.move_on_after(0.01) as scope:
                await anext(messages)
            assert scope.cancelled_caught
