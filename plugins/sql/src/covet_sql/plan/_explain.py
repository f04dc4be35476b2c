"""Asking a database for a plan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from covet_kernel.contracts import Params, SqlDatabase, SqlError
from covet_sql.plan import _mysql, _postgres, _sqlite
from covet_sql.plan._placeholders import Placeholders
from covet_sql.plan._step import Plan

Explain = Callable[[SqlDatabase, Placeholders], Awaitable[Plan]]
Analyze = Callable[[SqlDatabase, Placeholders, Params, bool], Awaitable[Plan]]

EXPLAINS: dict[str, Explain] = {
    "postgresql": _postgres.explained,
    "sqlite": _sqlite.explained,
    "mysql": _mysql.explained,
}
ANALYZES: dict[str, Analyze] = {
    "postgresql": _postgres.analyzed,
    "sqlite": _sqlite.analyzed,
    "mysql": _mysql.analyzed,
}


async def explained(database: SqlDatabase, text: str) -> Plan:
    """The plan of a statement whatever its parameters are; it is not run, and no value is in it.

    Raises:
        SqlError: The database does not plan it, or it is none whose plans are known here.
    """
    return await _known(EXPLAINS, database)(database, Placeholders(text))


async def analyzed(
    database: SqlDatabase, text: str, params: Params, *, writes: bool = False
) -> Plan:
    """The plan of a statement that is run for it, inside a transaction that is rolled back.

    Args:
        database: Runs it.
        text: The statement.
        params: Its values, which may show in the plan.
        writes: It may change something, for as long as the transaction lasts. Else the transaction
            is one that only reads, and the database refuses what does not.

    Raises:
        SqlError: The database refuses it, or it is none whose plans are known here.
    """
    return await _known(ANALYZES, database)(database, Placeholders(text), params, writes)


def _known(
    ways: dict[str, Callable[..., Awaitable[Plan]]], database: SqlDatabase
) -> Callable[..., Awaitable[Plan]]:
    way = ways.get(database.dialect)
    if way is None:
        raise SqlError(
            f"the plans of {database.dialect} are not known here: of {', '.join(ways)} they are",
            sqlstate="0A000",
        )
    return way
