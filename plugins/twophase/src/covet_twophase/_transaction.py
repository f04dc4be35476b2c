"""A transaction over several databases: its branches, and the two phases of its end."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from covet_kernel.contracts import Capability, Isolation, SqlDatabase, SqlError, SqlSession
from covet_twophase._errors import HeuristicError, InDoubtError, UnrecordedError
from covet_twophase._names import BranchName, new_id
from covet_twophase._recovery import Outcome

if TYPE_CHECKING:
    from covet_twophase._coordinator import Coordinator

Step: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
UNSURE = "it is not known whether it was rolled back"
MISSING = frozenset(("42704", "XAE04"))
"""The states with which databases say that there is no branch of that name."""


class UndoneError(Exception):
    """Raised through a branch's block to have it rolled back."""


class Part:
    """A branch of a transaction, in its database's hands.

    Args:
        name: Of the database.
        branch: What the database calls it.
        block: The block of the database's transaction, entered.
        session: What that gave.
        asked: With which words it was begun.

    Attributes:
        prepared: The database has promised that it can be committed.
        tried: It has, or may have.
        failure: Why the last step of it failed.
    """

    def __init__(
        self,
        name: str,
        branch: BranchName,
        block: AbstractAsyncContextManager[SqlSession],
        session: Any,
        asked: tuple[bool, Isolation | None],
    ) -> None:
        self.name = name
        self.branch = branch
        self.session = session
        self.asked = asked
        self.prepared = False
        self.tried = False
        self.failure: SqlError | None = None
        self._block = block
        self._ended = False

    @property
    def changes(self) -> bool:
        """Whether anything may be changed in it."""
        return not self.asked[0]

    async def prepare(self) -> None:
        """Have the database promise, or say in `failure` why it does not."""
        self.tried = True
        try:
            self.prepared = self.tried = await self.session.prepare()
        except SqlError as error:
            self.failure = error

    async def commit(self) -> None:
        """End the block; `failure` says what came of it."""
        if self._ended:
            return
        self._ended = True
        try:
            await self._block.__aexit__(None, None, None)
        except SqlError as error:
            self.failure = error
        else:
            self.failure = None

    async def roll_back(self) -> None:
        """End the block as an error does."""
        if self._ended:
            return
        self._ended = True
        undone = UndoneError()
        # The driver says nothing of a rollback that failed: what is left is found by its name.
        with suppress(UndoneError, SqlError):
            await self._block.__aexit__(UndoneError, undone, None)

    async def leave(self) -> None:
        """End the block and leave the branch as it is."""
        if self.prepared:
            self.session.leave()
            await self.commit()
        else:
            await self.roll_back()


