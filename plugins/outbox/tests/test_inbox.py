"""Effects happen once, however often a message is delivered."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from covet_outbox import MESSAGE_ID

Start = Any


class Delivery:
    """A message as a broker would deliver it."""

    def __init__(self, identifier: str | None, body: bytes = b"") -> None:
        self.topic, self.key, self.body, self.attempt = "t", None, body, 1
        self.headers: Mapping[str, str] = {} if identifier is None else {MESSAGE_ID: identifier}
        self.fate = ""

    async def ack(self) -> None:
        self.fate = "ack"

    async def nack(self, *, requeue: bool = True) -> None:
        self.fate = "back" if requeue else "dead"


async def make_table(service: Any) -> None:
    await service.db.execute("CREATE TABLE effects (n INTEGER)")


async def effects(service: Any) -> int:
    return int(await service.db.fetch_value("SELECT count(*) AS n FROM effects"))


async def add(session: Any, message: Any) -> None:
    await session.execute("INSERT INTO effects (n) VALUES (1)")


async def test_the_second_delivery_has_no_effect(start: Start) -> None:
    async with start() as service:
        await make_table(service)
        firsts = []
        for group in ("", "", "other"):
            async with service.db.transaction() as session:
                async with service.inbox.once(session, Delivery("m"), group=group) as first:
                    firsts.append(first)
                    if first:
                        await add(session, None)
        assert firsts == [True, False, True]
        assert await effects(service) == 2


async def test_what_is_rolled_back_is_not_handled(start: Start) -> None:
    async with start() as service:
        await make_table(service)
        with pytest.raises(RuntimeError, match="undone"):
            async with service.db.transaction() as session:
                async with service.inbox.once(session, Delivery("m")) as first:
                    assert first
                    raise RuntimeError("undone")
        # The block alone is undone where the transaction goes on.
        async with service.db.transaction() as session:
            with pytest.raises(RuntimeError, match="a part"):
                async with service.inbox.once(session, Delivery("m")) as first:
                    assert first
                    await add(session, None)
                    raise RuntimeError("a part")
        assert await effects(service) == 0
        async with service.db.transaction() as session:
            async with service.inbox.once(session, Delivery("m")) as first:
                assert first


async def test_of_concurrent_deliveries_one_has_the_effect(start: Start) -> None:
    async with start() as service:
        await make_table(service)
        handle = service.inbox.handler("g")(add)
        deliveries = [Delivery(f"m{number % 3}") for number in range(12)]
        async with anyio.create_task_group() as tasks:
            for each in deliveries:
                tasks.start_soon(handle, each)
        # One that met others in the way goes back and comes again.
        while again := [each for each in deliveries if each.fate != "ack"]:
            for each in again:
                await handle(each)
        assert await effects(service) == 3


async def test_one_that_waits_has_the_effect_if_the_other_is_rolled_back(start: Start) -> None:
    async with start() as service:
        await make_table(service)
        inside, outcome = anyio.Event(), []

        async def undone() -> None:
            with pytest.raises(RuntimeError):
                async with service.db.transaction() as session:
                    async with service.inbox.once(session, Delivery("m")) as first:
                        assert first
                        inside.set()
                        # The other one is waiting by then, or comes later: the same to both.
                        await anyio.sleep(0.02)
                        raise RuntimeError

        async def waits() -> None:
            await inside.wait()
            async with service.db.transaction() as session:
                async with service.inbox.once(session, Delivery("m")) as first:
                    outcome.append(first)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(undone)
            tasks.start_soon(waits)
        assert outcome == [True]


async def test_a_handler_commits_and_acknowledges_or_gives_back(
    start_sqlite: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "covet")
    async with start_sqlite() as service:
        await make_table(service)

        @service.inbox.handler("g")
        async def handle(session: Any, message: Any) -> None:
            """What it does."""
            await add(session, message)
            if message.body == b"bad":
                raise ValueError("bad")

        assert handle.__doc__ == "What it does."
        good, again, bad = Delivery("1"), Delivery("1"), Delivery("2", b"bad")
        for each in (good, again, bad):
            await handle(each)
        assert [good.fate, again.fate, bad.fate] == ["ack", "ack", "back"]
        assert await effects(service) == 1
        inbox = service.inbox
        assert (inbox.handled, inbox.repeated, inbox.failed) == (1, 1, 1)


@pytest.mark.parametrize("identifier", [None, "", "x" * 256, "a\0b", "\ud800"])
async def test_a_message_without_a_usable_identifier_is_set_aside(
    start_sqlite: Start, identifier: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "covet")
    async with start_sqlite() as service:
        await make_table(service)
        delivery = Delivery(identifier)
        await service.inbox.handler("g")(add)(delivery)
        assert delivery.fate == "dead"
        assert await effects(service) == 0


async def test_the_database_itself_is_no_transaction(start_sqlite: Start) -> None:
    async with start_sqlite() as service:
        with pytest.raises(TypeError, match="session of a transaction"):
            async with service.inbox.once(service.db, Delivery("m")):
                raise AssertionError
        with pytest.raises(ValueError, match="255"):
            async with service.db.transaction() as session:
                async with service.inbox.once(session, Delivery("m"), group="g" * 256):
                    raise AssertionError


async def test_from_one_transaction_to_the_other(start: Start) -> None:
    """Outbox, broker and inbox together: what is sent arrives once, failures on the way or not."""
    async with start() as service:
        await make_table(service)
        draining, failed = anyio.Event(), []

        async def work(session: Any, message: Any) -> None:
            await add(session, message)
            if message.body not in failed:
                failed.append(message.body)
                raise RuntimeError("the first attempt fails")

        async with anyio.create_task_group() as tasks:
            logging.getLogger("covet.outbox").disabled = True
            for _ in range(2):
                tasks.start_soon(consume, service, work, draining)
            await anyio.wait_all_tasks_blocked()
            for number in range(10):
                async with service.db.transaction() as session:
                    await service.outbox.publish(session, "t", b"%d" % number, key=f"{number % 3}")
            while await effects(service) < 10:
                await anyio.sleep(0.005)
            draining.set()
        logging.getLogger("covet.outbox").disabled = False
        assert await effects(service) == 10
        assert len(failed) == 10


async def consume(service: Any, work: Any, draining: anyio.Event) -> None:
    await service.inbox.consume(service.broker, "t", work, group="g", draining=draining)


async def test_draining_finishes_the_message_at_hand(start_sqlite: Start) -> None:
    async with start_sqlite() as service:
        await make_table(service)
        draining, begun = anyio.Event(), anyio.Event()

        async def work(session: Any, message: Any) -> None:
            begun.set()
            await anyio.sleep(0.01)
            await add(session, message)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consume, service, work, draining)
            await anyio.wait_all_tasks_blocked()
            await service.outbox.publish(service.db, "t", b"1")
            await begun.wait()
            draining.set()
        assert await effects(service) == 1


async def test_the_loop_ends_with_its_broker(start_sqlite: Start) -> None:
    async with start_sqlite() as service:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consume, service, add, anyio.Event())
            await anyio.wait_all_tasks_blocked()
            service.broker.close()
