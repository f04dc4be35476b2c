"""What every `Broker` has to pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from itertools import count

import anyio
import pytest

from covet_conformance._waiting import cancelled_everywhere, settled, within
from covet_kernel.contracts import Broker, BrokerLimitError, Message


class BrokerSuite:
    """Subclass it as ``Test...`` and implement `open`.

    Attributes:
        capacity: How many small messages a group holds before ``publish`` waits.
        message_bytes: The limit of one message.
        attempts: Deliveries after which a message moves to the dead letters.
        patience: Seconds after which something that must happen is taken not to.
        quiet: Seconds after which nothing more is expected to arrive.
    """

    capacity: int = 10
    message_bytes: int = 1000
    attempts: int = 3
    patience: float = 10.0
    quiet: float = 0.05

    def open(self) -> AbstractAsyncContextManager[Broker]:
        """A broker without messages for one test, with the limits above, closed after the block."""
        raise NotImplementedError

    def dead_letters(self, topic: str) -> str:
        """The topic in which the dead letters of ``topic`` are found."""
        return f"{topic}.dead"

    async def next(self, messages: AsyncIterator[Message]) -> Message:
        """The next message, which must come."""
        async with within(self.patience, "the next message"):
            return await anext(messages)
        raise AssertionError  # pragma: no cover

    async def nothing(self, messages: AsyncIterator[Message]) -> None:
        """No message comes."""
        with anyio.move_on_after(self.quiet):
            message = await anext(messages)
            raise AssertionError(f"{message.body!r} was delivered, attempt {message.attempt}")

    async def drain(self, messages: AsyncIterator[Message], many: int) -> list[bytes]:
        """The bodies of the next ``many``, each acknowledged."""
        bodies = []
        for _ in range(many):
            message = await self.next(messages)
            bodies.append(message.body)
            await message.ack()
        return bodies

    async def test_a_message_arrives_whole(self) -> None:
        async with self.open() as broker, broker.subscribe("books") as messages:
            await broker.publish("books", b"\x00\xff", key="k", headers={"trace": "1"})
            await broker.publish("books", b"")
            message = await self.next(messages)
            assert message.topic == "books"
            assert message.key == "k"
            assert message.body == b"\x00\xff"
            assert message.headers["trace"] == "1"
            assert message.attempt == 1
            await message.ack()
            message = await self.next(messages)
            assert (message.key, message.body, message.attempt) == (None, b"", 1)
            await message.ack()

    async def test_topics_are_apart(self) -> None:
        async with self.open() as broker, broker.subscribe("a") as a, broker.subscribe("b") as b:
            await broker.publish("a", b"1")
            await self.nothing(b)
            assert await self.drain(a, 1) == [b"1"]

    async def test_it_receives_from_now_on(self) -> None:
        async with self.open() as broker:
            await broker.publish("books", b"before")
            async with broker.subscribe("books") as messages:
                await broker.publish("books", b"after")
                assert await self.drain(messages, 1) == [b"after"]
                await self.nothing(messages)

    async def test_each_group_gets_every_message(self) -> None:
        async with (
            self.open() as broker,
            broker.subscribe("books", group="a") as a,
            broker.subscribe("books", group="b") as b,
            broker.subscribe("books") as c,
            broker.subscribe("books") as d,
        ):
            sent = [b"%d" % number for number in range(5)]
            for body in sent:
                await broker.publish("books", body)
            for messages in (a, b, c, d):
                assert sorted(await self.drain(messages, 5)) == sent
                await self.nothing(messages)

    async def test_one_member_of_a_group_gets_each_message(self) -> None:
        got: list[bytes] = []
        members: set[int] = set()

        async def member(number: int, messages: AsyncIterator[Message]) -> None:
            async for message in messages:
                got.append(message.body)
                members.add(number)
                await settled()
                await message.ack()

        async with (
            self.open() as broker,
            broker.subscribe("books", group="g") as one,
            broker.subscribe("books", group="g") as two,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(member, 1, one)
            tasks.start_soon(member, 2, two)
            sent = [b"%02d" % number for number in range(30)]
            for body in sent:
                await broker.publish("books", body)
            async with within(self.patience, "the delivery"):
                while len(got) < len(sent):
                    await anyio.sleep(0.001)
            await anyio.sleep(self.quiet)
            tasks.cancel_scope.cancel()
        assert sorted(got) == sent

    async def test_a_named_group_waits_for_its_next_member(self) -> None:
        async with self.open() as broker:
            async with broker.subscribe("books", group="g"):
                pass
            await broker.publish("books", b"1")
            async with broker.subscribe("books", group="g") as messages:
                assert await self.drain(messages, 1) == [b"1"]

    async def test_a_group_of_ones_own_ends_with_the_block(self) -> None:
        async with self.open() as broker:
            async with broker.subscribe("books"):
                await broker.publish("books", b"1")
            async with broker.subscribe("books") as messages:
                await self.nothing(messages)
            # And holds up nobody: many more than one group could hold.
            async with within(self.patience, "publishing to a topic without groups"):
                for _ in range(3 * self.capacity):
                    await broker.publish("books", b"2")

    async def test_messages_of_a_key_come_in_order(self) -> None:
        got: dict[str | None, list[bytes]] = {}

        async def member(messages: AsyncIterator[Message]) -> None:
            async for message in messages:
                again = message.attempt == 1 and message.body.endswith(b"7")
                if again:
                    await message.nack()
                    continue
                got.setdefault(message.key, []).append(message.body)
                await settled()
                await message.ack()

        async with (
            self.open() as broker,
            broker.subscribe("books", group="g") as one,
            broker.subscribe("books", group="g") as two,
            broker.subscribe("books", group="g") as three,
            anyio.create_task_group() as tasks,
        ):
            for messages in (one, two, three):
                tasks.start_soon(member, messages)
            for number in range(30):
                for key in ("a", "b"):
                    await broker.publish("books", b"%02d" % number, key=key)
            async with within(self.patience, "the delivery"):
                while sum(map(len, got.values())) < 60:
                    await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()
        assert got == {key: [b"%02d" % number for number in range(30)] for key in ("a", "b")}

    async def test_what_is_refused_comes_again(self) -> None:
        async with self.open() as broker, broker.subscribe("books") as messages:
            await broker.publish("books", b"1", key="k")
            await broker.publish("books", b"2", key="k")
            first = await self.next(messages)
            await first.nack()
            again = await self.next(messages)
            assert (again.body, again.attempt) == (b"1", 2)
            await again.ack()
            assert (await self.next(messages)).body == b"2"

    async def test_settling_twice_is_safe(self) -> None:
        async with self.open() as broker, broker.subscribe("books") as messages:
            await broker.publish("books", b"1", key="k")
            await broker.publish("books", b"2", key="k")
            message = await self.next(messages)
            await message.ack()
            await message.ack()
            await message.nack()
            message = await self.next(messages)
            assert (message.body, message.attempt) == (b"2", 1)
            await message.nack()
            await message.ack()  # too late: it was given back
            assert (await self.next(messages)).attempt == 2
            await self.nothing(messages)

    async def test_unacknowledged_goes_back_when_the_block_ends(self) -> None:
        async with self.open() as broker, broker.subscribe("books", group="g") as other:
            async with broker.subscribe("books", group="g") as messages:
                await broker.publish("books", b"1")
                first = await self.next(messages)
                await self.nothing(other)
            again = await self.next(other)
            assert (again.body, again.attempt) == (b"1", 2)
            await first.ack()  # too late to count for the delivery that follows it
            await again.nack()
            assert (await self.next(other)).attempt == 3

    async def test_unacknowledged_goes_back_when_the_consumer_is_cancelled(self) -> None:
        async with self.open() as broker, broker.subscribe("books", group="g") as other:
            taken = anyio.Event()

            async def consumer() -> None:
                async with broker.subscribe("books", group="g") as messages:
                    async for message in messages:
                        taken.set()
                        await anyio.sleep_forever()
                        await message.ack()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(consumer)
                await settled()
                await broker.publish("books", b"1")
                async with within(self.patience, "the delivery"):
                    await taken.wait()
                tasks.cancel_scope.cancel()
            assert (await self.next(other)).attempt == 2

    async def test_what_is_rejected_is_found_in_the_dead_letters(self) -> None:
        async with (
            self.open() as broker,
            broker.subscribe(self.dead_letters("books"), group="undertaker") as dead,
            broker.subscribe("books", group="g") as messages,
        ):
            await broker.publish("books", b"1", key="k", headers={"trace": "1"})
            await broker.publish("books", b"2", key="k")
            await (await self.next(messages)).nack(requeue=False)
            assert await self.drain(messages, 1) == [b"2"]
            letter = await self.next(dead)
            assert (letter.body, letter.key, letter.headers["trace"]) == (b"1", "k", "1")
            await letter.ack()
            await self.nothing(messages)

    async def test_too_many_attempts_end_in_the_dead_letters(self) -> None:
        async with (
            self.open() as broker,
            broker.subscribe(self.dead_letters("books"), group="undertaker") as dead,
            broker.subscribe("books", group="g") as messages,
        ):
            await broker.publish("books", b"1")
            for attempt in range(1, self.attempts + 1):
                message = await self.next(messages)
                assert message.attempt == attempt
                await message.nack()
            await self.nothing(messages)
            assert (await self.next(dead)).body == b"1"

    async def test_publish_waits_for_room(self) -> None:
        async with self.open() as broker, broker.subscribe("books", group="g") as messages:
            for number in range(self.capacity):
                await broker.publish("books", b"%d" % number)
            with anyio.move_on_after(self.quiet) as gave_up:
                await broker.publish("books", b"never accepted")
            assert gave_up.cancelled_caught, "publish did not wait for room"
            accepted = anyio.Event()

            async def publish() -> None:
                await broker.publish("books", b"last")
                accepted.set()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(publish)
                await settled()
                assert not accepted.is_set()
                assert await self.drain(messages, 1) == [b"0"]
                async with within(self.patience, "publish, with room,"):
                    await accepted.wait()
            rest = [b"%d" % number for number in range(1, self.capacity)]
            assert await self.drain(messages, self.capacity) == [*rest, b"last"]
            await self.nothing(messages)

    @pytest.mark.parametrize("where", ["body", "key", "headers"])
    async def test_a_message_over_the_limit_is_refused(self, where: str) -> None:
        large = "x" * (self.message_bytes + 1)
        async with self.open() as broker, broker.subscribe("books") as messages:
            with pytest.raises(BrokerLimitError):
                if where == "body":
                    await broker.publish("books", large.encode())
                elif where == "key":
                    await broker.publish("books", b"1", key=large)
                else:
                    await broker.publish("books", b"1", headers={"h": large})
            await broker.publish("books", b"x" * self.message_bytes)
            assert (await self.next(messages)).body == b"x" * self.message_bytes

    async def test_a_consumer_cancelled_anywhere_loses_and_keeps_nothing(self) -> None:
        numbers = count()

        async with self.open() as broker, broker.subscribe("books", group="g") as other:

            async def scenario() -> None:
                async with broker.subscribe("books", group="g") as messages:
                    await broker.publish("books", b"%d" % next(numbers), key="k")
                    message = await anext(messages)
                    await settled()
                    await message.ack()

            async def check() -> None:
                # At most the one message is left, and the broker goes on.
                await broker.publish("books", b"end", key="k")
                for _ in range(2):
                    message = await self.next(other)
                    await message.ack()
                    if message.body == b"end":
                        return
                raise AssertionError("more was delivered than published")

            assert await cancelled_everywhere(scenario, check, self.patience) > 0
