"""The tables, and that they are there."""

from __future__ import annotations

from collections.abc import Sequence

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SqlDatabase, SqlError
from covet_outbox._message import LANES
from covet_sql.queue import create, statements_of

POSTGRES = """
CREATE TABLE IF NOT EXISTS covet_outbox (
  position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT NOT NULL, topic TEXT NOT NULL,
  message_key TEXT, headers TEXT NOT NULL, body BYTEA NOT NULL, lane SMALLINT NOT NULL,
  state SMALLINT NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
  due BIGINT NOT NULL DEFAULT 0, failed BIGINT NOT NULL DEFAULT 0, stored BIGINT NOT NULL,
  error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS covet_outbox_work ON covet_outbox (state, lane, position);
CREATE TABLE IF NOT EXISTS covet_outbox_lanes (
  lane SMALLINT PRIMARY KEY, held_by TEXT NOT NULL DEFAULT '',
  held_until BIGINT NOT NULL DEFAULT 0, served BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS covet_inbox (
  consumer TEXT NOT NULL, message_id TEXT NOT NULL, seen BIGINT NOT NULL,
  PRIMARY KEY (consumer, message_id)
);
CREATE INDEX IF NOT EXISTS covet_inbox_seen ON covet_inbox (seen)
"""
SQLITE = """
CREATE TABLE IF NOT EXISTS covet_outbox (
  position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, topic TEXT NOT NULL,
  message_key TEXT, headers TEXT NOT NULL, body BLOB NOT NULL, lane INTEGER NOT NULL,
  state INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
  due INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, stored INTEGER NOT NULL,
  error TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS covet_outbox_work ON covet_outbox (state, lane, position);
CREATE TABLE IF NOT EXISTS covet_outbox_lanes (
  lane INTEGER PRIMARY KEY, held_by TEXT NOT NULL DEFAULT '',
  held_until INTEGER NOT NULL DEFAULT 0, served INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS covet_inbox (
  consumer TEXT NOT NULL, message_id TEXT NOT NULL, seen INTEGER NOT NULL,
  PRIMARY KEY (consumer, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS covet_inbox_seen ON covet_inbox (seen)
"""
# Compared byte by byte, spaces at the end included: no two identifiers are the same by collation.
MYSQL = """
CREATE TABLE IF NOT EXISTS covet_outbox (
  position BIGINT AUTO_INCREMENT PRIMARY KEY, id CHAR(36) CHARACTER SET ascii NOT NULL,
  topic VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  message_key VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  headers LONGTEXT CHARACTER SET utf8mb4 NOT NULL, body LONGBLOB NOT NULL, lane SMALLINT NOT NULL,
  state SMALLINT NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
  due BIGINT NOT NULL DEFAULT 0, failed BIGINT NOT NULL DEFAULT 0, stored BIGINT NOT NULL,
  error VARCHAR(1000) CHARACTER SET utf8mb4 NOT NULL DEFAULT '',
  INDEX covet_outbox_work (state, lane, position)
) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS covet_outbox_lanes (
  lane SMALLINT PRIMARY KEY, held_by CHAR(32) CHARACTER SET ascii NOT NULL DEFAULT '',
  held_until BIGINT NOT NULL DEFAULT 0, served BIGINT NOT NULL DEFAULT 0
) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS covet_inbox (
  consumer VARBINARY(255) NOT NULL, message_id VARBINARY(255) NOT NULL, seen BIGINT NOT NULL,
  PRIMARY KEY (consumer, message_id), INDEX covet_inbox_seen (seen)
) ENGINE=InnoDB
"""
TABLES = {"postgresql": POSTGRES, "sqlite": SQLITE, "mysql": MYSQL}
PROBES = (
    "SELECT position, attempts, due, failed, stored, error FROM covet_outbox LIMIT 1",
    "SELECT consumer, message_id, seen FROM covet_inbox LIMIT 1",
    "SELECT held_by, held_until, served FROM covet_outbox_lanes LIMIT 1",
)


def schema(dialect: str) -> Sequence[str]:
    """The statements that make the tables; each may be run again."""
    values = ", ".join(f"({lane})" for lane in range(LANES))
    rows = (
        f"INSERT IGNORE INTO covet_outbox_lanes (lane) VALUES {values}"  # noqa: S608 - numbers of ours
        if dialect == "mysql"
        else f"INSERT INTO covet_outbox_lanes (lane) VALUES {values} ON CONFLICT DO NOTHING"  # noqa: S608
    )
    return (*statements_of(TABLES[dialect]), rows)


async def make_ready(db: SqlDatabase, *, make: bool) -> None:
    """See that the tables are there.

    Raises:
        ConfigurationError: They are not, and are not to be created, or cannot be.
    """
    try:
        lanes = await _lanes(db)
    except SqlError as error:
        if not make:
            raise _missing(str(error)) from error
        lanes = 0
    if lanes >= LANES:
        return
    if not make:
        raise _missing(f"covet_outbox_lanes has {lanes} rows, not {LANES}")
    try:
        await create(db, schema(db.dialect))
    except SqlError as error:
        raise _missing(str(error)) from error


async def _lanes(db: SqlDatabase) -> int:
    for probe in PROBES:
        await db.fetch_all(probe)
    return int(await db.fetch_value("SELECT count(*) AS n FROM covet_outbox_lanes"))


def _missing(problem: str) -> ConfigurationError:
    return ConfigurationError(
        "COVET-OUTBOX-TABLES",
        f"the tables of the outbox cannot be used: {problem}.",
        place="[plugins.outbox] tables",
        fix="Let the plugin create them, or run what `covet outbox schema` prints.",
    )
