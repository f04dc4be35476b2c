"""Money that is moved between accounts while a database is in trouble: is it all there afterwards?"""

from __future__ import annotations

import random

import anyio

from covet_kernel.contracts import SqlConflictError, SqlDatabase, SqlError, SqlUnavailableError

ACCOUNTS = 5
COINS = 100
"""In each account at the beginning."""
TROUBLE = ("57014", "53100")
"""What is neither a conflict nor a lost connection: it was cancelled, or the disk is full."""

TABLES = (
    "CREATE TABLE accounts (id INTEGER PRIMARY KEY, coins INTEGER NOT NULL)",
    "CREATE TABLE moves (id INTEGER PRIMARY KEY)",
    *(
        f"INSERT INTO accounts (id, coins) VALUES ({account}, {COINS})"
        for account in range(ACCOUNTS)
    ),
)


class Transfers:
    """Tasks that move one coin at a time, and note that they did.

    Attributes:
        happened: The numbers of the moves that the database has said are done.
        refused: How many ended in an error or were cancelled.
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._next = 0
        self._scopes: dict[int, anyio.CancelScope] = {}
        self.happened: set[int] = set()
        self.refused = 0

    async def work(self, task: int, database: SqlDatabase) -> None:
        """Move coins until cancelled."""
        chance = random.Random(self._chance.random())
        while True:
            self._next += 1
            with anyio.CancelScope() as scope:
                self._scopes[task] = scope
                await self._move(database, self._next, chance)
            self.refused += scope.cancelled_caught

    def cancel_one(self) -> None:
        """Cancel one of the moves under way."""
        self._scopes[self._chance.choice(list(self._scopes))].cancel()

    async def _move(self, database: SqlDatabase, number: int, chance: random.Random) -> None:
        one, other = chance.sample(range(ACCOUNTS), 2)
        try:
            async with database.transaction() as session:
                for account, coins in ((one, -1), (other, 1)):
                    await session.execute(
                        "UPDATE accounts SET coins = coins + ? WHERE id = ?", (coins, account)
                    )
                await session.execute("INSERT INTO moves (id) VALUES (?)", (number,))
        except SqlError as error:
            known = isinstance(error, SqlConflictError | SqlUnavailableError)
            assert known or error.sqlstate in TROUBLE, error
            self.refused += 1
            await anyio.sleep(0.01)
        else:
            self.happened.add(number)

    async def check(self, database: SqlDatabase) -> None:
        """No coin is made or lost, and what was said to have happened has."""
        assert await database.fetch_value("SELECT sum(coins) FROM accounts") == ACCOUNTS * COINS
        noted = {row["id"] for row in await database.fetch_all("SELECT id FROM moves")}
        assert self.happened <= noted
