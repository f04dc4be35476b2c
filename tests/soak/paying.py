"""A process that moves money between accounts: by an outbox and an inbox, and by sagas, until it is killed.

Arguments: the plugin of the database, its table as JSON, a folder, the event loop, and ``work`` or
``settle``; the latter begins nothing, and ends when everything that was begun has arrived.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from covet_kernel import Context, Plugin
from covet_kernel.contracts import BROKER, SQL, Capability, SqlConflictError, SqlDatabase
from covet_kernel.testing import fake_plugin, run_kernel
from covet_mysql import Mysql
from covet_outbox import INBOX, MESSAGE_ID, OUTBOX, Inbox, Outbox, OutboxPlugin
from covet_postgres import Postgres
from covet_sagas import SAGAS, Attempt, RefusedError, Saga, Sagas, SagasPlugin, Step
from covet_sql import run_transaction
from covet_sqlite import Sqlite

DATABASES: Mapping[str, type[Plugin[Any]]] = {
    "sqlite": Sqlite,
    "postgres": Postgres,
    "mysql": Mysql,
}
ACCOUNTS = 8
TOPIC = "credits"
CHANGE = "UPDATE accounts SET balance = balance + ? WHERE id = ?"


class Line:
    """A message, read from the file."""

    topic, attempt = TOPIC, 1

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self.key: str | None = entry["key"]
        self.body: bytes = entry["body"].encode()
        self.headers: Mapping[str, str] = {MESSAGE_ID: entry["id"]}
        self.handled = False

    async def ack(self) -> None:
        self.handled = True

    async def nack(self, *, requeue: bool = True) -> None:
        assert requeue


class FileBroker:
    """Keeps all it ever accepted in a file, and delivers all of it again to whoever comes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def publish(
        self,
        topic: str,
        body: bytes,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        await anyio.lowlevel.checkpoint()
        assert topic == TOPIC
        entry = {"key": key, "body": body.decode(), "id": (headers or {})[MESSAGE_ID]}
        # A line that a kill has cut off ends with the next one, and is none.
        with self._path.open("ab", buffering=0) as file:
            file.write(f"\n{json.dumps(entry)}\n".encode())

    def lines(self, start: int) -> tuple[list[Line], int]:
        """The messages behind a position of the file, and where the last of them ends."""
        with self._path.open("rb") as file:
            file.seek(start)
            text, _, _ = file.read().rpartition(b"\n")
        found = []
        for line in text.split(b"\n"):
            try:
                found.append(Line(json.loads(line)))
            except ValueError:
                continue
        return found, start + len(text)


async def pay(db: SqlDatabase, outbox: Outbox) -> None:
    """Take from one account, and have another one credited."""
    source, target = random.sample(range(ACCOUNTS), 2)

    async def debit(session: Any) -> None:
        await session.execute(
            "UPDATE accounts SET balance = balance - 1, sent = sent + 1 WHERE id = ?", (source,)
        )
        number = await session.fetch_value("SELECT sent FROM accounts WHERE id = ?", (source,))
        body = {"to": target, "number": number}
        await outbox.publish(session, TOPIC, body, key=f"{source}")
        if random.random() < 0.1:
            raise RefusedError("rolled back")

    with suppress(RefusedError):
        await run_transaction(db, debit)


async def credit(session: Any, message: Any) -> None:
    await session.execute(CHANGE, (1, json.loads(message.body)["to"]))


async def follow(broker: FileBroker, inbox: Inbox, done: anyio.Event | None) -> None:
    """Credit what comes; with ``done``, say so once there is nothing that was not handled."""
    handle, position = inbox.handler("bank")(credit), 0
    while True:
        lines, position = broker.lines(position)
        for line in lines:
            while not line.handled:
                await handle(line)
        if not lines and done is not None:
            done.set()
        await anyio.sleep(0.02)


async def take(attempt: Attempt[list[int]]) -> None:
    await attempt.session.execute(CHANGE, (-1, attempt.data[0]))


async def put_back(attempt: Attempt[list[int]]) -> None:
    await attempt.session.execute(CHANGE, (1, attempt.data[0]))


class Shop(Plugin[None]):
    """Declares the saga, whose second half is done elsewhere, by a key."""

    requires: tuple[Capability[Any], ...] = (SQL, SAGAS)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._db = ctx.require(SQL)
        yield

    async def _give(self, attempt: Attempt[list[int]]) -> None:
        if attempt.data[1] == 0:
            raise RefusedError("closed")
        if random.random() < 0.2:
            raise RuntimeError("not today")

        async def once(session: Any) -> None:
            new = await session.execute(
                "INSERT INTO given (id) SELECT ? FROM accounts WHERE id = 0"
                " AND NOT EXISTS (SELECT 1 FROM given WHERE id = ?)",
                (attempt.key, attempt.key),
            )
            if new:
                await session.execute(CHANGE, (1, attempt.data[1]))

        await run_transaction(self._db, once)

    async def _take_back(self, attempt: Attempt[list[int]]) -> None:
        key = attempt.key.removesuffix(":undo")

        async def once(session: Any) -> None:
            # Taken away for good: an attempt that comes late finds its key used.
            gave = await session.fetch_value("SELECT count(*) AS n FROM given WHERE id = ?", (key,))
            if gave:
                undone = await session.execute(
                    "UPDATE given SET undone = 1 WHERE id = ? AND undone = 0", (key,)
                )
                if undone:
                    await session.execute(CHANGE, (-1, attempt.data[1]))
            else:
                await session.execute("INSERT INTO given (id, undone) VALUES (?, 1)", (key,))

        await run_transaction(self._db, once)

    @property
    def saga(self) -> Saga[list[int]]:
        """Take here, give there."""
        return Saga(
            "pay",
            list[int],
            Step("take", take, undo=put_back, local=True, attempts=1000),
            Step("give", self._give, undo=self._take_back, attempts=4),
        )

    def covet_saga_types(self) -> Iterable[Saga[Any]]:
        return [self.saga]


async def begin(db: SqlDatabase, outbox: Outbox, sagas: Sagas, saga: Saga[list[int]]) -> None:
    """Pay one way or the other, for ever."""
    while True:
        try:
            await pay(db, outbox)
            await run_transaction(db, partial(start, sagas, saga))
        except SqlConflictError:
            continue
        await anyio.sleep(random.uniform(0, 0.01))


async def start(sagas: Sagas, saga: Saga[list[int]], session: Any) -> None:
    await sagas.start(session, saga, random.sample(range(ACCOUNTS), 2))


async def settled(db: SqlDatabase) -> bool:
    left = await db.fetch_value("SELECT count(*) AS n FROM covet_outbox")
    return not left and not await db.fetch_value(
        "SELECT count(*) AS n FROM covet_sagas WHERE state NOT IN (2, 3)"
    )


async def main(kind: str, table: str, folder: str, settling: bool) -> None:
    broker = FileBroker(Path(folder, "messages"))
    classes = {
        kind: DATABASES[kind],
        "broker": fake_plugin(provides={BROKER: broker}),
        "outbox": OutboxPlugin,
        "sagas": SagasPlugin,
        "shop": Shop,
    }
    quick = {"lease": 2.0, "poll": 0.05, "first_wait": 0.02, "longest_wait": 0.2}
    tables = {
        kind: json.loads(table),
        "outbox": {**quick, "attempts": 10**6},
        "sagas": {**quick, "undo_attempts": 10**6},
    }
    async with run_kernel(classes, tables, directory=Path(folder)) as kernel:
        db, inbox = kernel.require(SQL), kernel.require(INBOX)
        shop = kernel.assembly.nodes["shop"].plugin
        assert isinstance(shop, Shop)
        print("up", flush=True)
        async with anyio.create_task_group() as tasks:
            if settling:
                done = anyio.Event()
                while not await settled(db):
                    await anyio.sleep(0.05)
                tasks.start_soon(follow, broker, inbox, done)
                await done.wait()
                tasks.cancel_scope.cancel()
            else:
                tasks.start_soon(follow, broker, inbox, None)
                await begin(db, kernel.require(OUTBOX), kernel.require(SAGAS), shop.saga)


if __name__ == "__main__":
    kind, table, folder, backend, what = sys.argv[1:]
    random.seed(os.urandom(8))
    anyio.run(main, kind, table, folder, what == "settle", backend=backend)
