"""The capability that says: the tables are there."""

from __future__ import annotations

from typing import Final

from covet_kernel.contracts import Capability, Record


class Schema(Record):
    """What a database's tables are like, as far as migrations know.

    Attributes:
        heads: The revisions in its version table. Empty where there are no migrations, and where
            ``migrate`` is ``"off"``, which does not look.
    """

    heads: tuple[str, ...] = ()


SCHEMA: Final = Capability[Schema]("sql.schema", plugins=("migrations",))
"""The default database has been migrated, as ``[plugins.migrations] migrate`` says. Who creates or changes
tables by migrations requires this beside `SQL`."""
