"""The statements, in each database's words. All times are milliseconds of the database's clock."""

from __future__ import annotations

from functools import cache

from covet_sql.queue import milliseconds as now

FORWARD, BACKWARD, DONE, UNDONE, PARKED = range(5)
"""States of a saga: steps are run, steps are undone; it is over, one way or the other; or it needs
somebody's attention."""

NAMES = ("running", "undoing", "done", "undone", "parked")
OVER = (DONE, UNDONE)

_OWN = "WHERE id = ? AND fence = ? AND state = ? AND step = ?"
"""What is recorded by who no longer has the saga, or twice, changes no row."""


@cache
def insert(dialect: str, *, ends: bool) -> str:
    """A new saga; changes no row if there is one of that identifier."""
    # The texts are made of this module's own, here and below.
    verb = "INSERT IGNORE" if dialect == "mysql" else "INSERT"
    conflict = "" if dialect == "mysql" else " ON CONFLICT DO NOTHING"
    clock = now(dialect)
    return (
        f"{verb} INTO covet_sagas (id, name, state, was, step, data, attempts, fence, due, started,"
        f" changed, error, ends) VALUES (?, ?, {FORWARD}, {FORWARD}, ?, ?, 0, 0, {clock}, {clock},"
        f" {clock}, '', {f'{clock} + ?' if ends else '0'}){conflict}"
    )


@cache
def due(dialect: str, names: int) -> str:
    """Sagas with something to do that nobody has."""
    lock = "" if dialect == "sqlite" else " FOR UPDATE SKIP LOCKED"
    return (
        f"SELECT id, name, state, step, data, attempts, fence, ends, {now(dialect)} AS now"  # noqa: S608
        f" FROM covet_sagas WHERE state IN ({FORWARD}, {BACKWARD}) AND due <= {now(dialect)}"
        f" AND name IN ({', '.join('?' * names)}) ORDER BY due LIMIT ?{lock}"
    )


@cache
def take(dialect: str) -> str:
    """Have one of them for a while; nobody who had it before can record anything any more."""
    return (
        f"UPDATE covet_sagas SET fence = fence + 1, attempts = attempts + 1, due = {now(dialect)} + ?"  # noqa: S608
        " WHERE id = ? AND fence = ?"
    )


@cache
def renew(dialect: str) -> str:
    """Have it for longer."""
    return f"UPDATE covet_sagas SET due = {now(dialect)} + ? WHERE id = ? AND fence = ?"  # noqa: S608


@cache
def move(dialect: str) -> str:
    """Go on to another step or state, which begins at once."""
    return (
        "UPDATE covet_sagas SET state = ?, was = ?, step = ?, data = ?, attempts = ?,"  # noqa: S608
        " error = CASE WHEN ? = '' THEN error ELSE ? END,"
        f" changed = {now(dialect)}, due = {now(dialect)} + ? {_OWN}"
    )


@cache
def postpone(dialect: str) -> str:
    """Try the step again later."""
    return f"UPDATE covet_sagas SET error = ?, changed = {now(dialect)}, due = {now(dialect)} + ? {_OWN}"  # noqa: S608


@cache
def release(dialect: str) -> str:
    """Let others go on at once, with a step that was not begun."""
    return f"UPDATE covet_sagas SET attempts = attempts - 1, due = {now(dialect)} {_OWN}"  # noqa: S608


@cache
def note(dialect: str) -> str:
    """A line of the log."""
    return (
        "INSERT INTO covet_saga_log (saga, happened, event, step, attempt, error)"  # noqa: S608
        f" VALUES (?, {now(dialect)}, ?, ?, ?, ?)"
    )


@cache
def resume(dialect: str) -> str:
    """Have a parked saga go on where it stood, with attempts anew."""
    return (
        f"UPDATE covet_sagas SET state = was, attempts = 0, error = '', due = {now(dialect)},"  # noqa: S608
        f" changed = {now(dialect)} WHERE id = ? AND state = {PARKED}"
    )


COUNTED = 100_000


@cache
def measure(dialect: str) -> str:
    """How many sagas there are in each state that is not over, and how late the latest is."""

    def some(state: int) -> str:
        return (
            f"(SELECT count(*) FROM (SELECT 1 AS one FROM covet_sagas WHERE state = {state}"  # noqa: S608
            f" LIMIT {COUNTED}) AS c) AS {NAMES[state]}"
        )

    def oldest(state: int) -> str:
        return f"(SELECT min(due) FROM covet_sagas WHERE state = {state}) AS {NAMES[state]}_due"  # noqa: S608

    columns = [some(state) for state in (FORWARD, BACKWARD, PARKED)]
    columns += [oldest(state) for state in (FORWARD, BACKWARD)]
    return f"SELECT {', '.join(columns)}, {now(dialect)} AS now"


PURGED = 500
"""Sagas that one sweep of the retention removes."""


@cache
def old(dialect: str) -> str:
    """Some sagas that have been over for longer than that."""
    return (
        f"SELECT id FROM covet_sagas WHERE state IN ({DONE}, {UNDONE})"  # noqa: S608
        f" AND due < {now(dialect)} - ? LIMIT {PURGED}"
    )
