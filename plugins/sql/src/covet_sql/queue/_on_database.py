"""Commands that look into a service's database, without starting the service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from covet_kernel import Assembly, Kernel, Settings, assemble
from covet_kernel.contracts import SQL, SqlDatabase

T = TypeVar("T")


def on_database(
    assembly: Assembly, database: str, work: Callable[[SqlDatabase], Awaitable[T]]
) -> T:
    """Start a database and nothing else, and do the work on it.

    Args:
        assembly: The service's.
        database: The SQL instance by name, one that some plugin of the service requires.
        work: What is done.

    Raises:
        ExceptionGroup: The database does not start, or the work failed.
    """
    wanted = SQL.named(database)
    (name,) = (name for name, node in assembly.nodes.items() if wanted in node.provides)
    settings, place = Settings(assembly.settings.directory), ("plugins", name)
    settings.put(place, assembly.settings.table(*place), assembly.settings.source(place))
    alone = assemble(settings, assembly.classes)

    async def run() -> T:
        async with Kernel(alone).running() as kernel:
            return await work(kernel.require(wanted))

    return anyio.run(run)
