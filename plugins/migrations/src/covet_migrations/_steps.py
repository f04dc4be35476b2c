"""Running one revision, or writing down what it would run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO, cast

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext

from covet_kernel import LifecycleError
from covet_migrations._locks import in_use, is_busy
from covet_migrations._scripts import explained

if TYPE_CHECKING:
    from alembic.runtime.migration import RevisionStep

    from covet_migrations._migrator import Migrator


# What it tells of each step, the migrator has told already.
logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)


def run_step(migrator: Migrator, connection: sa.Connection, step: RevisionStep) -> int:
    """Run one revision in a transaction, unless somebody else has meanwhile; how many were run.

    Raises:
        LifecycleError: It failed, or the database is in use.
    """
    run = 0

    def chosen(heads: Any, _: Any) -> list[RevisionStep]:
        nonlocal run
        # The transaction has begun: what is read here stays so until it ends.
        applied = step.revision.revision in migrator.revisions.applied(heads)
        if applied is step.is_upgrade:
            return []
        run = 1
        return [step]

    try:
        with EnvironmentContext(Config(), migrator.script, fn=chosen) as environment:
            environment.configure(
                connection=connection,
                transaction_per_migration=True,
                # SQLAlchemy does not know that this driver begins transactions by itself.
                transactional_ddl=True if connection.dialect.name == "sqlite" else None,
                on_version_apply=_check_keys,
            )
            environment.run_migrations()
        connection.commit()
    except Exception as error:
        raise _failed(migrator, connection, step, error) from error
    return run


def _check_keys(ctx: Any, step: Any, heads: Any, run_args: Any) -> None:
    """SQLite checks foreign keys while tables are rebuilt at the end, not on the way."""
    if ctx.dialect.name == "sqlite" and not ctx.as_sql:
        broken = ctx.connection.exec_driver_sql("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise ValueError(
                f"rows of {broken[0]!r} refer to rows of {broken[2]!r} that are not there"
            )


def _failed(
    migrator: Migrator, connection: sa.Connection, step: RevisionStep, error: Exception
) -> LifecycleError:
    revision = migrator.revisions.by_id[step.revision.revision]
    cause: Any = getattr(error, "orig", None) or error
    reason = str(cause).strip().partition("\n")[0].rstrip(".") or type(cause).__name__
    try:
        connection.rollback()
        heads = migrator.heads(connection)
    except sa.exc.SQLAlchemyError:
        where = "The connection was lost: covet db status tells where the database is"
    else:
        at = ", ".join(heads) or "base"
        where = f"The database is at {at}, the step before"
    if is_busy(cause):
        return in_use("another process keeps the database locked")
    if connection.dialect.name == "mysql":
        where += (
            "; what ran before the error stays, since this database commits every change of a table"
        )
    elif "autocommit_block" in revision.text:
        where += "; what ran in its autocommit_block() stays"
    verb = "upgrade" if step.is_upgrade else "downgrade"
    return LifecycleError(
        "COVET-MIGRATION-FAILED",
        f"the {verb} of revision {revision.id} of {revision.source} failed: {reason}.",
        place=str(revision.path),
        fix=f"{where}. Correct the revision and run it again.",
    )


class Statements(list[str]):
    """What a revision writes: one statement, or one comment, at a time."""

    def write(self, text: str) -> None:
        """Keep it."""
        self.append(text)

    def flush(self) -> None:
        """There is nothing to wait for."""


def offline(migrator: Migrator, steps: Sequence[RevisionStep], heads: Iterable[str]) -> Statements:
    """The statements of steps, none of which is run.

    Raises:
        ConfigurationError: One needs a connection.
    """
    written = Statements()
    dialect = migrator.database.dialect
    with (
        explained(migrator.revisions, migrator.database.name),
        EnvironmentContext(
            Config(),
            migrator.script,
            fn=lambda *_: steps,
            as_sql=True,
            starting_rev=tuple(heads) or None,
        ) as environment,
    ):
        environment.configure(
            dialect_name=dialect,
            dialect_opts={"paramstyle": "named"},  # or percent signs would be doubled
            literal_binds=True,
            output_buffer=cast("TextIO", written),
            transaction_per_migration=True,
            transactional_ddl=True if dialect == "sqlite" else None,
        )
        environment.run_migrations()
    return written
