"""The tables of sharding's own, as each database has them."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from covet_kernel.contracts import SqlDatabase, SqlError

TEXT = {
    "sqlite": "TEXT",
    "postgresql": "TEXT",
    # An index has to hold it; and 'a' is not 'A'.
    "mysql": "VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
}
LONG = {"sqlite": "TEXT", "postgresql": "TEXT", "mysql": "LONGTEXT CHARACTER SET utf8mb4"}
REAL = {"sqlite": "REAL", "postgresql": "DOUBLE PRECISION", "mysql": "DOUBLE"}
SERIAL = {
    "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "postgresql": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "mysql": "BIGINT PRIMARY KEY AUTO_INCREMENT",
}
NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)",
    "mysql": "CAST(UNIX_TIMESTAMP(NOW(6)) AS DOUBLE)",
}
"""Seconds since 1970, by the database's clock."""
TRIES = 5

HOME = """
CREATE TABLE IF NOT EXISTS covet_shard_version (
    space {text} PRIMARY KEY, version BIGINT NOT NULL, strategy {long} NOT NULL);
CREATE TABLE IF NOT EXISTS covet_shard_map (
    space {text} NOT NULL, bucket {text} NOT NULL, shard {text} NOT NULL, epoch BIGINT NOT NULL,
    PRIMARY KEY (space, bucket));
CREATE TABLE IF NOT EXISTS covet_shard_move (
    space {text} NOT NULL, bucket {text} NOT NULL, source {text} NOT NULL, target {text} NOT NULL,
    job {text} NOT NULL, step {text} NOT NULL, run BIGINT NOT NULL, place {long} NOT NULL,
    copied BIGINT NOT NULL, PRIMARY KEY (space, bucket))
"""
"""The map; how it is known that it has changed; and the moves under way."""

SHARD = """
CREATE TABLE IF NOT EXISTS covet_shard_bucket (
    space {text} NOT NULL, bucket {text} NOT NULL, state {text} NOT NULL, run BIGINT NOT NULL,
    successor {text} NOT NULL, closed_until {real} NOT NULL, PRIMARY KEY (space, bucket));
CREATE TABLE IF NOT EXISTS covet_shard_closing (
    space {text} NOT NULL, bucket {text} NOT NULL, until {real} NOT NULL, PRIMARY KEY (space, bucket));
CREATE TABLE IF NOT EXISTS covet_shard_change (
    id {serial}, job {text} NOT NULL, tab {text} NOT NULL, place {long} NOT NULL,
    shard_key {long} NOT NULL)
"""
"""What a shard says of its buckets; which are about to be closed; and rows that were changed while
one moves."""


async def make_tables(database: SqlDatabase, *texts: str) -> None:
    """See that sharding's tables are there."""
    dialect = database.dialect
    kinds = {
        "text": TEXT[dialect], "long": LONG[dialect], "real": REAL[dialect], "serial": SERIAL[dialect],
    }  # fmt: skip
    for statement in ";".join(texts).format(**kinds).split(";"):
        await _make(database, statement.strip())


async def _make(database: SqlDatabase, statement: str) -> None:
    for left in reversed(range(TRIES)):
        try:
            await database.execute(statement)
        except SqlError:
            # Processes that start together: PostgreSQL's IF NOT EXISTS is no lock.
            if not left:
                raise
            await anyio.sleep(0.05)
        else:
            return


def insert_new(dialect: str, table: str, columns: Sequence[str]) -> str:
    """The text that inserts a row unless there is one with its key."""
    head = "INSERT IGNORE INTO" if dialect == "mysql" else "INSERT INTO"
    tail = "" if dialect == "mysql" else " ON CONFLICT DO NOTHING"
    places = ", ".join("?" * len(columns))
    return f"{head} {table} ({', '.join(columns)}) VALUES ({places}){tail}"
