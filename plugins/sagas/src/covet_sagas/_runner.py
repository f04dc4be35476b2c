"""One saga in one worker's hands: runs its steps, or undoes them, and records each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from logging import Logger
from math import inf
from typing import Any, TypeAlias

import anyio

from covet_kernel.contracts import SqlError, SqlSession
from covet_sagas._config import SagasConfig
from covet_sagas._saga import Attempt, Held, RefusedError, Saga, encoded
from covet_sagas._statements import BACKWARD, DONE, FORWARD, PARKED, UNDONE
from covet_sagas._store import LostError, Store
from covet_sql.queue import backoff, reason_of

RELEASE = 5.0
"""Seconds that a worker that is stopped may take to let others have the saga."""
RENEWALS = 3
"""How often a lease is renewed before it would be over."""
CRASHED = "the process ended at every attempt"

Do: TypeAlias = Callable[[Attempt[Any]], Awaitable[Any]]


class Counts:
    """What the workers of a process have done.

    Attributes:
        steps: Steps that were recorded as done, or as undone.
        failed: Attempts that failed.
        done: Sagas that are over with all their steps done.
        undone: Sagas that are over with all their steps undone.
        parked: Sagas that were parked.
        lost: Sagas that somebody else took over while they were worked at.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.failed = 0
        self.done = 0
        self.undone = 0
        self.parked = 0
        self.lost = 0


