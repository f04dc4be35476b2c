"""What it takes to relay a message from PostgreSQL to a broker, against a poller written by hand.

The outbox is filled, and the relay publishes all of it to the same broker in memory, which has a group that
nobody reads from, with room for everything. The rival is what one writes oneself on psycopg: it locks a
batch with `FOR UPDATE SKIP LOCKED`, publishes, deletes and commits. It has no order per key among several
processes, no attempts, no dead letters and no metrics.

What is counted is the client's processor time per message, publishing in the broker included, and beside it
what the broker takes of that; and the same for storing a message, against an INSERT of the same row.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from functools import partial
from time import process_time
from typing import Any

import anyio
import psycopg
from benchmarks.measure import Comparison, interleaved, report
from services import postgres

from covet_kernel.contracts import BROKER, SQL, Broker
from covet_kernel.testing import run_kernel
from covet_memory import BrokerConfig, Memory, MemoryBroker
from covet_outbox import OUTBOX, OutboxPlugin
from covet_postgres import Postgres

MESSAGES = 4000
BATCH = 256
BODY = b'{"book": 1, "quantity": 2, "customer": "somebody"}'
ROOM: dict[str, Any] = {"messages": 100_000, "bytes": 1 << 30}

FILL = (
    "INSERT INTO covet_outbox (id, topic, message_key, headers, body, lane, stored)"
    " SELECT gen_random_uuid()::text, 'orders', 'k' || (n %% 1000), '{}', %s, (n %% 1000) %% 32, 0"
    " FROM generate_series(1, %s) n"
)
LOCK = (
    "SELECT position, id, topic, message_key, headers, body FROM covet_outbox"
    " ORDER BY position LIMIT %s FOR UPDATE SKIP LOCKED"
)


def fill(url: str, count: int) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("TRUNCATE covet_outbox")
        admin.execute("UPDATE covet_outbox_lanes SET held_until = 0")
        admin.execute(FILL, (BODY, count))
        admin.execute("VACUUM ANALYZE covet_outbox")


async def relay(url: str) -> float:
    """Microseconds per message, by the plugin, its start and stop left out."""
    tables = {
        "postgres": {"url": url},
        "memory": {"broker": ROOM},
        "outbox": {"batch": BATCH, "poll": 0.01},
    }
    classes = {"postgres": Postgres, "memory": Memory, "outbox": OutboxPlugin}
    async with run_kernel(classes, tables) as kernel:
        broker, db = kernel.require(BROKER), kernel.require(SQL)
        async with broker.subscribe("orders", group="g"):
            while await db.fetch_value("SELECT count(*) FROM covet_outbox"):
                await anyio.sleep(0.05)
            begun = process_time()
            await anyio.to_thread.run_sync(fill, url, MESSAGES)
            while await db.fetch_value("SELECT count(*) FROM covet_outbox"):
                await anyio.sleep(0.05)
            return (process_time() - begun) * 1e6 / MESSAGES


async def by_hand(url: str) -> float:
    """The same by the poller."""
    import json

    broker = MemoryBroker(BrokerConfig(**ROOM))
    async with (
        await psycopg.AsyncConnection.connect(url) as connection,
        broker.subscribe("orders", group="g"),
    ):
        begun = process_time()
        while True:
            cursor = await connection.execute(LOCK, (BATCH,))
            rows = await cursor.fetchall()
            if not rows:
                break
            for _, identifier, topic, key, headers, body in rows:
                named = {**json.loads(headers), "message-id": identifier}
                await broker.publish(topic, bytes(body), key=key, headers=named)
            positions = [row[0] for row in rows]
            await connection.execute(
                "DELETE FROM covet_outbox WHERE position = ANY(%s)", (positions,)
            )
            await connection.commit()
        return (process_time() - begun) * 1e6 / MESSAGES


async def broker_alone(url: str) -> float:
    """What of it is the broker's."""
    broker: Broker = MemoryBroker(BrokerConfig(**ROOM))
    async with broker.subscribe("orders", group="g"):
        begun = process_time()
        for number in range(MESSAGES):
            key, headers = f"k{number % 1000}", {"message-id": f"{number}"}
            await broker.publish("orders", BODY, key=key, headers=headers)
        return (process_time() - begun) * 1e6 / MESSAGES


STORED = 500


async def store(url: str) -> float:
    """Microseconds to store a message in a transaction of its own."""
    classes = {"postgres": Postgres, "outbox": OutboxPlugin}
    tables = {"postgres": {"url": url}, "outbox": {"relay": False}}
    async with run_kernel(classes, tables) as kernel:
        db, outbox = kernel.require(SQL), kernel.require(OUTBOX)
        begun = process_time()
        for _ in range(STORED):
            async with db.transaction() as session:
                await outbox.publish(session, "orders", BODY, key="k")
        return (process_time() - begun) * 1e6 / STORED


async def insert(url: str) -> float:
    """The same row by an INSERT."""
    text = (
        "INSERT INTO covet_outbox (id, topic, message_key, headers, body, lane, stored)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)"
    )
    async with run_kernel({"postgres": Postgres}, {"postgres": {"url": url}}) as kernel:
        db = kernel.require(SQL)
        begun = process_time()
        for number in range(STORED):
            async with db.transaction() as session:
                await session.execute(text, (f"{number}", "orders", "k", "{}", BODY, 1, 0))
        return (process_time() - begun) * 1e6 / STORED


def timed(work: Callable[[str], Awaitable[float]], backend: str, url: str) -> float:
    fill(url, MESSAGES if work is by_hand else 10)
    return anyio.run(work, url, backend=backend)


async def prepare(url: str) -> None:
    classes = {"postgres": Postgres, "outbox": OutboxPlugin}
    async with run_kernel(classes, {"postgres": {"url": url}, "outbox": {"relay": False}}):
        pass


def main(runs: int) -> None:
    with postgres.database() as url:
        anyio.run(prepare, url)
        relays = {
            "covet asyncio": partial(timed, relay, "asyncio", url),
            "covet trio": partial(timed, relay, "trio", url),
            "by hand": partial(timed, by_hand, "asyncio", url),
            "broker alone": partial(timed, broker_alone, "asyncio", url),
        }
        report(
            f"Relaying, processor time per message, batches of {BATCH}",
            interleaved(relays, runs),
            [
                Comparison("asyncio / by hand", "covet asyncio", "by hand", 1.5),
                Comparison("trio / by hand", "covet trio", "by hand", 2.0),
            ],
            unit="us",
        )
        stores = {
            "publish asyncio": partial(timed, store, "asyncio", url),
            "publish trio": partial(timed, store, "trio", url),
            "INSERT": partial(timed, insert, "asyncio", url),
        }
        report(
            "Storing, processor time per transaction",
            interleaved(stores, runs),
            [Comparison("publish / INSERT", "publish asyncio", "INSERT", 1.5)],
            unit="us",
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    main(parser.parse_args().runs)
