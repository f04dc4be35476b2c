"""What the broker refuses waits, and is set aside if it is the message's own fault."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from covet_kernel.contracts import BrokerLimitError
from covet_outbox._dead import purge, retry, troubled

Start = Any
Recorder = Any


async def dead(service: Any, count: int) -> None:
    """Wait for so many to be set aside."""
    query = "SELECT count(*) AS n FROM covet_outbox WHERE state = 2"
    while await service.db.fetch_value(query) < count:
        await anyio.sleep(0.005)


async def test_a_poisonous_message_is_set_aside_and_the_others_go_on(
    start: Start, recorder: Recorder, recording: Any
) -> None:
    recorder.refuse = lambda body: RuntimeError("no\0 ünd") if body == b"bad" else None
    async with start(broker=recording, attempts=3) as service:
        async with service.db.transaction() as session:
            for body in (b"first", b"bad", b"behind"):
                await service.outbox.publish(session, "t", body, key="k")
        while b"bad" not in recorder.tried:
            await anyio.sleep(0.005)
        await service.outbox.publish(service.db, "t", b"other", key="another")
        await dead(service, 1)
        while len(await service.ids()) > 1:
            await anyio.sleep(0.005)
        # Until another message was accepted, it could have been an outage.
        times = recorder.tried.count(b"bad")
        assert times >= 3
        # What is behind it in its key has waited for it; others have not.
        assert recorder.got.index(b"other") < recorder.got.index(b"behind")
        assert recorder.tried.index(b"behind") > 2
        (found,) = await troubled(service.db)
        assert (found.state, found.attempts, found.topic, found.key) == ("dead", times, "t", "k")
        assert found.error == "RuntimeError: no ünd"
        metrics = read(service)
        assert metrics["outbox.buried"] == 1
        assert metrics["outbox.failed"] == times
        assert metrics["outbox.published"] == 3

        recorder.refuse = lambda body: None
        assert await retry(service.db, [found.id]) == 1
        await service.until_empty()
        assert recorder.got[-1] == b"bad"
        assert recorder.ids[-1] == found.id


def read(service: Any) -> dict[str, float]:
    return {
        metric.name: value
        for metric in service.kernel.phase.metrics
        for _, value in metric.read()
        if metric.name.startswith("outbox.")
    }


async def test_an_outage_kills_no_message(
    start_sqlite: Start, recorder: Recorder, recording: Any
) -> None:
    recorder.refuse = lambda body: ConnectionError("away")
    async with start_sqlite(broker=recording, attempts=2, longest_wait=0.02) as service:
        async with service.db.transaction() as session:
            for number in range(10):
                await service.outbox.publish(session, "t", b"%d" % number, key=f"{number}")
        while len(recorder.tried) < 60:
            await anyio.sleep(0.005)
        assert {each.state for each in await troubled(service.db)} == {"waiting"}
        assert len(await service.ids()) == 10
        recorder.refuse = lambda body: None
        await service.until_empty()
    assert sorted(recorder.got) == [b"%d" % number for number in range(10)]


async def test_a_message_that_can_never_be_sent_dies_without_a_witness(
    start_sqlite: Start, recorder: Recorder, recording: Any
) -> None:
    recorder.refuse = lambda body: BrokerLimitError("too large")
    async with start_sqlite(broker=recording, attempts=2) as service:
        await service.outbox.publish(service.db, "t", b"x")
        await dead(service, 1)
        assert len(recorder.tried) == 2


async def test_where_there_is_no_other_message_patience_ends(
    start_sqlite: Start, recorder: Recorder, recording: Any
) -> None:
    recorder.refuse = lambda body: RuntimeError("no") if body == b"bad" else None
    async with start_sqlite(broker=recording, attempts=2, patience=0.01) as service:
        async with service.db.transaction() as session:
            for body in (b"bad", b"behind"):
                await service.outbox.publish(session, "t", body, key="k")
        await dead(service, 1)
        while recorder.got != [b"behind"]:
            await anyio.sleep(0.005)


async def test_a_broker_that_does_not_answer_is_not_waited_for_for_ever(
    start_sqlite: Start, recorder: Recorder, recording: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, stuck = recorder.publish, anyio.Event()

    async def hang(topic: str, body: bytes, **more: Any) -> None:
        if not stuck.is_set():
            stuck.set()
            await anyio.sleep_forever()
        await publish(topic, body, **more)

    monkeypatch.setattr(recorder, "publish", hang)
    async with start_sqlite(broker=recording, publish_timeout=0.02) as service:
        await service.outbox.publish(service.db, "t", b"x")
        await service.until_empty()
    assert recorder.got == [b"x"]


async def test_messages_without_a_key_do_not_wait_for_each_other(
    start_sqlite: Start, recorder: Recorder, recording: Any
) -> None:
    recorder.refuse = lambda body: RuntimeError("no") if body == b"bad" else None
    async with start_sqlite(broker=recording, attempts=10**6) as service:
        async with service.db.transaction() as session:
            for body in (b"bad", b"1", b"2"):
                await service.outbox.publish(session, "t", body)
        while len(await service.ids()) > 1:
            await anyio.sleep(0.005)
        assert sorted(recorder.got) == [b"1", b"2"]


async def test_many_keys_that_wait_are_in_nobodys_way(
    start_sqlite: Start, recorder: Recorder, recording: Any
) -> None:
    recorder.refuse = lambda body: RuntimeError("no") if body.startswith(b"bad") else None
    async with start_sqlite(broker=recording, attempts=10**6, batch=8) as service:
        async with service.db.transaction() as session:
            for number in range(64):
                for body in (b"bad", b"behind"):
                    await service.outbox.publish(session, "t", body, key=f"b{number}")
            for number in range(64):
                await service.outbox.publish(session, "t", b"good", key=f"g{number}")
        while len(recorder.got) < 64:
            await anyio.sleep(0.005)
        assert set(recorder.got) == {b"good"}


async def test_what_is_dead_can_be_removed(
    start: Start, recorder: Recorder, recording: Any
) -> None:
    recorder.refuse = lambda body: BrokerLimitError("no")
    async with start(broker=recording, attempts=1) as service:
        for number in range(5):
            topic = "a" if number % 2 else "b"
            await service.outbox.publish(service.db, topic, b"%d" % number)
        await dead(service, 5)
        ids = await service.ids()
        assert await purge(service.db, ["nothing"]) == 0
        assert await purge(service.db, ids[:1]) == 1
        assert await purge(service.db, ids, topic="a") == 2
        assert await purge(service.db) == 2
        assert await service.ids() == []
