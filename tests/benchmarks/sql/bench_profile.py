"""What observing costs a statement: the same calls with and without, on a database that answers at once.

Processor time. "Kept" is a result answered from the query cache, which saves the statement.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the same loop for both sides, with nothing of ours in between
from statistics import median
from time import process_time
from typing import Any

from benchmarks.measure import Comparison, interleaved, report

from covet_kernel.contracts import Params, Row
from covet_sql.cache import cached, touched
from covet_sql.profile import ObservedDatabase, Profile, Recording, normalised

CALLS = 20_000
TEXT = "SELECT id, title, author, stock FROM books WHERE id = :id AND stock > 3 ORDER BY title LIMIT 10"
ROW = {"id": 1, "title": "Emma", "author": "Austen", "stock": 3}


class NoDatabase:
    """A database that answers at once."""

    dialect = "sqlite"

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        return ROW

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        return []


def each(database: Any) -> float:
    """Microseconds for each call."""

    async def main() -> float:
        params = {"id": 1}
        begun = process_time()
        for _ in range(CALLS):
            await database.fetch_one(TEXT, params)
        return 1e6 * (process_time() - begun) / CALLS

    return asyncio.run(main())


def test_what_observing_costs() -> None:
    nobody: Any = NoDatabase()
    recorded = Profile("sqlite")
    recorded.on_run = Recording().note
    observed = ObservedDatabase("sqlite", nobody, Profile("sqlite"))
    samples = interleaved(
        {
            "alone": lambda: each(nobody),
            "observed": lambda: each(observed),
            "recorded": lambda: each(ObservedDatabase("sqlite", nobody, recorded)),
            "kept": lambda: each(
                cached(ObservedDatabase("sqlite", nobody, Profile("sqlite")), seconds=60)
            ),
        },
        9,
    )
    report("a statement that costs nothing", samples, list[Comparison](), unit="us", digits=2)
    alone = median(samples["alone"])
    for name in ("observed", "recorded", "kept"):
        print(f"  {name}: {median(samples[name]) - alone:.2f} us above a call")
    for name, work in (
        ("a new text's shape", lambda: normalised(TEXT)),
        ("a new text's tables", lambda: touched(TEXT, "sqlite")),
    ):
        begun = process_time()
        for _ in range(200):
            work()
        print(f"  {name}: {1e6 * (process_time() - begun) / 200:.0f} us, once")


if __name__ == "__main__":
    test_what_observing_costs()
