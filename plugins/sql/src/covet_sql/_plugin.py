"""The plugin: how many statements are kept, and what became of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from covet_kernel import Context, Plugin
from covet_kernel.contracts import Metric
from covet_sql._cache import STATEMENTS
from covet_sql._config import SqlConfig


class Sql(Plugin[SqlConfig]):
    """Bounds the cache of compiled statements, which all databases of a process share."""

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Set the bound while it runs."""
        before, STATEMENTS.limit = STATEMENTS.limit, self.config.statement_cache
        try:
            yield
        finally:
            STATEMENTS.limit = before

    def covet_metrics(self) -> Iterable[Metric]:
        """How full the cache is, and how often it helped."""
        for name, read, text in (
            ("entries", lambda: len(STATEMENTS), "Shapes of statements that are kept compiled."),
            ("hits", lambda: STATEMENTS.hits, "Statements found compiled."),
            ("misses", lambda: STATEMENTS.misses, "Statements that had to be compiled."),
            ("evicted", lambda: STATEMENTS.evicted, "Shapes that left to make room."),
        ):
            yield _metric(name, read, text)


def _metric(name: str, read: Callable[[], float], text: str) -> Metric:
    return Metric(
        name=f"sql.statements.{name}",
        kind="gauge" if name == "entries" else "counter",
        read=lambda: [((), read())],
        help=text,
    )
