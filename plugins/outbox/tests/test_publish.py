"""Messages leave with their transaction, in order, with an identifier that stays."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import anyio
import pytest
from pydantic import BaseModel

from covet_kernel.contracts import BrokerLimitError
from covet_outbox import MESSAGE_ID

Start = Any


async def test_what_is_committed_is_published_and_what_is_not_is_not(start: Start) -> None:
    async with start() as service, service.broker.subscribe("orders") as messages:
        with pytest.raises(RuntimeError, match="undone"):
            async with service.db.transaction() as session:
                await service.outbox.publish(session, "orders", b"never", key="a")
                raise RuntimeError("undone")
        async with service.db.transaction() as session:
            identifier = await service.outbox.publish(
                session, "orders", b"\0body", key="a", headers={"x": "ü"}
            )
        message = await anext(messages)
        assert (message.topic, message.key, message.body) == ("orders", "a", b"\0body")
        assert message.headers == {"x": "ü", MESSAGE_ID: identifier}
        assert UUID(identifier).version == 7
        await message.ack()
        await service.until_empty()


async def test_a_key_keeps_its_order(start: Start) -> None:
    count = 60
    async with start(workers=4) as service, service.broker.subscribe("t", group="g") as messages:
        for number in range(0, count, 6):
            async with service.db.transaction() as session:
                for each in range(number, number + 6):
                    await service.outbox.publish(session, "t", b"%d" % each, key=f"k{each % 5}")
        got: dict[str, list[int]] = {}
        for _ in range(count):
            message = await anext(messages)
            got.setdefault(message.key, []).append(int(message.body))
            await message.ack()
        assert got == {f"k{key}": list(range(key, count, 5)) for key in range(5)}
        await service.until_empty()


async def test_several_processes_share_the_work_and_keep_the_order(start: Start) -> None:
    count, got = 40, []
    async with start(relay=False) as publisher:
        for number in range(count):
            await publisher.outbox.publish(publisher.db, "t", {"n": number}, key=f"k{number % 7}")

    class Collected:
        """One broker for both kernels."""

        async def publish(self, topic: str, body: bytes, **more: Any) -> None:
            await anyio.lowlevel.checkpoint()
            got.append((more["key"], body, more["headers"][MESSAGE_ID]))

    from covet_kernel.contracts import BROKER
    from covet_kernel.testing import fake_plugin

    broker = fake_plugin(provides={BROKER: Collected()})
    async with start(broker=broker) as one, start(broker=broker):
        await one.until_empty()
    assert len({identifier for _, _, identifier in got}) == len(got) == count
    for key in range(7):
        bodies = [body for name, body, _ in got if name == f"k{key}"]
        assert bodies == [b'{"n":%d}' % number for number in range(key, count, 7)]


async def test_what_waits_when_the_service_stops_is_published_by_the_next(start: Start) -> None:
    async with start(relay=False) as service:
        await service.outbox.publish(service.db, "t", b"1")
        assert len(await service.ids()) == 1
    async with start() as service, service.broker.subscribe("t"):
        await service.until_empty()


async def test_a_stop_publishes_what_is_committed(start_sqlite: Start) -> None:
    got: list[bytes] = []

    class Slow:
        async def publish(self, topic: str, body: bytes, **more: Any) -> None:
            await anyio.sleep(0.001)
            got.append(body)

    from covet_kernel.contracts import BROKER
    from covet_kernel.testing import fake_plugin

    async with start_sqlite(broker=fake_plugin(provides={BROKER: Slow()}), batch=4) as service:
        async with service.db.transaction() as session:
            for number in range(50):
                await service.outbox.publish(session, "t", b"%d" % number, key="k")
    assert got == [b"%d" % number for number in range(50)]


async def test_payloads_are_bytes_or_json(start_sqlite: Start) -> None:
    class Order(BaseModel):
        id: int

    cases: list[tuple[Any, bytes, bool]] = [
        (b"raw", b"raw", False),
        (bytearray(b"raw"), b"raw", False),
        (memoryview(b"raw"), b"raw", False),
        ({"a": 1}, b'{"a":1}', True),
        (Order(id=3), b'{"id":3}', True),
        ("text", b'"text"', True),
        (None, b"null", True),
    ]
    async with start_sqlite() as service, service.broker.subscribe("t") as messages:
        for payload, body, json in cases:
            await service.outbox.publish(service.db, "t", payload)
            message = await anext(messages)
            assert message.body == body
            assert (message.headers.get("content-type") == "application/json") is json
            await message.ack()
        await service.outbox.publish(service.db, "t", {}, headers={"Content-Type": "x/y"})
        assert "content-type" not in (await anext(messages)).headers


@pytest.mark.parametrize(
    ("topic", "payload", "more", "error"),
    [
        ("", b"", {}, ValueError),
        ("t\0", b"", {}, ValueError),
        ("\ud800", b"", {}, ValueError),
        ("t" * 256, b"", {}, BrokerLimitError),
        (b"t", b"", {}, TypeError),
        ("t", b"", {"key": "k" * 513}, BrokerLimitError),
        ("t", b"", {"key": "ü" * 257}, BrokerLimitError),
        ("t", b"", {"key": "a\0"}, ValueError),
        ("t", b"x" * 1001, {}, BrokerLimitError),
        ("t", object(), {}, ValueError),
        ("t", b"", {"headers": {"Message-ID": "mine"}}, ValueError),
        ("t", b"", {"headers": {"": "x"}}, ValueError),
        ("t", b"", {"headers": {"x": "a\0"}}, ValueError),
        ("t", b"", {"headers": {"x": 1}}, TypeError),
        ("t", b"", {"headers": {f"h{n}": "" for n in range(65)}}, BrokerLimitError),
        ("t", b"", {"headers": {"x": "y" * 1000}}, BrokerLimitError),
    ],
)
async def test_what_cannot_be_sent_is_refused_where_it_is_published(
    start_sqlite: Start, topic: Any, payload: Any, more: dict[str, Any], error: type[Exception]
) -> None:
    async with start_sqlite(relay=False, message_bytes=1000) as service:
        with pytest.raises(error):
            await service.outbox.publish(service.db, topic, payload, **more)
        assert await service.ids() == []


async def test_a_commit_that_comes_late_is_found_soon(start_sqlite: Start) -> None:
    # The poll alone would take longer than the test may.
    async with start_sqlite(poll=1000) as service, service.broker.subscribe("t") as messages:
        async with service.db.transaction() as session:
            await service.outbox.publish(session, "t", b"1")
            for _ in range(20):
                await anyio.sleep(0.001)
        assert (await anext(messages)).body == b"1"


async def test_postgresql_wakes_the_relay_of_another_process(start_postgres: Start) -> None:
    from covet_kernel.contracts import BROKER
    from covet_kernel.testing import fake_plugin

    got = anyio.Event()

    class Heard:
        async def publish(self, topic: str, body: bytes, **more: Any) -> None:
            got.set()

    broker = fake_plugin(provides={BROKER: Heard()})
    async with start_postgres(relay=False) as publisher, start_postgres(broker=broker, poll=1000):
        await publisher.outbox.publish(publisher.db, "t", b"1")
        await got.wait()
