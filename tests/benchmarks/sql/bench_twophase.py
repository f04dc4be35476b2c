"""A transfer from PostgreSQL to MariaDB by two-phase commit, against two plain transactions.

Both change one row on each side. The plain one commits on the one database and then on the other, which is
what a service does that lives with the gap between them. Servers force what they write to the disk, and so
does the coordinator's log. What is counted for a transfer: the client's CPU time, and its share of the
whole time, one after the other and with 16 at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import anyio
import psycopg
from benchmarks.measure import Comparison, interleaved, report
from services import mariadb, postgres
from services.pair import BANK, SHOP, Pair

from covet_kernel import Kernel
from covet_twophase import TWO_PHASE

ACCOUNTS = 1000
TRANSFERS = 320
TASKS = 16
ROUNDS = 7
ADD = "UPDATE accounts SET amount = amount + 1 WHERE id = ?"

Transfer = Callable[[Kernel, int], Awaitable[None]]


async def two_phase(kernel: Kernel, account: int) -> None:
    async with kernel.require(TWO_PHASE).transaction() as tx:
        await (await tx.session(SHOP)).execute(ADD, (account,))
        await (await tx.session(BANK)).execute(ADD, (account,))


async def plain(kernel: Kernel, account: int) -> None:
    for each in (SHOP, BANK):
        async with kernel.require(each).transaction() as session:
            await session.execute(ADD, (account,))


def run(
    transfer: Transfer, backend: str, pair: Pair, tasks: int, clock: Callable[[], float]
) -> float:
    """Microseconds for a transfer."""

    async def some(kernel: Kernel, first: int) -> None:
        for number in range(TRANSFERS // tasks):
            await transfer(kernel, first + tasks * number + 1)

    async def main() -> float:
        async with pair.kernel() as kernel:
            await transfer(kernel, 1)
            begun = clock()
            async with anyio.create_task_group() as group:
                for task in range(tasks):
                    group.start_soon(some, kernel, task)
            return (clock() - begun) / TRANSFERS * 1e6

    return anyio.run(main, backend=backend)


def fill(pair: Pair) -> None:
    table = "CREATE TABLE accounts (id INTEGER PRIMARY KEY, amount INTEGER)"
    with psycopg.connect(pair.shop, autocommit=True) as client:
        client.execute(table.encode())
        client.execute(
            f"INSERT INTO accounts SELECT n, 0 FROM generate_series(1, {ACCOUNTS}) n".encode()
        )
    mariadb.run(pair.bank, table, f"INSERT INTO accounts SELECT seq, 0 FROM seq_1_to_{ACCOUNTS}")


def main() -> None:
    shop_server = postgres.own_server(
        ("max_prepared_transactions", "64"), ("fsync", "on"), ("synchronous_commit", "on")
    )
    bank_server = mariadb.own_server(("innodb-flush-log-at-trx-commit", "1"))
    with shop_server as shop, bank_server as bank, tempfile.TemporaryDirectory() as folder:
        mariadb.run(bank.url, "CREATE DATABASE bank")
        pair = Pair(Path(folder), shop.url, mariadb.with_database(bank.url, "bank"))
        fill(pair)
        for title, tasks, clock in (
            ("CPU time of the client, one after the other", 1, process_time),
            ("time, one after the other", 1, perf_counter),
            (f"time, {TASKS} at once", TASKS, perf_counter),
        ):
            rivals = {
                f"{name}, {backend}": partial(run, transfer, backend, pair, tasks, clock)
                for backend in ("asyncio", "trio")
                for name, transfer in (("two-phase", two_phase), ("plain", plain))
            }
            comparisons = [
                Comparison(f"{backend}", f"two-phase, {backend}", f"plain, {backend}", 3.0)
                for backend in ("asyncio", "trio")
            ]
            report(title, interleaved(rivals, ROUNDS), comparisons, unit="us")


if __name__ == "__main__":
    main()
