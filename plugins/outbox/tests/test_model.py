"""Whatever the broker refuses, and however often: each key is published as the model says."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Any

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from covet_kernel.contracts import SQL, BrokerLimitError
from covet_kernel.testing import run_kernel
from covet_outbox import OutboxConfig
from covet_outbox._outbox import Outbox
from covet_outbox._tables import make_ready
from covet_outbox._worker import Counts, Worker
from covet_sql.queue import Doorbell
from covet_sqlite import Sqlite

ATTEMPTS = 3
messages = st.lists(
    st.tuples(st.sampled_from([None, "a", "b", "c"]), st.integers(0, ATTEMPTS)), max_size=12
)


class Refusing:
    """A broker that refuses each message as often as it says.

    Attributes:
        tried: The messages of every attempt, by their keys.
        got: Those that were accepted.
    """

    def __init__(self, failures: list[int]) -> None:
        self._left = dict(enumerate(failures))
        self.tried: dict[str | None, list[int]] = defaultdict(list)
        self.got: list[int] = []

    async def publish(self, topic: str, body: bytes, *, key: str | None, headers: Any) -> None:
        await anyio.lowlevel.checkpoint()
        number = int(body)
        self.tried[key].append(number)
        if self._left[number]:
            self._left[number] -= 1
            raise BrokerLimitError("no")
        self.got.append(number)


@given(plan=messages, batch=st.integers(1, 8), rounds=st.integers(0, 2))
@settings(deadline=None, max_examples=30)
async def test_each_key_is_published_as_the_model_says(
    plan: list[tuple[str | None, int]], batch: int, rounds: int
) -> None:
    broker: Any = Refusing([failures for _, failures in plan])
    async with run_kernel({"sqlite": Sqlite}, {"sqlite": {"path": ":memory:"}}) as kernel:
        db = kernel.require(SQL)
        await make_ready(db, make=True)
        outbox = Outbox(1000, Doorbell())
        config = OutboxConfig(attempts=ATTEMPTS, batch=batch)
        log = logging.getLogger("covet.test")
        log.setLevel(logging.CRITICAL)
        worker = Worker(db, broker, config, Counts(), log)
        for number, (key, _) in enumerate(plan):
            await outbox.publish(db, "t", b"%d" % number, key=key)
            if number % 3 < rounds:
                await worker.round()
        while await db.fetch_value("SELECT count(*) AS n FROM covet_outbox WHERE state < 2"):
            # As if every wait were over.
            await db.execute("UPDATE covet_outbox SET due = 0")
            await worker.round()
        dead = await db.fetch_all("SELECT body FROM covet_outbox ORDER BY position")
    assert [int(row["body"]) for row in dead] == [
        number for number, (_, failures) in enumerate(plan) if failures >= ATTEMPTS
    ]
    for key in ("a", "b", "c"):
        expected = [
            number
            for number, (own, failures) in enumerate(plan)
            if own == key
            for _ in range(min(failures + 1, ATTEMPTS))
        ]
        assert broker.tried[key] == expected
    accepted = [number for number, (_, failures) in enumerate(plan) if failures < ATTEMPTS]
    assert sorted(broker.got) == accepted
