"""Tables, retention, health, and what shows of the outbox."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

from covet_kernel import ConfigurationError, flatten
from covet_outbox import OutboxConfig
from covet_outbox._janitor import Janitor, look
from covet_outbox._tables import make_ready, schema

Start = Any


async def test_processes_that_start_at_once_make_the_tables_once(start: Start) -> None:
    async with start(relay=False) as service:
        for table in ("covet_outbox", "covet_outbox_lanes", "covet_inbox"):
            await service.db.execute(f"DROP TABLE {table}")
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ready, service.db)
        assert await service.db.fetch_value("SELECT count(*) AS n FROM covet_outbox_lanes") == 32


async def ready(db: Any) -> None:
    await make_ready(db, make=True)


async def test_tables_that_are_expected_are_missed(start_sqlite: Start) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with start_sqlite(tables="expect"):
            raise AssertionError
    (error,) = flatten(caught.value)
    assert isinstance(error, ConfigurationError)
    assert error.code == "COVET-OUTBOX-TABLES"
    async with start_sqlite(relay=False) as service:
        await service.db.execute("DELETE FROM covet_outbox_lanes WHERE lane = 3")
        with pytest.raises(ConfigurationError, match="31 rows"):
            await make_ready(service.db, make=False)
        await make_ready(service.db, make=True)
    async with start_sqlite(tables="expect"):
        pass


async def test_the_statements_of_the_schema_may_run_again(start: Start) -> None:
    async with start(relay=False) as service:
        for statement in schema(service.db.dialect):
            await service.db.execute(statement)


async def test_what_is_kept_for_long_enough_goes(start: Start) -> None:
    async with start(relay=False) as service:
        async with service.db.transaction() as session:
            await session.execute_many(
                "INSERT INTO covet_inbox (consumer, message_id, seen) VALUES (?, ?, ?)",
                [("g", f"m{number}", 1) for number in range(1500)],
            )
            for number in range(3):
                await service.outbox.publish(session, "t", b"%d" % number)
            await session.execute(
                "UPDATE covet_outbox SET state = 2, due = 1 WHERE body = ?", (b"1",)
            )
            await session.execute(
                "UPDATE covet_outbox SET state = 2, due = stored WHERE body = ?", (b"2",)
            )
            await session.execute(
                "INSERT INTO covet_inbox (consumer, message_id, seen)"
                " SELECT 'g', 'new', max(stored) FROM covet_outbox"
            )
        janitor = Janitor(service.db, OutboxConfig(), logging.getLogger("covet.test"))
        # The plugin's own may take a batch as well.
        while await janitor.sweep():
            pass
        left = await service.db.fetch_all("SELECT message_id FROM covet_inbox")
        assert [str(row["message_id"]) in ("new", "b'new'") for row in left] == [True]
        assert len(await service.ids()) == 2


async def test_depth_and_lag_are_measured(start: Start) -> None:
    async with start(relay=False) as service:
        assert vars(await look(service.db)) == {"depth": 0, "dead": 0, "lag": 0.0}
        for number in range(3):
            await service.outbox.publish(service.db, "t", b"%d" % number)
        await service.db.execute(
            "UPDATE covet_outbox SET stored = stored - 90000 WHERE body = ?", (b"0",)
        )
        await service.db.execute("UPDATE covet_outbox SET state = 2 WHERE body = ?", (b"2",))
        found = await look(service.db)
        assert (found.depth, found.dead) == (2, 1)
        assert found.lag >= 90


async def test_a_service_is_not_ready_where_messages_wait_for_too_long(start_sqlite: Start) -> None:
    async with start_sqlite(relay=False, max_lag=60) as service:
        (check,) = (
            each for each in service.kernel.phase.health_checks if each.name == "outbox.lag"
        )
        await service.outbox.publish(service.db, "t", b"")
        await check.check()
        await service.db.execute("UPDATE covet_outbox SET stored = 1")
        with pytest.raises(RuntimeError, match="more than 60"):
            await check.check()


def test_waits_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="first_wait"):
        OutboxConfig(first_wait=2, longest_wait=1)
