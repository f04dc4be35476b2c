"""Buckets move to and fro between servers, under writers, and their movers are killed at any moment."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from services import mariadb, postgres
from soak.conftest import Unfinished

from covet_kernel.contracts import SqlDatabase, SqlSession
from covet_kernel.testing import run_kernel
from covet_mysql import Mysql
from covet_operations import Operations
from covet_postgres import Postgres
from covet_sharding import SHARDS, Sharding, Shards
from covet_sql import run_transaction, uuid7

CUSTOMERS = range(40)
CREATE = "CREATE TABLE accounts (id VARCHAR(40) PRIMARY KEY, customer BIGINT NOT NULL, balance BIGINT NOT NULL)"
MOVE = "UPDATE accounts SET balance = balance + ? WHERE id = ?"
PLUGINS = {"postgres": Postgres, "mysql": Mysql}


async def transfer(shards: Shards, accounts: dict[int, list[str]], counted: list[int]) -> None:
    """Move money between two accounts of one customer, and open and close accounts that hold none."""
    customer = random.choice(CUSTOMERS)
    one, other = random.sample(accounts[customer], 2)
    amount = random.randrange(1, 50)

    async def work(session: SqlSession) -> None:
        await session.execute(MOVE, (-amount, one))
        await session.execute(MOVE, (amount, other))

    await run_transaction(shards.of(customer), work)
    counted[0] += 1


async def total(database: SqlDatabase) -> tuple[int, int]:
    row = await database.fetch_one("SELECT count(*) AS n, sum(balance) AS s FROM accounts")
    assert row is not None
    return int(row["n"]), int(row["s"] or 0)


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
async def test_totals_stay_while_buckets_move(
    kind: str, tmp_path: Path, unfinished: Unfinished
) -> None:
    if kind == "postgres":
        with postgres.fresh_database() as a, postgres.fresh_database() as b:
            await _run(kind, tmp_path, {"a": a, "b": b}, unfinished)
        return
    mariadb.skip_without_mariadb()
    urls = {n: mariadb.with_database(mariadb.server_url(), f"covet_soak_{n}") for n in "ab"}
    for name in urls:
        drop = f"DROP DATABASE IF EXISTS covet_soak_{name}"
        mariadb.run(mariadb.server_url(), drop, f"CREATE DATABASE covet_soak_{name}")
    await _run(kind, tmp_path, urls, unfinished)


async def _run(kind: str, folder: Path, urls: dict[str, str], unfinished: Unfinished) -> None:
    sharding = {
        "shards": ["a", "b"], "home": "a", "buckets": 8, "map_lifetime": 0.3, "refresh": 0.1, "write_wait": 30,
        "tables": [{"name": "accounts", "key": "customer"}],
    }  # fmt: skip
    lines = [f'[plugins."{kind}/{name}"]\nurl = "{url}"' for name, url in urls.items()]
    lines.append(
        '[plugins.sharding]\nshards = ["a", "b"]\nhome = "a"\nbuckets = 8\nmap_lifetime = 0.3\n'
        'tables = [{ name = "accounts", key = "customer" }]\n'
    )
    (folder / "covet.toml").write_text("\n".join(lines), "utf-8")
    tables: dict[str, Any] = {
        **{f"{kind}/{name}": {"url": url} for name, url in urls.items()},
        "sharding": sharding,
    }
    classes = {kind: PLUGINS[kind], "sharding": Sharding, "operations": Operations}
    accounts: dict[int, list[str]] = {}
    counted = [0]
    async with run_kernel(classes, tables, directory=folder) as kernel:
        shards = kernel.require(SHARDS)
        for name in shards.names:
            await shards.shard(name).execute(CREATE)
        for customer in CUSTOMERS:
            accounts[customer] = [str(uuid7()) for _ in range(4)]
            await shards.of(customer).execute_many(
                "INSERT INTO accounts VALUES (?, ?, 100)",
                [(each, customer) for each in accounts[customer]],
            )

        async def write() -> None:
            while True:
                await transfer(shards, accounts, counted)

        kills = moves = 0
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(write)
            while unfinished():
                source, target = ("a", "b") if moves % 2 == 0 else ("b", "a")
                moves += 1
                words = ["move", "--all", "--from", source, "--to", target]
                while True:
                    killed = await anyio.to_thread.run_sync(_mover, folder, words)
                    if not killed:
                        break
                    kills += 1
                    before = counted[0]
                    with anyio.fail_after(120):
                        while counted[0] < before + 20:
                            await anyio.sleep(0.05)
                    words = ["resume"]
            tasks.cancel_scope.cancel()
        found = [await total(shards.shard(name)) for name in shards.names]
        assert sum(n for n, _ in found) == 4 * len(CUSTOMERS), found
        assert sum(s for _, s in found) == 400 * len(CUSTOMERS), found
        print(f"{kind}: {moves} moves, {kills} kills, {counted[0]} transfers")


def _mover(folder: Path, words: list[str]) -> bool:
    """Run a mover, and kill it after a random time or not at all; whether it was."""
    command = [str(Path(sys.executable).with_name("covet")), "shards", *words]
    mover = subprocess.Popen(
        [*command, "-c", str(folder / "covet.toml")], stdout=subprocess.DEVNULL
    )
    try:
        code = mover.wait(random.choice([0.5, 1, 1.5, 2, 3, 4, 6, 300]))
    except subprocess.TimeoutExpired:
        mover.send_signal(signal.SIGKILL)
        mover.wait()
        return True
    # An attempt whose move was begun before it was killed, or that found nothing, ends as well.
    assert code in (0, 2), code
    return False
