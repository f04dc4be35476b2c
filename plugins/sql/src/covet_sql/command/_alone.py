"""Commands that work on a service's databases, without starting the service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import anyio

from covet_kernel.contracts import SQL, SqlDatabase

if TYPE_CHECKING:
    from covet_kernel import Assembly, Kernel

T = TypeVar("T")


def run_alone(
    assembly: Assembly, names: Iterable[str], work: Callable[[Kernel], Awaitable[T]]
) -> T:
    """Start some plugins and what they depend on, nothing that serves, and do the work.

    Args:
        assembly: The service's.
        names: The plugin instances.
        work: What is done while they run.

    Raises:
        ExceptionGroup: They do not start, or the work failed.
    """
    from covet_kernel import Kernel, Settings, assemble

    settings = Settings(assembly.settings.directory)
    needed, pending = set[str](), [*names]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending += assembly.nodes[name].depends_on
            place = ("plugins", name)
            settings.put(place, assembly.settings.table(*place), assembly.settings.source(place))
    alone = assemble(settings, assembly.classes)

    async def run() -> T:
        async with Kernel(alone).running() as kernel:
            return await work(kernel)

    return anyio.run(run)


def on_database(
    assembly: Assembly, database: str, work: Callable[[SqlDatabase], Awaitable[T]]
) -> T:
    """`run_alone` for one database.

    Args:
        assembly: The service's.
        database: The SQL instance by name, one that some plugin of the service requires.
        work: What is done.

    Raises:
        ExceptionGroup: The database does not start, or the work failed.
    """
    wanted = SQL.named(database)
    names = [name for name, node in assembly.nodes.items() if wanted in node.provides]
    return run_alone(assembly, names, lambda kernel: work(kernel.require(wanted)))
