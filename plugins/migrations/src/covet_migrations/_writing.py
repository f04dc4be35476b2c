"""New revisions: empty, from a difference, or one that joins two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic.util import rev_id

from covet_kernel import ConfigurationError
from covet_migrations._compare import difference
from covet_migrations._migrator import Migrator
from covet_migrations._scripts import explained, one_head_each
from covet_migrations._sources import Source


def revision(
    migrator: Migrator,
    source: Source,
    message: str,
    *,
    auto: bool = False,
    merge: bool = False,
    depends_on: Sequence[str] = (),
    identifier: str = "",
) -> Path | None:
    """Write a revision; its file, or ``None`` if ``auto`` found nothing that differs.

    Args:
        migrator: Of the database.
        source: Where to.
        message: What it is for, a line.
        auto: Compare the tables with the database, which has to be at the newest revision.
        merge: Join the source's newest revisions, of which there are several.
        depends_on: Revisions of other sources that have to be there first.
        identifier: Of the revision, instead of a random one.

    Raises:
        ConfigurationError: It cannot be written; says why.
    """
    tips = [each.id for each in migrator.revisions.tips(source.name)]
    if not merge:
        one_head_each(migrator.revisions, [source])
    elif len(tips) < 2:
        raise ConfigurationError(
            "COVET-MIGRATION-HEADS",
            f"there is nothing to join: {source.name} has {len(tips)} newest revision.",
            fix="Leave --merge out.",
        )
    body: dict[str, Any] = {}
    if auto:
        with migrator.connected() as connection:
            up_to_date(migrator, migrator.heads(connection))
            found = difference(connection, migrator.revisions, source)
        if found is None:
            return None
        body = {
            "upgrades": found.upgrade,
            "downgrades": found.downgrade,
            "imports": "".join(f"{line}\n" for line in found.imports),
        }
    source.path.mkdir(parents=True, exist_ok=True)
    with explained(migrator.revisions, str(source.path)):
        written = migrator.script.generate_revision(
            identifier or rev_id(),
            " ".join(message.split()),
            head=tips or "base",
            branch_labels=None if tips else source.name,
            version_path=str(source.path),
            depends_on=list(depends_on) or None,
            **body,
        )
    assert written is not None
    return Path(written.path)


def up_to_date(migrator: Migrator, heads: Sequence[str]) -> None:
    """Refuse to compare with a database that is behind.

    Raises:
        ConfigurationError: It is.
    """
    if pending := migrator.pending(heads):
        raise ConfigurationError(
            "COVET-MIGRATION-PENDING",
            f"the database is behind: {len(pending)} revision{'s' * (len(pending) > 1)} not applied.",
            place=", ".join(each.id for each in pending),
            fix="Run covet db upgrade first: a difference is one to the newest revision.",
        )
