"""Starting sagas, and asking how far they are."""

from __future__ import annotations

from math import inf
from typing import Final, TypeVar
from uuid import UUID, uuid5

from covet_kernel.contracts import Capability, Record, SqlSession
from covet_sagas._saga import Saga, encoded
from covet_sagas._statements import NAMES, insert, note
from covet_sql import uuid7
from covet_sql.queue import Doorbell

D = TypeVar("D")
KEYS = UUID("0e0a2c4e-8d6d-5ce1-9f7c-6a2a4f3c1b57")
"""The namespace of identifiers that come of a key."""


class Status(Record):
    """How far a saga is.

    Attributes:
        state: ``"running"``, ``"undoing"``, ``"done"``, ``"undone"`` or ``"parked"``.
        step: The one at hand, the last one if it is over.
        attempts: At that step.
        error: Why it is undone or parked, or what the last attempt failed of.
        data: What it knows, as JSON.
    """

    id: str
    name: str
    state: str
    step: str
    attempts: int
    error: str
    data: str


class Sagas:
    """Starts sagas in the caller's transaction.

    Args:
        data_bytes: Of a saga's data at most.
        doorbell: Is told, so that this process looks soon.

    Attributes:
        started: How many were started, in transactions that may not have been committed.
    """

    def __init__(self, data_bytes: int, doorbell: Doorbell) -> None:
        self._most = data_bytes
        self._doorbell = doorbell
        self.started = 0

    async def start(
        self, session: SqlSession, saga: Saga[D], data: D, *, key: str | None = None
    ) -> str:
        """Have a saga run if, and only if, the session's transaction commits.

        Args:
            session: The caller's, on the database of the sagas.
            saga: What to run; some process has to declare it.
            data: What it knows at the start.
            key: Starts one saga of this name at most, however often it is used while that one
                is kept.

        Returns:
            The identifier.

        Raises:
            ValueError: The data is no JSON, or too large.
            SqlError: The database refused.
        """
        text = encoded(saga, data, self._most)
        identifier = str(uuid7() if key is None else uuid5(KEYS, f"{saga.name}\0{key}"))
        first, ends = saga.steps[0].name, saga.deadline < inf
        values = [identifier, saga.name, first, text]
        more = [int(saga.deadline * 1000)] if ends else []
        async with session.transaction() as part:
            if await part.execute(insert(part.dialect, ends=ends), [*values, *more]):
                await part.execute(note(part.dialect), (identifier, "started", first, 0, ""))
                self.started += 1
        self._doorbell.expect()
        return identifier

    async def status(self, session: SqlSession, id: str) -> Status | None:
        """How far a saga is; ``None`` if there is none of that identifier.

        Raises:
            SqlError: The database refused.
        """
        row = await session.fetch_one(
            "SELECT id, name, state, step, attempts, error, data FROM covet_sagas WHERE id = ?",
            (id,),
        )
        return None if row is None else Status(**{**row, "state": NAMES[row["state"]]})


SAGAS: Final = Capability[Sagas]("sagas.sagas", plugins=("sagas",))
"""Starts sagas."""
