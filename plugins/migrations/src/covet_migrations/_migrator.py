"""The migrations of one database: where it is, and how it gets elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from sqlalchemy.pool import NullPool

from covet_kernel import ConfigurationError, LifecycleError
from covet_migrations._locks import in_use, is_busy, limit_waiting, locked
from covet_migrations._progress import progress
from covet_migrations._revisions import Revision, Revisions
from covet_migrations._scripts import explained, one_head_each, planned, script_directory
from covet_migrations._sources import Source
from covet_migrations._steps import offline, run_step
from covet_sql.driver import BlockingDatabase

if TYPE_CHECKING:
    from alembic.runtime.migration import RevisionStep
    from alembic.script import ScriptDirectory

    from covet_migrations._scripts import Way

URLS = {
    "sqlite": "sqlite://",
    "postgresql": "postgresql+psycopg://",
    "mysql": "mysql+pymysql://",
}
"""Which of SQLAlchemy's dialects speaks to the driver; where to, the driver itself knows."""

T = TypeVar("T")


def _nothing(*_: object) -> None:
    pass


class Migrator:
    """The sources of a database, and the database.

    Args:
        database: How to connect.
        sources: Where its revisions are.
        wait: Seconds to wait for another process that migrates.
        lock_timeout: Seconds that a statement waits for a lock on a table.
        report: Is told what happens, a line at a time.
        check: Is called between steps and while waiting; what it raises ends the work there.

    Raises:
        ConfigurationError: There are no sources, or a file of theirs cannot be used.

    Attributes:
        revisions: The graph of the files.
    """

    def __init__(
        self,
        database: BlockingDatabase,
        sources: Sequence[Source],
        *,
        wait: float = 300.0,
        lock_timeout: float = 5.0,
        report: Callable[[str], None] = _nothing,
        check: Callable[[], None] = _nothing,
    ) -> None:
        if not sources:
            raise no_sources()
        if database.dialect not in URLS:
            raise ConfigurationError(
                "COVET-MIGRATION-DATABASE",
                f"migrations know nothing of the dialect {database.dialect!r}.",
                valid=sorted(URLS),
                fix="Migrate this database by its own tools.",
            )
        self.database = database
        self.sources = sources
        self.revisions = Revisions(sources)
        self.report = report
        self._wait = wait
        self._lock_timeout = lock_timeout
        self._check = check

    @cached_property
    def script(self) -> ScriptDirectory:
        """Alembic's view of the revisions."""
        return script_directory(self.sources)

    @contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        """A connection, in no transaction.

        Raises:
            ConfigurationError: The database cannot be reached.
            LifecycleError: It refused, or is in use.
        """
        engine = sa.create_engine(
            URLS[self.database.dialect],
            module=self.database.dbapi,
            creator=self.database.connect,
            poolclass=NullPool,
        )
        try:
            with engine.connect() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise LifecycleError(
                "COVET-MIGRATION-FAILED",
                f"the database refused: {error.orig}.",
                place=self.database.name,
                fix="covet db status tells where it is.",
            ) from error
        finally:
            engine.dispose()

    def heads(self, connection: sa.Connection) -> tuple[str, ...]:
        """What is in the version table."""
        try:
            found = MigrationContext.configure(connection).get_current_heads()
        except sa.exc.OperationalError as error:
            connection.rollback()
            if is_busy(error.orig):
                raise in_use("another process keeps the database locked") from error
            raise
        connection.rollback()
        return found

    def current(self) -> tuple[str, ...]:
        """The same, on a connection of its own."""
        with self.connected() as connection:
            return self.heads(connection)

    def pending(self, heads: Sequence[str]) -> list[Revision]:
        """What is not applied, in the order in which it would be."""
        steps = self.plan("upgrade", "heads", heads)
        return [self.revisions.by_id[step.revision.revision] for step in steps]

    def plan(self, way: Way, destination: str, heads: Sequence[str]) -> list[RevisionStep]:
        """The steps from where a database is.

        Raises:
            ConfigurationError: There is no such revision, or no way to it.
        """
        if unknown := self.revisions.unknown(heads):
            raise ConfigurationError(
                "COVET-MIGRATION-REVISION",
                f"the database is at the revision {unknown[0]!r}, which no source has.",
                place=self.database.name,
                valid=sorted(self.revisions.by_id),
                fix="Use the version of the service that has it; what was squashed is in an older one.",
            )
        if destination == "heads":
            one_head_each(self.revisions, self.sources)
        with explained(self.revisions, self.database.name):
            return planned(self.script, way, destination, tuple(heads))

    def upgrade(self, destination: str = "heads") -> int:
        """Apply what is missing; how many revisions that were.

        Each is a transaction of its own, where the database has such for tables: if one fails, or
        the process is killed, the database is at the step before.

        Raises:
            ConfigurationError: There is no such revision; the database cannot be reached.
            LifecycleError: A revision failed; says where the database is. Or another process has
                migrated for too long.
        """
        return self._go("upgrade", destination)

    def downgrade(self, destination: str) -> int:
        """Undo revisions down to one, ``"base"`` or ``"-1"``; how many. As `upgrade` otherwise."""
        return self._go("downgrade", destination)

    def _go(self, way: Way, destination: str) -> int:
        with self.connected() as connection:
            heads = self._patiently(lambda: self.heads(connection))
            if not self.plan(way, destination, heads):
                self.report(f"{self.database.name} is there already")
                return 0
            done = 0
            with locked(connection, self._wait, self.report, self._check):
                limit_waiting(connection, self._lock_timeout)
                steps = self.plan(way, destination, self.heads(connection))
                for number, step in enumerate(steps, 1):
                    self._check()
                    with progress(self.report, f"{number}/{len(steps)} {way}: {self._title(step)}"):
                        done += self._patiently(partial(run_step, self, connection, step))
        return done

    def _patiently(self, do: Callable[[], T]) -> T:
        """Do it again while another process has SQLite's one lock: nothing has been done then."""
        until, told = time.monotonic() + self._wait, False
        while True:
            try:
                return do()
            except LifecycleError as error:
                if error.code != "COVET-MIGRATION-LOCKED" or time.monotonic() > until:
                    raise
            if not told:
                self.report("another process has the database: waiting for it")
                told = True
            self._check()

    def _title(self, step: RevisionStep) -> str:
        each = self.revisions.by_id[step.revision.revision]
        return f"{each.source} {each.id} {each.title}".rstrip()

    def sql(self, way: Way, destination: str, heads: Sequence[str]) -> str:
        """The statements of the same steps from ``heads``, as a script; runs none.

        Raises:
            ConfigurationError: A revision needs a connection to tell what it does.
        """
        steps = self.plan(way, destination, heads)
        text = "".join(offline(self, steps, heads))
        return text if steps else ""


def no_sources() -> ConfigurationError:
    """That there is nothing to migrate by."""
    return ConfigurationError(
        "COVET-MIGRATION-SOURCE",
        "no enabled plugin has migrations for this database, and there is no folder of them.",
        place="[plugins.migrations] folder",
        fix="Run covet db init, or declare them in a plugin's covet_migrations().",
    )
