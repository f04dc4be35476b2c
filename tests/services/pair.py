"""A shop on PostgreSQL and a bank on MariaDB, with accounts in each that transactions over both change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import psycopg
from services import mariadb

from covet_kernel import Kernel
from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_mysql import Mysql
from covet_postgres import Postgres
from covet_twophase import TWO_PHASE, TwoPhase, TwoPhasePlugin, TwoPhaseTransaction

SHOP, BANK = SQL.named("shop"), SQL.named("bank")
STOCK = 100
TABLE = (
    "CREATE TABLE accounts (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL CHECK (amount >= 0))"
)
FILL = f"INSERT INTO accounts VALUES (1, {STOCK}), (2, {STOCK})"
TAKE = "UPDATE accounts SET amount = amount - ? WHERE id = ?"
Reached = Callable[[str], None]
QUICK = {"interval": 1.0, "retry": 0.02}


async def transfer(two_phase: TwoPhase, amount: int = 1, account: int = 1) -> TwoPhaseTransaction:
    """Move something from the shop to the bank."""
    async with two_phase.transaction() as tx:
        shop = await tx.session(SHOP)
        await shop.execute(TAKE, (amount, account))
        bank = await tx.session(BANK)
        await bank.execute(TAKE, (-amount, account))
    return tx


@dataclass
class Pair:
    """Two databases, looked at with clients that are not covet's.

    Attributes:
        folder: Of the service, with its log.
        shop: The URL of PostgreSQL's.
        bank: Of MariaDB's.
    """

    folder: Path
    shop: str
    bank: str
    config: dict[str, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def kernel(
        self, plugin: type[TwoPhasePlugin] = TwoPhasePlugin, **config: Any
    ) -> AsyncIterator[Kernel]:
        """A service with both."""
        classes = {"postgres": Postgres, "mysql": Mysql, "twophase": plugin}
        table = {"databases": ["shop", "bank"], **QUICK, **self.config, **config}
        tables = {
            "postgres/shop": {"url": self.shop},
            "mysql/bank": {"url": self.bank},
            "twophase": table,
        }
        async with run_kernel(classes, tables, directory=self.folder) as kernel:
            yield kernel

    @asynccontextmanager
    async def coordinator(
        self, reached: Reached | None = None, **config: Any
    ) -> AsyncIterator[Any]:
        """Its coordinator, which calls ``reached`` at each point of the protocol."""
        async with self.kernel(**config) as kernel:
            coordinator: Any = kernel.require(TWO_PHASE)
            if reached is not None:
                coordinator.reached = reached
            yield coordinator

    def fill(self, *, shop: bool = True) -> None:
        """The accounts."""
        if shop:
            with psycopg.connect(self.shop, autocommit=True) as client:
                client.execute(TABLE.encode())
                client.execute(FILL.encode())
        mariadb.run(self.bank, f"{TABLE} ENGINE=InnoDB", FILL)

    def refill(self) -> None:
        """The accounts as they were first."""
        statements = "DELETE FROM accounts", FILL
        with psycopg.connect(self.shop) as client:
            for each in statements:
                client.execute(each.encode())
        mariadb.run(self.bank, *statements)

    def amounts(self, account: int = 1) -> tuple[int, int]:
        """What the account has in the shop and in the bank."""
        query = f"SELECT amount FROM accounts WHERE id = {account}"
        with psycopg.connect(self.shop) as client:
            row = client.execute(query.encode()).fetchone()
            assert row is not None
        return row[0], mariadb.run(self.bank, query)[0][0]

    def prepared(self) -> list[str]:
        """The branches on either."""
        with psycopg.connect(self.shop) as client:
            rows = client.execute(
                b"SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
            ).fetchall()
        return [row[0] for row in rows] + [
            row[3].decode() for row in mariadb.run(self.bank, "XA RECOVER")
        ]

    async def resolved(self, coordinator: Any) -> None:
        """Return when a service has nothing in doubt, nor has either database."""
        with anyio.fail_after(60):
            while coordinator.recovery.doubts:
                await anyio.sleep(0.02)
        await self.settled()

    async def settled(self) -> None:
        """Return when nothing is prepared any more."""
        with anyio.fail_after(60):
            while self.prepared():
                await anyio.sleep(0.02)

    def clear(self) -> None:
        """Roll back what a test has left: it would keep its locks."""
        with psycopg.connect(self.shop, autocommit=True) as client:
            rows = client.execute(
                b"SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
            ).fetchall()
            for (gid,) in rows:
                client.execute(f"ROLLBACK PREPARED '{gid}'".encode())
        mariadb.release(self.bank)