class Transaction:
    """See `covet_twophase.TwoPhaseTransaction`.

    Attributes:
        left: The databases whose part could not be ended, how it is to be, and why it could not.
    """

    def __init__(self, coordinator: Coordinator) -> None:
        self.id = new_id()
        self.pending: frozenset[str] = frozenset()
        self._coordinator = coordinator
        self._task = anyio.get_current_task().id
        self._parts: dict[str, Part] = {}
        self._open = True
        self.left: list[tuple[str, Outcome, str]] = []

    async def session(
        self,
        database: Capability[SqlDatabase],
        *,
        read_only: bool = False,
        isolation: Isolation | None = None,
    ) -> SqlSession:
        name, found = self._coordinator.database(database)
        if not self._open:
            raise SqlError("the transaction has ended", sqlstate="25000")
        if anyio.get_current_task().id != self._task:
            raise SqlError(
                "a transaction belongs to the task that began it; another task needs its own",
                sqlstate="25000",
            )
        asked = (read_only, isolation)
        if (part := self._parts.get(name)) is None:
            part = self._parts[name] = await self._begin(name, found, asked)
        elif part.asked != asked:
            raise SqlError(
                f"its part on {database.id} was begun with read_only={part.asked[0]} and"
                f" isolation={part.asked[1]!r}",
                sqlstate="25001",
            )
        session: SqlSession = part.session
        return session

    async def _begin(self, name: str, database: Any, asked: tuple[bool, Isolation | None]) -> Part:
        branch = BranchName(self._coordinator.log.coordinator, self.id, len(self._parts) + 1)
        block = database.transaction(read_only=asked[0], isolation=asked[1], branch=str(branch))
        part = Part(name, branch, block, await block.__aenter__(), asked)
        self._coordinator.reached(f"begun {branch.number}")
        return part

    # The end

    async def roll_back(self) -> None:
        """Undo everything, shielded; what cannot be reached is handed over."""
        self._open = False
        self._coordinator.counts.rolled_back += 1
        await self._undo()

    async def commit(self) -> None:
        """Commit everything, or nothing.

        Raises:
            SqlError: Nothing was committed, or see `covet_twophase.TwoPhase`.
        """
        self._open = False
        parts = [*self._parts.values()]
        changing = [part for part in parts if part.changes]
        try:
            if len(changing) < 2:
                await self._in_one_phase(parts, changing)
                return
            await self._prepare(parts)
        except BaseException:
            await self.roll_back()
            raise
        prepared = [part for part in parts if part.prepared]
        with anyio.CancelScope(shield=True):
            if prepared:
                await self._decide(prepared)
            else:
                self._coordinator.counts.one_phase += 1
            await self._finish(parts)

    async def _in_one_phase(self, parts: list[Part], changing: list[Part]) -> None:
        await self._prepare([part for part in parts if not part.changes])
        self._coordinator.reached("readers done")
        for part in changing:
            await part.commit()
            if (failure := part.failure) is not None:
                part.failure = None
                raise failure
        self._coordinator.counts.one_phase += 1
        await self._finish([*self._parts.values()])

    async def _prepare(self, parts: list[Part]) -> None:
        """The first phase."""
        await concurrently([self._steps(part.prepare, part, "prepared") for part in parts])
        for part in parts:
            if part.failure is not None:
                raise part.failure
        self._coordinator.reached("all prepared")

    async def _decide(self, prepared: list[Part]) -> None:
        try:
            await self._coordinator.log.decide(self.id, [part.name for part in prepared])
        except UnrecordedError:
            await self.roll_back()
            raise
        except InDoubtError as error:
            await concurrently([part.leave for part in self._parts.values()])
            for part in prepared:
                self.left.append((part.name, "roll back", str(error)))
            raise
        self._coordinator.counts.committed += 1
        self._coordinator.reached("decided")

    async def _finish(self, parts: list[Part]) -> None:
        """The second phase."""
        coordinator = self._coordinator
        for part in parts:
            part.failure = SqlError("it did not answer in time")
        with anyio.move_on_after(coordinator.config.finish_timeout, shield=True):
            await concurrently([self._steps(part.commit, part, "committed") for part in parts])
        gone: set[str] = set()
        for part in parts:
            if not part.prepared:
                continue
            if part.failure is None:
                coordinator.log.told(self.id, part.name)
            elif part.failure.sqlstate in MISSING:
                coordinator.log.told(self.id, part.name)
                coordinator.recovery.heuristic(self.id, part.name, str(part.failure))
                gone.add(part.name)
            else:
                self.left.append((part.name, "commit", str(part.failure)))
        self.pending = frozenset(name for name, _, _ in self.left)
        coordinator.reached("forgotten")
        if gone:
            raise HeuristicError(self.id, gone)

    async def _undo(self) -> None:
        parts = [*self._parts.values()]
        with anyio.move_on_after(self._coordinator.config.finish_timeout, shield=True):
            await concurrently([self._steps(part.roll_back, part, "rolled back") for part in parts])
        for part in parts:
            if part.tried:
                # A rollback may have failed; and what could not be prepared may be so all the same.
                self.left.append((part.name, "roll back", str(part.failure or UNSURE)))

    def _steps(self, step: Step, part: Part, word: str) -> Step:
        async def run() -> None:
            await step()
            self._coordinator.reached(f"{word} {part.branch.number}")

        return run


async def concurrently(steps: Iterable[Step]) -> None:
    """Take steps at once, and wait for all."""
    first, *others = [*steps] or [_nothing]
    if not others:
        await first()
        return
    async with anyio.create_task_group() as tasks:
        for each in others:
            tasks.start_soon(each)
        await first()


async def _nothing() -> None:
    pass
