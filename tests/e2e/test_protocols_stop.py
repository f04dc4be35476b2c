"""Stop and reload with calls in flight over HTTP, topics and framed TCP at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from e2e.protocols.bed import TRANSPORTS, Bed, assembly, bed, until
from operations_testbed.cases import EMMA, ORDER, forever
from operations_testbed.client import Refused

from covet_kernel.contracts import SQL

pytestmark = pytest.mark.usefixtures("server")


async def test_a_stop_answers_what_every_transport_has_accepted(tmp_path: Path) -> None:
    go = anyio.Event()
    orders: list[Any] = []
    streams: list[Any] = []

    async def order(transport: str) -> None:
        line = {"book_id": 1, "quantity": 1}
        data = {"key": transport, "lines": [line]}
        orders.append(await made.clients[transport].call("place_order", data, token="ann"))

    async def listen(transport: str) -> None:
        async with made.clients[transport].stream("watch_stock", {"book_id": 2}) as items:
            streams.append([item["id"] async for item in items])

    async def import_all(transport: str) -> None:
        orders.append(await made.clients[transport].upload("import_books", [EMMA], token="ann"))

    async with bed(tmp_path) as made, anyio.create_task_group() as callers:
        made.probe.pause = go.wait
        for transport in TRANSPORTS:
            callers.start_soon(order, transport)
            callers.start_soon(listen, transport)
            callers.start_soon(import_all, transport)
        await made.begun(9)
        await made.probe.reached.wait()
        kernel = made.kernel
        made.stop.set()
        await until(lambda: kernel.state == "draining")
        assert orders == streams == []
        go.set()
    assert kernel.state == "stopped"
    assert streams == [[2, 2, 2]] * 3
    assert sorted(each["key"] for each in orders if "key" in each) == sorted(TRANSPORTS)
    assert [each["count"] for each in orders if "count" in each] == [1, 1, 1]
    async with bed(tmp_path) as made:
        assert await made.orders() == sorted(TRANSPORTS)
        assert await made.stock(1) == 3 - 3 + 3 * 3


async def test_a_reload_waits_for_calls_and_newcomers_wait_for_it(tmp_path: Path) -> None:
    go = anyio.Event()
    streams: list[Any] = []
    editions: list[int] = []

    async def listen(transport: str) -> None:
        async with made.clients[transport].stream("watch_stock", {"book_id": 1}) as items:
            streams.append([item async for item in items])

    async def ask(transport: str) -> None:
        editions.append(await made.clients[transport].call("edition", {}))

    async with bed(tmp_path) as made, anyio.create_task_group() as callers:
        made.probe.pause = go.wait
        for transport in TRANSPORTS:
            callers.start_soon(listen, transport)
        await made.begun(3)
        callers.start_soon(made.kernel.reload, assembly(tmp_path, shop={"edition": 2}))
        await until(lambda: made.kernel.state == "reloading")
        for transport in TRANSPORTS:
            callers.start_soon(ask, transport)
        await anyio.wait_all_tasks_blocked()
        assert streams == editions == []
        go.set()
    assert streams == [[EMMA] * 3] * 3
    assert editions == [2, 2, 2]


async def test_past_the_drain_deadline_callers_are_told_or_served_again(tmp_path: Path) -> None:
    """Connections hear that the service is not there; a message is delivered to the next phase."""
    kernel = {"drain_timeout": 0.1}
    heard: dict[str, Any] = {}

    async def order(transport: str) -> None:
        data = {**ORDER, "key": transport, "lines": []}
        try:
            heard[transport] = await made.clients[transport].call("place_order", data, token="ann")
        except Refused as refused:
            heard[transport] = refused.kind

    async with bed(tmp_path, kernel=kernel) as made, anyio.create_task_group() as callers:
        made.probe.pause = forever
        for transport in TRANSPORTS:
            callers.start_soon(order, transport)
        await made.begun(3)
        await made.kernel.reload(assembly(tmp_path, kernel=kernel, shop={"edition": 2}))
        await until(lambda: len(heard) == 3)
        assert heard == {
            "http": "unavailable",
            "framed": "unavailable",
            "topic": {"key": "topic", "customer": "ann", "copies": 0},
        }
        assert await made.orders() == ["topic"]


class Load:
    """Callers over every transport that never rest.

    Attributes:
        placed: The keys of the orders that were answered.
        answers: How many calls were answered, by transport.
        newest: The edition that answers from now on.
    """

    def __init__(self, made: Bed) -> None:
        self._made = made
        self._numbers: Iterator[int] = count()
        self.placed: list[str] = []
        self.answers = dict.fromkeys(TRANSPORTS, 0)
        self.newest = 1
        self.ended = False

    async def run(self, transport: str) -> None:
        client = self._made.clients[transport]
        while not self.ended:
            newest = self.newest
            assert await client.call("edition", {}) >= newest
            key = f"{transport}-{next(self._numbers)}"
            data = {"key": key, "lines": [{"book_id": 1, "quantity": 1}]}
            assert (await client.call("place_order", data, token="ann"))["key"] == key
            self.placed.append(key)
            async with client.stream("watch_stock", {"book_id": 2}) as items:
                assert [item["id"] async for item in items] == [2, 2, 2]
            with pytest.raises(Refused) as caught:
                await client.call("place_order", data, token="bob")
            assert caught.value.kind == "forbidden"
            self.answers[transport] += 1

    async def more(self, calls: int = 3) -> None:
        """Until every transport has answered that many more."""
        goals = {transport: done + calls for transport, done in self.answers.items()}
        await until(lambda: all(self.answers[each] >= goals[each] for each in goals))


async def test_reloads_under_load_lose_nothing_on_any_transport(tmp_path: Path) -> None:
    async with bed(tmp_path) as made:
        await made.kernel.require(SQL).execute("update books set stock = 100000 where id = 1")
        load = Load(made)
        async with anyio.create_task_group() as callers:
            for transport in TRANSPORTS * 2:
                callers.start_soon(load.run, transport)
            for edition in range(2, 7):
                await load.more()
                # The application alone, and the database with all that stands on it.
                await made.kernel.reload(
                    assembly(tmp_path, shop={"edition": edition}, sqlite={"readers": edition // 2})
                )
                load.newest = edition
                assert made.kernel.phase is not None
                assert made.kernel.phase.number == edition
            await load.more()
            with pytest.raises(ExceptionGroup, match="the former configuration is back"):
                await made.kernel.reload(assembly(tmp_path, sqlite={"path": "nowhere/shop.db"}))
            await load.more()
            load.ended = True
        assert await made.orders() == sorted(load.placed)
        assert await made.stock(1) == 100000 - len(load.placed)
