"""Transfers between two databases in a process that may be killed, and whether they are whole.

Run as a program it moves amounts between accounts of a shop on PostgreSQL and a bank on MariaDB, by
two-phase commit, from several tasks, until it is killed. Each move is noted in both databases; its id is
printed once it is committed.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import anyio
import psycopg
from services import mariadb
from services.pair import BANK, SHOP, STOCK, TAKE, Pair

from covet_kernel.contracts import SqlError
from covet_twophase import TWO_PHASE, TwoPhase

TASKS = 4
NOTES = "CREATE TABLE moves (id VARCHAR(32) PRIMARY KEY)"
NOTE = "INSERT INTO moves VALUES (?)"


def prepare(pair: Pair) -> None:
    """The table of moves, empty, and full accounts."""
    pair.refill()
    with psycopg.connect(pair.shop, autocommit=True) as client:
        client.execute(b"DROP TABLE IF EXISTS moves")
        client.execute(NOTES.encode())
    mariadb.run(pair.bank, "DROP TABLE IF EXISTS moves", f"{NOTES} ENGINE=InnoDB")


async def move(two_phase: TwoPhase) -> str:
    """Move something, one way or the other; the move's id."""
    name, amount = token_hex(16), random.randint(-5, 5)
    account = random.randint(1, 2)
    async with two_phase.transaction() as tx:
        shop = await tx.session(SHOP)
        await shop.execute(NOTE, (name,))
        await shop.execute(TAKE, (amount, account))
        bank = await tx.session(BANK)
        await bank.execute(NOTE, (name,))
        await bank.execute(TAKE, (-amount, account))
    return name


async def work(pair: Pair) -> None:
    """Move until the end."""
    async with pair.kernel() as kernel:
        two_phase = kernel.require(TWO_PHASE)

        async def mover() -> None:
            while True:
                try:
                    name = await move(two_phase)
                except SqlError:
                    # A server is down, an account is empty, or another was in the way.
                    await anyio.sleep(0.01)
                else:
                    os.write(1, f"{name}\n".encode())

        async with anyio.create_task_group() as tasks:
            for _ in range(TASKS):
                tasks.start_soon(mover)


class Mover:
    """Such a process.

    Attributes:
        done: The ids of what it has committed, known when it has been killed.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.done: set[str] = set()

    def wait(self) -> None:
        """Until it has committed something."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "it ended by itself"
        self.done.add(line.decode().strip())

    def kill(self) -> None:
        """At whatever it is doing."""
        assert self._process.stdout is not None
        assert self._process.poll() is None, "it ended by itself"
        self._process.kill()
        # The last line may be cut short: that move was committed all the same, and is not counted on.
        lines = self._process.stdout.read().decode().split("\n")[:-1]
        self.done.update(lines)
        self._process.wait()


@contextmanager
def moving(pair: Pair, backend: str) -> Iterator[Mover]:
    """A process that moves, for the block."""
    order = json.dumps([str(pair.folder), pair.shop, pair.bank, backend])
    tests = Path(__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-m", "soak.movers", order],
        env={**os.environ, "PYTHONPATH": str(tests)},
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield Mover(process)
        finally:
            process.kill()


def recover(pair: Pair, backend: str) -> None:
    """Start the service anew, and wait until nothing is in doubt."""

    async def main() -> None:
        async with pair.coordinator() as coordinator:
            await pair.resolved(coordinator)

    anyio.run(main, backend=backend)


def audit(pair: Pair, promised: set[str]) -> int:
    """See that every move is on both sides or on neither; how many there are."""
    with psycopg.connect(pair.shop) as client:
        shop = {row[0] for row in client.execute(b"SELECT id FROM moves").fetchall()}
    bank = {row[0] for row in mariadb.run(pair.bank, "SELECT id FROM moves")}
    assert shop == bank
    assert promised <= shop
    for account in (1, 2):
        assert sum(pair.amounts(account)) == 2 * STOCK
    return len(shop)


def soaked(
    pair: Pair,
    unfinished: Callable[[], bool],
    disturb: Callable[[Mover], object],
) -> dict[str, int]:
    """Move, disturb, kill and recover until it is enough; what came of it, in numbers."""
    promised: set[str] = set()
    rounds = moves = 0
    while unfinished() or not rounds:
        backends = ["asyncio", "trio"]
        random.shuffle(backends)
        with moving(pair, backends[0]) as mover:
            mover.wait()
            disturb(mover)
            mover.kill()
        promised |= mover.done
        recover(pair, backends[1])
        rounds, moves = rounds + 1, audit(pair, promised)
    return {"kills": rounds, "promised": len(promised), "kept": moves}


if __name__ == "__main__":
    place, shop_url, bank_url, loop = json.loads(sys.argv[1])
    anyio.run(work, Pair(Path(place), shop_url, bank_url), backend=loop)
