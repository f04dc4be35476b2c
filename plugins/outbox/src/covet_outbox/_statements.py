"""The statements, in each database's words. All times are milliseconds of the database's clock."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from covet_sql.queue import milliseconds as now

READY, WAITING, DEAD = 0, 1, 2
"""States of a message: to be published, to be tried again later, set aside."""

CHANNEL = "covet_outbox"
"""Where PostgreSQL tells that something was committed."""

_COLUMNS = "position, id, topic, message_key, headers, body, lane, attempts, failed"
_SIZES = (1, 4, 16, 64, 256, 1024, 4096)
"""Lists are filled up to one of these, so that few different statements are prepared."""


def padded(values: Sequence[int]) -> tuple[str, list[int]]:
    """Question marks for a list of numbers, and the numbers, the last one repeated."""
    size = next(size for size in _SIZES if size >= len(values))
    return ", ".join("?" * size), [*values, *[values[-1]] * (size - len(values))]


@cache
def insert(dialect: str) -> str:
    """Store a message, and on PostgreSQL tell it to those who listen."""
    # The texts are made of this module's own, here and below.
    into = (
        "INSERT INTO covet_outbox (id, topic, message_key, headers, body, lane, stored)"  # noqa: S608
        f" VALUES (?, ?, ?, ?, ?, ?, {now(dialect)})"
    )
    if dialect != "postgresql":
        return into
    return (
        f"WITH stored AS ({into} RETURNING position)"  # noqa: S608
        f" SELECT CAST(pg_notify('{CHANNEL}', '') AS text) AS told FROM stored"
    )


@cache
def any_work(dialect: str) -> str:
    """Whether there may be anything to do; takes no lock."""
    return (
        f"SELECT CASE WHEN EXISTS (SELECT 1 FROM covet_outbox WHERE state = {READY})"  # noqa: S608
        f" OR EXISTS (SELECT 1 FROM covet_outbox WHERE state = {WAITING} AND due <= {now(dialect)})"
        " THEN 1 ELSE 0 END AS found"
    )


@cache
def free_lanes(dialect: str) -> str:
    """Lanes with something to do that nobody has, the longest unserved first."""
    here = "SELECT 1 FROM covet_outbox o WHERE o.lane = l.lane AND o.state"
    lock = "" if dialect == "sqlite" else " FOR UPDATE SKIP LOCKED"
    return (
        f"SELECT l.lane, {now(dialect)} AS now FROM covet_outbox_lanes l"  # noqa: S608
        f" WHERE l.held_until < {now(dialect)} AND (EXISTS ({here} = {READY})"
        f" OR EXISTS ({here} = {WAITING} AND o.due <= {now(dialect)}))"
        f" ORDER BY l.served, l.lane LIMIT ?{lock}"
    )


@cache
def hold(dialect: str) -> str:
    """Have one lane for a while."""
    return (
        f"UPDATE covet_outbox_lanes SET held_by = ?, held_until = {now(dialect)} + ?,"  # noqa: S608
        f" served = {now(dialect)} WHERE lane IN ({', '.join('?' * HELD)})"
    )


HELD = 8
"""Lanes that a worker has at most at once."""

RELEASE = "UPDATE covet_outbox_lanes SET held_by = '', held_until = 0 WHERE held_by = ?"


@cache
def read(dialect: str, lanes: int) -> str:
    """The first messages of each of so many lanes; without those whose key waits, and those that do.

    Either kind has its own limit: what fails again and again takes no place from what is new.
    """
    fresh = (
        f"SELECT {_COLUMNS} FROM covet_outbox o WHERE state = {READY} AND lane = ?"  # noqa: S608
        f" AND NOT EXISTS (SELECT 1 FROM covet_outbox w WHERE w.state = {WAITING} AND w.lane = o.lane"
        " AND w.message_key = o.message_key) ORDER BY position LIMIT ?"
    )
    again = (
        f"SELECT {_COLUMNS} FROM covet_outbox WHERE state = {WAITING} AND lane = ?"  # noqa: S608
        f" AND due <= {now(dialect)} ORDER BY due LIMIT ?"
    )
    both = (
        f"SELECT * FROM ({fresh}) AS f{n} UNION ALL SELECT * FROM ({again}) AS a{n}"  # noqa: S608
        for n in range(lanes)
    )
    return " UNION ALL ".join(both)


def remove(positions: Sequence[int]) -> tuple[str, list[int]]:
    """Take messages out that the broker has."""
    marks, values = padded(positions)
    return f"DELETE FROM covet_outbox WHERE position IN ({marks})", values  # noqa: S608


@cache
def postpone(dialect: str) -> str:
    """A message was refused: it waits, or is dead."""
    return (
        "UPDATE covet_outbox SET state = ?, attempts = attempts + 1,"  # noqa: S608
        f" due = {now(dialect)} + ?, failed = CASE WHEN failed = 0 THEN {now(dialect)} ELSE failed END,"
        " error = ? WHERE position = ?"
    )


COUNTED = 100_000
"""Messages are counted up to so many: a count reads every one of them."""


@cache
def measure(dialect: str) -> str:
    """Depth, dead messages and the age of the oldest that is not dead."""

    def some(condition: str) -> str:
        return (
            f"(SELECT count(*) FROM (SELECT 1 AS one FROM covet_outbox WHERE {condition}"  # noqa: S608
            f" LIMIT {COUNTED}) AS c)"
        )

    def oldest(state: int) -> str:
        return (
            "(SELECT min((SELECT o.stored FROM covet_outbox o WHERE o.lane = l.lane"  # noqa: S608
            f" AND o.state = {state} ORDER BY o.position LIMIT 1)) FROM covet_outbox_lanes l)"
        )

    return (
        f"SELECT {some(f'state < {DEAD}')} AS depth, {some(f'state = {DEAD}')} AS dead,"
        f" {oldest(READY)} AS ready, {oldest(WAITING)} AS waiting, {now(dialect)} AS now"
    )


@cache
def first_seen(dialect: str) -> str:
    """Note a message as handled; changes no row if it is already, and waits for who is at it."""
    values = f"INTO covet_inbox (consumer, message_id, seen) VALUES (?, ?, {now(dialect)})"
    if dialect == "mysql":
        return f"INSERT IGNORE {values}"
    return f"INSERT {values} ON CONFLICT DO NOTHING"


PURGED = 1000
"""Rows that one statement of the retention removes."""


@cache
def purge_inbox(dialect: str) -> str:
    """Forget some of what was handled longer ago than that."""
    old = f"seen < {now(dialect)} - ?"
    if dialect == "mysql":
        return f"DELETE FROM covet_inbox WHERE {old} ORDER BY seen LIMIT {PURGED}"  # noqa: S608
    return (
        "DELETE FROM covet_inbox WHERE (consumer, message_id) IN (SELECT consumer, message_id"  # noqa: S608
        f" FROM covet_inbox WHERE {old} ORDER BY seen LIMIT {PURGED})"
    )


@cache
def old_dead(dialect: str) -> str:
    """Some dead messages that have been there for longer than that."""
    return (
        f"SELECT position FROM covet_outbox WHERE state = {DEAD} AND due < {now(dialect)} - ?"  # noqa: S608
        f" LIMIT {PURGED}"
    )
