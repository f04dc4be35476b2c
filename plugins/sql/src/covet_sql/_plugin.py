"""The plugin: how databases are observed, what is kept of their statements, and the commands."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from covet_kernel import Context, Plugin
from covet_kernel.contracts import SQL, Capability, Command, Interceptor, Metric
from covet_sql._cache import STATEMENTS
from covet_sql._config import SqlConfig

if TYPE_CHECKING:
    from covet_sql.profile import ObservedDatabase

log = logging.getLogger("covet.sql")


class Sql(Plugin[SqlConfig]):
    """Says how databases are observed, and bounds the compiled statements, which they share."""

    @property
    def wants(self) -> Sequence[Capability[Any]]:
        """The databases."""
        return tuple(SQL.named(name) if name else SQL for name in self.config.databases)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Observe the databases, all of which are up."""
        from covet_sql.profile import ObservedDatabase, Plans, configure

        before, STATEMENTS.limit = STATEMENTS.limit, self.config.statement_cache
        databases = [
            database
            for each in self.wants
            if isinstance(database := ctx.get(each), ObservedDatabase)
        ]
        report = ctx.directory / self.config.report if self.config.report else None
        plans = Plans() if self.config.slow_plans else None
        try:
            async with anyio.create_task_group() as tasks:
                if plans is not None:
                    tasks.start_soon(plans.run)
                for database in databases:
                    configure(database, self.config, plans)
                    if self.config.cache_shared:
                        from covet_sql.cache import share

                        tasks.start_soon(share, database)
                if report is not None:
                    tasks.start_soon(self._report, databases, report)
                yield
                tasks.cancel_scope.cancel()
        finally:
            STATEMENTS.limit = before
            if plans is not None:
                plans.close()
        if report is not None:
            await _write(report, databases)

    async def _report(self, databases: Sequence[ObservedDatabase], path: Path) -> None:
        while True:
            await anyio.sleep(self.config.report_interval)
            await _write(path, databases)

    def covet_interceptors(self) -> Iterable[Interceptor]:
        """Names the calls whose statements are recorded."""
        if self.config.record:
            from covet_sql.profile import NamesCalls

            yield NamesCalls()

    def covet_commands(self) -> Iterable[Command]:
        """``covet sql``."""
        from covet_sql.command import sql_command

        return (sql_command(self.config),)

    def covet_metrics(self) -> Iterable[Metric]:
        """How full the cache is, and how often it helped."""
        for name, read, text in (
            ("entries", lambda: len(STATEMENTS), "Shapes of statements that are kept compiled."),
            ("hits", lambda: STATEMENTS.hits, "Statements found compiled."),
            ("misses", lambda: STATEMENTS.misses, "Statements that had to be compiled."),
            ("evicted", lambda: STATEMENTS.evicted, "Shapes that left to make room."),
        ):
            yield _metric(name, read, text)


async def _write(path: Path, databases: Sequence[ObservedDatabase]) -> None:
    from covet_sql.profile import report_of, write_report

    # Percentiles of hundreds of shapes take a while, and so may a disk.
    try:
        await anyio.to_thread.run_sync(lambda: write_report(path, report_of(databases)))
    except OSError as error:
        log.warning("%s cannot be written: %s", path, error.strerror or error)


def _metric(name: str, read: Callable[[], float], text: str) -> Metric:
    return Metric(
        name=f"sql.statements.{name}",
        kind="gauge" if name == "entries" else "counter",
        read=lambda: [((), read())],
        help=text,
    )
