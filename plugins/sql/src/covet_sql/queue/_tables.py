"""Tables that a plugin makes by itself."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from covet_kernel.contracts import SqlDatabase, SqlError

CREATES = 5
"""How often it is tried: processes that create the same table at once fail each other."""
AGAIN = 0.05


def statements_of(text: str) -> list[str]:
    """The statements of a text, which has no semicolon but between them."""
    return [each.strip() for each in text.split(";") if each.strip()]


async def create(db: SqlDatabase, statements: Sequence[str]) -> None:
    """Run statements each of which may be run again, whoever else does at the same time.

    Raises:
        SqlError: The database refused, and again.
    """
    for attempt in range(1, CREATES + 1):
        try:
            for statement in statements:
                await db.execute(statement)
        except SqlError:
            if attempt == CREATES:
                raise
            await anyio.sleep(AGAIN * attempt)
        else:
            return
