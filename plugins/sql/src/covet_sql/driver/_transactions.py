"""What a transaction may be asked for."""

from __future__ import annotations

from typing import get_args

from covet_kernel.contracts import Isolation, SqlError

LEVELS: tuple[Isolation, ...] = get_args(Isolation)


def check_isolation(isolation: Isolation | None) -> None:
    """Refuse what is no isolation level, before it becomes part of a statement.

    Raises:
        SqlError: It is none of the contract's.
    """
    if isolation is not None and isolation not in LEVELS:
        valid = ", ".join(map(repr, LEVELS))
        raise SqlError(
            f"{isolation!r} is not an isolation level that can be had; these are: {valid}",
            sqlstate="0A000",
        )
