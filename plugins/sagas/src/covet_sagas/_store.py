"""What is recorded of a saga, by whom it is held."""

from __future__ import annotations

from collections.abc import Sequence

from covet_kernel.contracts import SqlDatabase, SqlSession
from covet_sagas._saga import Held
from covet_sagas._statements import (
    BACKWARD,
    due,
    move,
    note,
    postpone,
    release,
    renew,
    take,
)


class LostError(Exception):
    """Somebody else has the saga: nothing was recorded."""


class Store:
    """The tables.

    Args:
        db: Where they are.
        lease: Seconds for which a saga is had without a sign of who has it.
    """

    def __init__(self, db: SqlDatabase, lease: float) -> None:
        self.db = db
        self._dialect = db.dialect
        self._lease = int(lease * 1000)

    async def take(self, names: Sequence[str], most: int) -> list[Held]:
        """Have some sagas of these names that nobody has.

        Raises:
            SqlError: The database refused.
        """
        text, wanted = due(self._dialect, len(names)), (*names, most)
        if not await self.db.fetch_all(text.partition(" FOR UPDATE")[0], (*names, 1)):
            return []  # a look takes no lock
        taken = []
        async with self.db.transaction() as session:
            for row in await session.fetch_all(text, wanted):
                values = (self._lease, row["id"], row["fence"])
                if await session.execute(take(self._dialect), values):
                    more = {"attempts": row["attempts"] + 1, "fence": row["fence"] + 1}
                    taken.append(Held(**{**row, **more}))
        return taken

    async def renew(self, held: Held) -> bool:
        """Have it for longer; whether it still is one's own.

        Raises:
            SqlError: The database refused.
        """
        values = (self._lease, held.id, held.fence)
        return bool(await self.db.execute(renew(self._dialect), values))

    async def move(
        self,
        session: SqlSession,
        held: Held,
        *,
        event: str,
        state: int,
        step: str = "",
        data: str | None = None,
        error: str = "",
    ) -> Held:
        """Record what happened, and what is next; that it was begun counts as its first attempt.

        Args:
            session: Of a transaction; the record is worth what that is worth.
            held: The saga as it was.
            event: What happened, for the log.
            state: The new one.
            step: What is next, the same as before if there is nothing.
            data: What the saga knows now, if that has changed.
            error: Why; what was kept before stays if there is nothing to say.

        Raises:
            LostError: Somebody else has it.
            SqlError: The database refused.
        """
        new = held.replaced(
            state=state,
            step=step or held.step,
            data=held.data if data is None else data,
            attempts=1,
        )
        wait = self._lease if state <= BACKWARD else 0
        values = (state, held.state, new.step, new.data, new.attempts, error, error, wait)
        if not await session.execute(move(self._dialect), (*values, *_own(held))):
            raise LostError
        await self._note(session, held, event, error)
        return new

    async def postpone(self, held: Held, seconds: float, error: str) -> None:
        """Try the step again later.

        Raises:
            LostError: Somebody else has it.
            SqlError: The database refused.
        """
        async with self.db.transaction() as session:
            values = (error, int(seconds * 1000), *_own(held))
            if not await session.execute(postpone(self._dialect), values):
                raise LostError
            await self._note(session, held, "failed", error)

    async def release(self, held: Held) -> None:
        """Let others go on with it, as if this attempt had not begun.

        Raises:
            SqlError: The database refused.
        """
        await self.db.execute(release(self._dialect), _own(held))

    async def _note(self, session: SqlSession, held: Held, event: str, error: str) -> None:
        values = (held.id, event, held.step, held.attempts, error)
        await session.execute(note(self._dialect), values)


def _own(held: Held) -> tuple[str, int, int, str]:
    return held.id, held.fence, held.state, held.step
