"""Cancelled at every await, or robbed of its lease: nothing is lost, nothing is out of order."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

from covet_kernel.testing import cancel_at_every_await
from covet_outbox import MESSAGE_ID, OutboxConfig
from covet_outbox._worker import Counts, Worker

Start = Any
Recorder = Any
LOG = logging.getLogger("covet.test")


def worker(service: Any, broker: Any, **config: Any) -> Worker:
    return Worker(service.db, broker, OutboxConfig(**config), Counts(), LOG)


async def free(service: Any) -> None:
    """Let nobody hold a lane."""
    await service.db.execute("UPDATE covet_outbox_lanes SET held_until = 0")


async def test_publishing_cancelled_at_every_await(start: Start) -> None:
    async with start(relay=False) as service:

        async def publish() -> None:
            async with service.db.transaction() as session:
                await service.outbox.publish(session, "t", b"x", key="k")

        assert await cancel_at_every_await(publish) >= 2
        # The last one was not cancelled; any other that is there had been committed.
        assert await service.ids()
        await publish()


async def test_relaying_cancelled_at_every_await_loses_nothing(
    start: Start, recorder: Recorder
) -> None:
    async with start(relay=False) as service:
        bodies = [b"%d" % number for number in range(6)]
        async with service.db.transaction() as session:
            for body in bodies:
                await service.outbox.publish(session, "t", body, key="k")

        async def relay() -> None:
            await worker(service, recorder).round()

        async def check() -> None:
            await free(service)
            left = len(await service.ids())
            # What was taken out had been accepted, in order; what was accepted is out.
            assert list(dict.fromkeys(recorder.got)) == bodies[: len(bodies) - left]
            if not left:
                async with service.db.transaction() as session:
                    for body in bodies:
                        await service.outbox.publish(session, "t", body, key="k")
                recorder.got.clear()

        assert await cancel_at_every_await(relay, check=check) > 4


async def test_handling_cancelled_at_every_await_has_one_effect(start: Start) -> None:
    async with start(relay=False) as service:
        await service.db.execute("CREATE TABLE effects (n INTEGER)")

        class Delivery:
            topic, key, body, attempt = "t", None, b"", 1
            headers = {MESSAGE_ID: "m"}

            async def ack(self) -> None:
                await anyio.lowlevel.checkpoint()

            async def nack(self, *, requeue: bool = True) -> None:
                raise AssertionError

        @service.inbox.handler("g")
        async def handle(session: Any, message: Any) -> None:
            await session.execute("INSERT INTO effects (n) VALUES (1)")

        await cancel_at_every_await(lambda: handle(Delivery()))
        assert await service.db.fetch_value("SELECT count(*) AS n FROM effects") == 1


async def test_lanes_are_held_by_one_worker(start: Start, recorder: Recorder) -> None:
    async with start(relay=False) as service:
        for number in range(64):
            await service.outbox.publish(service.db, "t", b"%d" % number, key=f"{number}")
        one, two = worker(service, recorder), worker(service, recorder)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one._take)
            tasks.start_soon(two._take)
        held = await service.db.fetch_all(
            "SELECT held_by, count(*) AS n FROM covet_outbox_lanes WHERE held_until > 0 GROUP BY held_by"
        )
        assert all(row["n"] <= 8 for row in held)
        await one.release()
        await two.release()
        query = "SELECT count(*) AS n FROM covet_outbox_lanes WHERE held_until > 0"
        assert await service.db.fetch_value(query) == 0


async def test_a_worker_whose_lease_is_over_publishes_nothing_more(
    start_sqlite: Start, recorder: Recorder
) -> None:
    async with start_sqlite(relay=False) as service:
        for number in range(3):
            await service.outbox.publish(service.db, "t", b"%d" % number, key="k")
        slow = worker(service, recorder, lease=1)

        def late(body: bytes) -> None:
            slow._until = anyio.current_time()  # as if it had been asleep for long

        recorder.refuse = late
        assert await slow.round() is True
        assert recorder.got == [b"0"]
        assert len(await service.ids()) == 2
        # One that is refused because its time is up was not the message's failure.
        recorder.refuse = lambda body: None
        hanging = worker(service, Hanging(), lease=0.5)
        await free(service)
        assert await hanging.round() is True
        row = await service.db.fetch_one("SELECT max(attempts) AS n FROM covet_outbox")
        assert row == {"n": 0}


class Hanging:
    async def publish(self, topic: str, body: bytes, **more: Any) -> None:
        await anyio.sleep_forever()


async def test_what_a_crashed_worker_held_is_taken_over(
    start_sqlite: Start, recorder: Recorder, recording: Any
) -> None:
    async with start_sqlite(relay=False) as service:
        await service.outbox.publish(service.db, "t", b"x", key="k")
        crashed = worker(service, recorder, lease=0.5)
        lanes, rows = await crashed._take()
        assert lanes
        assert rows
        assert await worker(service, recorder)._take() == ([], [])
    async with start_sqlite(broker=recording) as service:
        await service.until_empty()
    assert recorder.got == [b"x"]


async def test_a_database_that_fails_is_tried_again(
    start_sqlite: Start,
    recorder: Recorder,
    recording: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with start_sqlite(broker=recording) as service:
        await service.db.execute("ALTER TABLE covet_outbox_lanes RENAME TO hidden")
        await service.outbox.publish(service.db, "t", b"x")
        while not any("cannot reach" in each.getMessage() for each in caplog.records):
            await anyio.sleep(0.005)
        assert recorder.got == []
        await service.db.execute("ALTER TABLE hidden RENAME TO covet_outbox_lanes")
        await service.until_empty()
    assert recorder.got == [b"x"]
