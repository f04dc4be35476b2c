"""Leader and followers: the tasks that run requests.

One worker leads: it waits for the engine, takes a batch of events and takes the first step of each
request's coroutine itself. Most coroutines end with that step, and have cost neither a task nor a
timer. If one waits, this worker stays with it, because scopes, timeouts and task groups that were
opened on the way belong to this task; the rest of the batch and the lead go to another worker. So
every coroutine runs in one real task from beginning to end, and in a context of its own.

Each worker has one long-lived cancel scope, which is the call's while a call waits in it. A worker
whose scope was cancelled, or in which a call left something behind, ends after that call.

The lead is never lost: whatever ends a leader, the keeper appoints another one that goes on where it
stopped, unless everything is being cancelled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextvars import Context, copy_context
from typing import Any, TypeAlias

import anyio
import anyio.abc

from covet_engine._core import Core, Event, Kind
from covet_engine._exchange import Exchange, Target
from covet_engine._wait import Loop, Seat
from covet_operations import Suspended

log = logging.getLogger("covet.engine")

_REQUEST = int(Kind.REQUEST)
_FATAL = (KeyboardInterrupt, SystemExit)
_Waiting: TypeAlias = tuple[Exchange, Coroutine[Any, Any, Any], Context, Any]
_NOTHING: tuple[Event, ...] = ()


class Pool:
    """Workers in one task group.

    Args:
        core: Its events are worked on.
        loop: The running event loop; it watches the engine's descriptor.
        tasks: Where the workers live. Cancelling it ends them all, and with them the pool.
        warm: How many workers without a call are kept for the next call that waits.

    Attributes:
        targets: What route numbers lead to. Looked at whenever a batch begins.
        foresee: Shown every batch before it is worked on.
        notice: Called with the kind of events that are no request's: EMPTY, LOG and FLOODED.
    """

    def __init__(
        self,
        core: Core,
        loop: Loop,
        tasks: anyio.abc.TaskGroup,
        *,
        warm: int = 512,
    ) -> None:
        self.targets: Sequence[Target] = ()
        self.foresee: Callable[[Sequence[Event]], object] | None = None
        self.notice: Callable[[int], object] = Kind
        self._core = core
        self._loop = loop
        self._tasks = tasks
        self._warm = warm
        self._parked: list[Seat] = []
        self._leader: Seat | None = None
        self._rest: Iterator[Event] = iter(_NOTHING)
        self._keeper = loop.seat()
        self._cancelled = anyio.get_cancelled_exc_class()
        core.soon = loop.soon(core.flush, self._keeper)
        core.seat = loop.seat

    def start(self) -> None:
        """Begin to wait for events."""
        self._lead(self._rest)
        self._tasks.start_soon(self._keep, name="engine keeper")

    async def _keep(self) -> None:
        """See to it that somebody leads, and that what was collected out of turn is sent."""
        while True:
            self._core.flush()
            if self._leader is None:
                self._lead(self._rest)
            await self._keeper.park()

    def _lead(self, rest: Iterator[Event]) -> None:
        """Let another worker go on with a batch, and lead from then on."""
        parked = self._parked
        while parked:
            seat = parked.pop()
            if seat.waiting:
                seat.rest = rest
                self._leader = seat
                seat.wake()
                return
        seat = self._loop.seat()
        seat.rest = rest
        self._leader = seat
        self._tasks.start_soon(self._work, seat, name="engine worker")

    async def _work(self, seat: Seat) -> None:
        """A worker's life: leads, follows, leads again."""
        try:
            with anyio.CancelScope() as scope:
                situation = seat.situation()
                own = situation()
                try:
                    # Not one within the other: a call may wait for hours, and each coroutine around it
                    # takes memory all the while, and time whenever it goes on.
                    while (waiting := await self._run(seat, situation)) is not None:
                        fit = await self._stay(scope, *waiting)
                        waiting = None
                        if not fit or situation() is not own or seat.unsettled():
                            break
                        self._parked.append(seat)
                        await seat.park()
                finally:
                    seat.unwind(scope)
        except _FATAL:
            self._core.flush()
            raise
        except (self._cancelled, GeneratorExit):
            # A worker that was cancelled just ends. Raised further, one call's cancellation that
            # hit the task itself would be taken for the end of the whole group.
            pass
        except RuntimeError as error:
            # What a loop says of scopes that are left in the wrong order.
            log.error("a call has left a scope or a task group open", exc_info=error)
        finally:
            if self._leader is seat:
                self._leader = None
                if self._keeper.waiting:
                    self._keeper.wake()

    async def _run(self, seat: Seat, situation: Callable[[], object]) -> _Waiting | None:
        """Lead until a call waits.

        Returns:
            What is left of that call, to be stayed with; ``None`` if this worker is not fit for others.
        """
        core, rest = self._core, seat.rest
        live = core.live
        own = situation()
        while True:
            targets = self.targets
            for handle, at, size, route, kind, flags, extra in rest:
                if kind != _REQUEST:
                    concerned = live.get(handle)
                    if concerned is None:
                        self._unclaimed(kind, extra)
                        continue
                    try:
                        concerned.on_event(kind, at, size, flags, extra)
                    except Exception as error:
                        log.error("an event was not understood", exc_info=error)
                    continue
                try:
                    exchange = targets[route](handle, at, size, flags)
                except BaseException as error:
                    self._refuse(handle, error)
                    continue
                context = copy_context()
                try:
                    coroutine = context.run(exchange.start)
                    if coroutine is None:
                        exchange.finish(None)
                        continue
                except BaseException as error:
                    self._fail(exchange, error)
                    continue
                try:
                    trap = context.run(coroutine.send, None)
                except StopIteration as stop:
                    self._finish(exchange, stop.value)
                except BaseException as error:
                    self._fail(exchange, error)
                else:
                    self._lead(rest)
                    return exchange, coroutine, context, trap
                if situation() is not own:
                    self._lead(rest)
                    return None
            core.flush()
            await seat.readable()
            rest = core.poll()
            if self.foresee is not None:
                rest = self._foreseen(list(rest), self.foresee)
            self._rest = rest

    def _foreseen(
        self, events: list[Event], foresee: Callable[[Sequence[Event]], object]
    ) -> Iterator[Event]:
        try:
            foresee(events)
        except Exception as error:
            # What was wrong with one of them will be found when it is its turn.
            log.debug("a batch could not be foreseen: %r", error)
        return iter(events)

    async def _stay(
        self,
        scope: anyio.CancelScope,
        exchange: Exchange,
        coroutine: Coroutine[Any, Any, Any],
        context: Context,
        trap: Any,
    ) -> bool:
        """Run the rest of a coroutine that waits; whether the worker came through it unharmed."""
        fit = True
        try:
            try:
                exchange.suspended(scope)
            except BaseException:
                context.run(coroutine.close)
                raise
            result = await Suspended(coroutine, context, trap)
        except BaseException as error:
            fit = not isinstance(error, (self._cancelled, GeneratorExit))
            self._fail(exchange, error)
        else:
            self._finish(exchange, result)
        self._core.flush_soon()
        return fit and not scope.cancel_called and len(self._parked) < self._warm

    def _finish(self, exchange: Exchange, result: Any) -> None:
        try:
            exchange.finish(result)
        except BaseException as error:
            self._fail(exchange, error)

    def _fail(self, exchange: Exchange, error: BaseException) -> None:
        """Answer with an error, whatever it is, so that no request stays without an answer.

        Raises:
            KeyboardInterrupt: That was the error; it is answered all the same.
            SystemExit: The same.
        """
        try:
            exchange.fail(error)
        except BaseException as second:
            log.error("an error could not be answered", exc_info=second)
            self._core.live.pop(exchange.handle, None)
            self._core.abort(exchange.handle)
        if isinstance(error, _FATAL):
            raise error

    def _refuse(self, handle: int, error: BaseException) -> None:
        """Answer a request for which there is not even an exchange."""
        log.error("a request could not be begun", exc_info=error)
        self._core.reply(handle, 500, b"", close=True)
        if isinstance(error, _FATAL):
            raise error

    def _unclaimed(self, kind: int, extra: int) -> None:
        """An event that is no call's, or whose call has ended in the meantime."""
        if kind == Kind.REFUSED:
            log.error("an answer of status %d was not sent: a line end in one of its fields", extra)
        elif kind in (Kind.EMPTY, Kind.LOG, Kind.FLOODED):
            self.notice(kind)
