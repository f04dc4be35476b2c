"""A saga is one worker's; who has lost it records nothing."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from covet_kernel.testing import cancel_at_every_await
from covet_sagas import Saga, Step

Start = Any
Script = Any


async def free(service: Any) -> None:
    """As if every lease were over."""
    await service.db.execute("UPDATE covet_sagas SET due = 0")


async def test_a_stolen_lease_records_nothing(hand: Any, start: Start, script: Script) -> None:
    async def effect(attempt: Any) -> None:
        await attempt.session.execute("INSERT INTO effects VALUES (1)")
        if script.calls == ["steal"]:
            script.calls.clear()
            other.set()
            await stolen.wait()

    saga = Saga(
        "stolen", list[str], Step("one", script.act("one")), Step("two", effect, local=True)
    )
    other, stolen = anyio.Event(), anyio.Event()
    async with start(run=False) as service:
        sqlite = service.db.dialect == "sqlite"
        await service.db.execute("CREATE TABLE effects (n INTEGER)")
        identifier = await service.start(saga, [])
        slow = hand(service, saga)

        # Not local: taken over between the step and its record.
        runner = await slow.take()
        assert runner is not None
        assert await hand(service, saga).take() is None
        await free(service)
        thief = await hand(service, saga).take()
        assert thief is not None
        await runner.work(anyio.Event())
        assert slow.counts.lost == 1
        assert await service.log(identifier) == [("started", "one", 0)]

        # Local: the effect goes with the record. SQLite has one writer, so nobody can come between.
        if not sqlite:
            await free(service)
            await service.db.execute("UPDATE covet_sagas SET step = 'two'")
            script.calls[:] = ["steal"]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(slow.work)
                await other.wait()
                await free(service)
                assert await hand(service, saga).take() is not None
                stolen.set()
            assert slow.counts.lost == 2
            assert await service.db.fetch_value("SELECT count(*) AS n FROM effects") == 0
        await free(service)
        await hand(service, saga).work()
        assert (await service.sagas.status(service.db, identifier)).state == "done"
        assert await service.db.fetch_value("SELECT count(*) AS n FROM effects") == 1


async def test_who_is_robbed_is_stopped(hand: Any, start_sqlite: Start) -> None:
    begun = anyio.Event()

    async def hang(attempt: Any) -> None:
        begun.set()
        await anyio.sleep_forever()

    saga = Saga("hang", list[str], Step("hang", hang, timeout=1000))
    async with start_sqlite(run=False) as service:
        await service.start(saga, [])
        one = hand(service, saga, lease=0.5)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.work)
            await begun.wait()
            await service.db.execute("UPDATE covet_sagas SET fence = fence + 1")
        assert one.counts.lost == 1


async def test_who_cannot_renew_stops_in_time(
    hand: Any, start_sqlite: Start, caplog: pytest.LogCaptureFixture
) -> None:
    begun = anyio.Event()

    async def hang(attempt: Any) -> None:
        begun.set()
        await anyio.sleep_forever()

    saga = Saga("hang", list[str], Step("hang", hang, timeout=1000))
    async with start_sqlite(run=False) as service:
        await service.start(saga, [])
        one = hand(service, saga, lease=0.5)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.work)
            await begun.wait()
            await service.db.execute("ALTER TABLE covet_sagas RENAME TO hidden")
        await service.db.execute("ALTER TABLE hidden RENAME TO covet_sagas")
        assert one.counts.lost == 1


async def test_a_lease_is_renewed(hand: Any, start_sqlite: Start) -> None:
    begun = anyio.Event()

    async def hang(attempt: Any) -> None:
        begun.set()
        await anyio.sleep_forever()

    saga = Saga("hang", list[str], Step("hang", hang, timeout=1000))
    async with start_sqlite(run=False) as service:
        await service.start(saga, [])
        query = "SELECT due FROM covet_sagas"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hand(service, saga, lease=1).work)
            await begun.wait()
            before = await service.db.fetch_value(query)
            while await service.db.fetch_value(query) <= before:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()


async def test_cancelled_at_every_await_it_goes_on_later(
    hand: Any, start: Start, script: Script
) -> None:
    async def effect(attempt: Any) -> None:
        await attempt.session.execute("INSERT INTO effects VALUES (1)")

    saga = Saga(
        "cut",
        list[str],
        Step("one", script.act("one"), attempts=1000),
        Step("two", effect, local=True, attempts=1000),
        Step("three", script.act("three"), attempts=1000),
    )
    async with start(run=False) as service:
        await service.db.execute("CREATE TABLE effects (n INTEGER)")
        count = 0
        identifier = await service.start(saga, [])

        async def work() -> None:
            await hand(service, saga).work()

        async def check() -> None:
            nonlocal identifier, count
            await free(service)
            status = await service.sagas.status(service.db, identifier)
            if status.state == "done":
                count += 1
                identifier = await service.start(saga, [])
            assert status.state in ("running", "done")
            done = await service.db.fetch_value("SELECT count(*) AS n FROM effects")
            assert done - count in (0, 1)

        assert await cancel_at_every_await(work, check=check) > 4
        assert count >= 1
        # In order, each perhaps several times.
        assert script.calls[0] == "one"
        assert script.calls[-1] == "three"


async def test_a_crash_counts_as_an_attempt(hand: Any, start_sqlite: Start, script: Script) -> None:
    saga = Saga(
        "crash",
        list[str],
        Step("one", script.act("one"), undo=script.act("-one")),
        Step("two", script.act("two"), undo=script.act("-two"), attempts=2),
    )
    async with start_sqlite(run=False) as service:
        identifier = await service.start(saga, [])
        await service.db.execute("UPDATE covet_sagas SET step = 'two'")
        for _ in range(2):
            assert await hand(service, saga).take() is not None  # and then the process ends
            await free(service)
        await hand(service, saga).work()
        status = await service.sagas.status(service.db, identifier)
        assert (status.state, status.error) == ("undone", "the process ended at every attempt")
        assert script.calls == ["-two", "-one"]
        # The same while it is undone: somebody has to look.
        await service.db.execute("UPDATE covet_sagas SET state = 1, step = 'one', attempts = 3")
        await free(service)
        await hand(service, saga, undo_attempts=2).work()
        assert (await service.sagas.status(service.db, identifier)).state == "parked"
