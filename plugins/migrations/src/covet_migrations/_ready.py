"""What a start does about migrations: looks, at the price of one query, and seldom more."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import from_thread, to_thread

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SqlDatabase, SqlError
from covet_migrations._config import MigrationsConfig
from covet_migrations._sources import Source, blocking_database, sources

if TYPE_CHECKING:
    import pluggy

VERSIONS = "SELECT version_num FROM alembic_version"


async def versions(db: SqlDatabase) -> frozenset[str]:
    """What is in the version table; nothing if there is none."""
    try:
        return frozenset(row["version_num"] for row in await db.fetch_all(VERSIONS))
    except SqlError as error:
        if error.sqlstate.startswith("42"):  # there is no such table
            return frozenset()
        raise


async def make_ready(
    db: SqlDatabase,
    name: str,
    config: MigrationsConfig,
    *,
    hooks: pluggy.PluginManager,
    directory: Path,
    log: Logger,
) -> tuple[str, ...]:
    """See that a database is at the newest revision of its sources; what it is at then.

    A database that is ahead of this version of the service is left as it is: while a newer version
    is rolled out, or rolled back, both are at work.

    Args:
        db: The database, started.
        name: Of its instance.
        config: Says whether to migrate or to refuse.
        hooks: The plugins.
        directory: Of ``covet.toml``.
        log: Is told of every step.

    Raises:
        ConfigurationError: Migrations are not applied, and the start is not to apply them.
        LifecycleError: One failed.
    """
    found = sources(hooks, directory, config, name)
    if not found:
        return ()
    # Read in this thread: a dozen small files, while nothing else could go on anyway.
    from covet_migrations._revisions import Revisions

    revisions = Revisions(found)
    heads = await versions(db)
    if heads == revisions.heads:
        return tuple(sorted(heads))
    if unknown := revisions.unknown(heads):
        log.warning(
            "the database is ahead of this version: revision %s is not known here",
            ", ".join(unknown),
        )
        return tuple(sorted(heads))
    pending = revisions.by_id.keys() - revisions.applied(heads)
    if not pending:
        return tuple(sorted(heads))
    if config.migrate == "check":
        raise not_applied(pending, name)
    await to_thread.run_sync(partial(_upgrade, found, name, config, hooks, directory, log))
    return tuple(sorted(await versions(db)))


def not_applied(pending: set[str], name: str) -> ConfigurationError:
    """That a database is behind."""
    option = f" --database {name}" if name else ""
    return ConfigurationError(
        "COVET-MIGRATION-PENDING",
        f"the database is behind: {len(pending)} revision{'s' * (len(pending) > 1)} not applied.",
        place=", ".join(sorted(pending)),
        fix=f"Run: covet db upgrade{option}",
    )


def _upgrade(
    found: Sequence[Source],
    name: str,
    config: MigrationsConfig,
    hooks: pluggy.PluginManager,
    directory: Path,
    log: Logger,
) -> None:
    from covet_migrations import Migrator

    database = blocking_database(hooks, directory, name)
    Migrator(
        database,
        found,
        wait=config.wait,
        lock_timeout=config.lock_timeout,
        report=log.info,
        check=from_thread.check_cancelled,
    ).upgrade()