class Runner:
    """Works at one saga until it is over, has to wait, or is somebody else's.

    Args:
        store: Where it is recorded.
        config: The plugin's.
        counts: Shared with the others.
        log: Is told of trouble.
        saga: What it is.
        held: Where it stands.
    """

    def __init__(
        self,
        store: Store,
        config: SagasConfig,
        counts: Counts,
        log: Logger,
        saga: Saga[Any],
        held: Held,
    ) -> None:
        self._store = store
        self._config = config
        self._counts = counts
        self._log = log
        self._saga = saga
        self._held = held
        self._clock = held.now - anyio.current_time() * 1000
        self._lost = False

    async def work(self, draining: anyio.Event) -> None:
        """Go on with it; when ``draining`` is set, no other step is begun."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep, tasks.cancel_scope)
            try:
                await self._steps(draining)
            except LostError:
                self._lost = True
            except SqlError as error:
                # What was done is not recorded: behind the lease it is done again, by the same key.
                self._log.warning("saga %s cannot be recorded: %s", self._held.id, error)
            tasks.cancel_scope.cancel()
        self._counts.lost += self._lost

    async def _keep(self, scope: anyio.CancelScope) -> None:
        """Renew the lease, and stop the work when it is not certain to be one's own."""
        lease = self._config.lease
        until = anyio.current_time() + lease * (1 - 1 / RENEWALS)
        while True:
            await anyio.sleep(lease / RENEWALS)
            begun, mine = anyio.current_time(), None
            with anyio.move_on_after(until - begun):
                try:
                    mine = await self._store.renew(self._held)
                except SqlError as error:
                    self._log.warning("the lease of saga %s: %s", self._held.id, error)
            if mine:
                until = begun + lease
            elif mine is False or anyio.current_time() >= until:
                self._lost = True
                scope.cancel()
                return

    async def _steps(self, draining: anyio.Event) -> None:
        try:
            while await self._step():
                if draining.is_set():
                    await self._store.release(self._held)
                    return
        except anyio.get_cancelled_exc_class():
            if not self._lost:
                with anyio.move_on_after(RELEASE, shield=True):
                    await self._interrupted()
            raise

    async def _interrupted(self) -> None:
        """The process stops: whoever comes next need not wait for the lease."""
        try:
            await self._store.postpone(self._held, 0, "interrupted")
        except (SqlError, LostError) as error:
            self._log.info("saga %s waits for its lease: %r", self._held.id, error)

    async def _step(self) -> bool:
        """One attempt; whether to go on at once."""
        held, saga = self._held, self._saga
        try:
            index, data = saga.index(held.step), saga.decode(held.data)
        except (LookupError, ValueError) as error:
            return await self._park(reason_of(error))
        step = saga.steps[index]
        if held.state == FORWARD:
            if held.attempts > step.attempts:
                return await self._turn(index + 1, CRASHED)
            if self._left() <= 0:
                # An attempt that was begun before may have had its effect.
                return await self._turn(index + (held.attempts > 1), "the deadline is over")
            return await self._attempt(index, step.run, data, min(step.timeout, self._left()))
        if held.attempts > self._config.undo_attempts:
            return await self._park(CRASHED)
        if step.undo is None:
            return await self._advance(index, held.data)
        return await self._attempt(index, step.undo, data, step.timeout)

    async def _attempt(self, index: int, do: Do, data: Any, timeout: float) -> bool:
        held, step = self._held, self._saga.steps[index]
        key = f"{held.id}:{step.name}" + (":undo" if held.state == BACKWARD else "")
        try:
            if step.local:
                async with self._store.db.transaction() as session:
                    with anyio.fail_after(timeout):
                        result = await do(Attempt(held.id, key, held.attempts, data, session))
                    new = await self._record(session, index, self._encode(result))
                return self._recorded(new)
            with anyio.fail_after(timeout):
                result = await do(Attempt(held.id, key, held.attempts, data))
            changed = self._encode(result)
        except LostError:
            raise
        except Exception as error:
            return await self._failed(index, error)
        return await self._advance(index, changed)

    async def _failed(self, index: int, error: Exception) -> bool:
        """An attempt failed: try again, turn around, or give up."""
        held, step = self._held, self._saga.steps[index]
        self._counts.failed += 1
        reason = reason_of(error)
        seconds = backoff(held.attempts, self._config.first_wait, self._config.longest_wait)
        if held.state == FORWARD:
            if isinstance(error, RefusedError):
                return await self._turn(index, reason)
            if held.attempts >= step.attempts or self._left() <= 0:
                # What is not known to have failed is undone as well; a local step is known to have.
                return await self._turn(index + (not step.local), reason)
            seconds = min(seconds, self._left())
        elif held.attempts >= self._config.undo_attempts:
            return await self._park(reason)
        await self._store.postpone(held, seconds, reason)
        return False

    async def _advance(self, index: int, data: str) -> bool:
        """The step is done, or undone: record it."""
        async with self._store.db.transaction() as session:
            new = await self._record(session, index, data)
        return self._recorded(new)

    async def _record(self, session: SqlSession, index: int, data: str) -> Held:
        saga, held = self._saga, self._held
        if held.state == FORWARD:
            after = saga.steps[index + 1 : index + 2]
            state, event = (FORWARD if after else DONE), "done"
            step = after[0].name if after else ""
        else:
            before = saga.undoable(index)
            state, event = (BACKWARD if before else UNDONE), "undone"
            step = before.name if before else ""
        return await self._store.move(session, held, event=event, state=state, step=step, data=data)

    def _recorded(self, new: Held) -> bool:
        self._held = new
        self._counts.steps += 1
        self._counts.done += new.state == DONE
        self._counts.undone += new.state == UNDONE
        return new.state in (FORWARD, BACKWARD)

    async def _turn(self, below: int, reason: str) -> bool:
        """Undo the first so many steps, the last one first."""
        step = self._saga.undoable(below)
        state = BACKWARD if step else UNDONE
        self._log.info("saga %s is undone from %s on: %s", self._held.id, self._held.step, reason)
        async with self._store.db.transaction() as session:
            new = await self._store.move(
                session,
                self._held,
                event="turned",
                state=state,
                step=step.name if step else "",
                error=reason,
            )
        self._held = new
        self._counts.undone += state == UNDONE
        return state == BACKWARD

    async def _park(self, reason: str) -> bool:
        """It needs somebody's attention."""
        self._log.error("saga %s is parked at %s: %s", self._held.id, self._held.step, reason)
        async with self._store.db.transaction() as session:
            await self._store.move(session, self._held, event="parked", state=PARKED, error=reason)
        self._counts.parked += 1
        return False

    def _encode(self, result: Any) -> str:
        """What the saga knows from now on.

        Raises:
            ValueError: It cannot be kept.
        """
        if result is None:
            return self._held.data
        return encoded(self._saga, result, self._config.data_bytes)

    def _left(self) -> float:
        """Seconds until the deadline."""
        if not self._held.ends:
            return inf
        return (self._held.ends - self._clock) / 1000 - anyio.current_time()
