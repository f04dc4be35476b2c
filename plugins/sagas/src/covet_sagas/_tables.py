"""The tables, and that they are there."""

from __future__ import annotations

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SqlDatabase, SqlError
from covet_sql.queue import create, statements_of

POSTGRES = """
CREATE TABLE IF NOT EXISTS covet_sagas (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, state SMALLINT NOT NULL, was SMALLINT NOT NULL,
  step TEXT NOT NULL, data TEXT NOT NULL, attempts INTEGER NOT NULL, fence BIGINT NOT NULL,
  due BIGINT NOT NULL, started BIGINT NOT NULL, changed BIGINT NOT NULL, ends BIGINT NOT NULL,
  error TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS covet_sagas_due ON covet_sagas (state, due);
CREATE TABLE IF NOT EXISTS covet_saga_log (
  position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, saga TEXT NOT NULL,
  happened BIGINT NOT NULL, event TEXT NOT NULL, step TEXT NOT NULL, attempt INTEGER NOT NULL,
  error TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS covet_saga_log_saga ON covet_saga_log (saga, position)
"""
SQLITE = """
CREATE TABLE IF NOT EXISTS covet_sagas (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, state INTEGER NOT NULL, was INTEGER NOT NULL,
  step TEXT NOT NULL, data TEXT NOT NULL, attempts INTEGER NOT NULL, fence INTEGER NOT NULL,
  due INTEGER NOT NULL, started INTEGER NOT NULL, changed INTEGER NOT NULL, ends INTEGER NOT NULL,
  error TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS covet_sagas_due ON covet_sagas (state, due);
CREATE TABLE IF NOT EXISTS covet_saga_log (
  position INTEGER PRIMARY KEY AUTOINCREMENT, saga TEXT NOT NULL, happened INTEGER NOT NULL,
  event TEXT NOT NULL, step TEXT NOT NULL, attempt INTEGER NOT NULL, error TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS covet_saga_log_saga ON covet_saga_log (saga, position)
"""
MYSQL = """
CREATE TABLE IF NOT EXISTS covet_sagas (
  id CHAR(36) CHARACTER SET ascii PRIMARY KEY,
  name VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  state SMALLINT NOT NULL, was SMALLINT NOT NULL,
  step VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  data LONGTEXT CHARACTER SET utf8mb4 NOT NULL, attempts INTEGER NOT NULL, fence BIGINT NOT NULL,
  due BIGINT NOT NULL, started BIGINT NOT NULL, changed BIGINT NOT NULL, ends BIGINT NOT NULL,
  error VARCHAR(1000) CHARACTER SET utf8mb4 NOT NULL, INDEX covet_sagas_due (state, due)
) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS covet_saga_log (
  position BIGINT AUTO_INCREMENT PRIMARY KEY, saga CHAR(36) CHARACTER SET ascii NOT NULL,
  happened BIGINT NOT NULL, event VARCHAR(20) CHARACTER SET ascii NOT NULL,
  step VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, attempt INTEGER NOT NULL,
  error VARCHAR(1000) CHARACTER SET utf8mb4 NOT NULL, INDEX covet_saga_log_saga (saga, position)
) ENGINE=InnoDB
"""
TABLES = {"postgresql": POSTGRES, "sqlite": SQLITE, "mysql": MYSQL}
PROBES = (
    "SELECT id, was, step, data, attempts, fence, due, changed, ends, error FROM covet_sagas LIMIT 1",
    "SELECT position, saga, happened, event, step, attempt, error FROM covet_saga_log LIMIT 1",
)


def schema(dialect: str) -> list[str]:
    """The statements that make the tables; each may be run again."""
    return statements_of(TABLES[dialect])


async def make_ready(db: SqlDatabase, *, make: bool) -> None:
    """See that the tables are there.

    Raises:
        ConfigurationError: They are not, and are not to be created, or cannot be.
    """
    try:
        for probe in PROBES:
            await db.fetch_all(probe)
    except SqlError as error:
        if not make:
            raise _missing(error) from error
    else:
        return
    try:
        await create(db, schema(db.dialect))
    except SqlError as error:
        raise _missing(error) from error


def _missing(error: SqlError) -> ConfigurationError:
    return ConfigurationError(
        "COVET-SAGAS-TABLES",
        f"the tables of the sagas cannot be used: {error}.",
        place="[plugins.sagas] tables",
        fix="Let the plugin create them, or run what `covet sagas schema` prints.",
    )
