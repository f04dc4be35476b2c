"""The driver: everything around a call that is not the chain. Deadline, cause, disconnect, context.

The driver steps the call's coroutine itself. That gives each call a context of its own without a
task of its own, and starts the deadline's timer and the disconnect watcher only for calls that
actually wait; most never do.

The same goes for the cancel scope: it is entered when the coroutine first waits. By then the handler
may have opened scopes of its own, which have to be inside it. So the driver looks where the task
stands before the first step; if that has changed, the scope is sunk beneath what was opened, and from
then on the scope is entered first for this operation, as it is where the event loop does not let
itself be looked at. A transport with long-lived tasks may use a `Lane`, which keeps one scope for many
calls.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import anyio

from covet_kernel.contracts import Binding, Call
from covet_operations._errors import Cancelled, DeadlineExceeded, OperationError, Unavailable
from covet_operations._nesting import Nesting
from covet_operations._suspended import Suspended
from covet_operations._translate import Translator

if TYPE_CHECKING:
    from covet_operations._endpoint import Endpoint

Watch: TypeAlias = Callable[[], Awaitable[None]]
log = logging.getLogger("covet.operations")

_UNBEGUN: Final = object()


class Pending:
    """What is left of a call after its first step; of one that enters its scope first, all of it.

    Args:
        coroutine: The chain.
        context: What it is stepped in.
        trap: What the first step has yielded, unless it is still to be taken.
        nesting: Knows where the task stands, if the first step was taken.
        place: Where that was before.
    """

    __slots__ = ("_context", "_coroutine", "_nesting", "_place", "_trap")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        context: Context,
        trap: Any = _UNBEGUN,
        nesting: Nesting | None = None,
        place: object = None,
    ) -> None:
        self._coroutine = coroutine
        self._context = context
        self._nesting = nesting
        self._place = place
        self._trap = trap

    async def finish(
        self,
        call: Call,
        watch: Watch | None,
        gone: Callable[[Call], None],
        sunk: Callable[[], None],
    ) -> None:
        """Run the call to its end under a scope of its own, in the task that began it.

        Args:
            call: Its deadline is set already.
            watch: Returns when the caller is gone.
            gone: What to do then.
            sunk: Told if the call had opened scopes of its own before its own was entered.

        Raises:
            OperationError: The call was cancelled; which one follows from the cause.
            Exception: Whatever the coroutine raises.
        """
        nesting, moved = self._nesting, False
        if nesting is not None:
            moved = nesting.place() is not self._place
            if moved:
                sunk()
        if watch is not None:
            await self._watched(call, watch, gone, moved)
            return
        if nesting is None or moved:
            with anyio.CancelScope() as scope:
                await self._within(call, scope, moved)
                return
            raise ended(call)
        # The same for nearly every call that waits, with a coroutine less around it.
        with nesting.scope(deadline=call.deadline) as scope:
            call.scope = scope
            if call.cause is not None:
                scope.cancel()
            await Suspended(self._coroutine, self._context, self._trap)
            return
        raise ended(call)

    async def _within(
        self,
        call: Call,
        scope: anyio.CancelScope,
        moved: bool,
        begin: Callable[[], None] | None = None,
    ) -> None:
        """The same within a scope that was entered just now."""
        call.scope = scope
        if moved and self._nesting is not None:
            self._nesting.sink(self._place)
        if call.cause is not None:
            scope.cancel()
        if self._trap is _UNBEGUN:
            await stepped(self._coroutine, call, scope, begin, self._context)
            return
        deadline = call.deadline
        if deadline != math.inf:
            scope.deadline = deadline
        if begin is not None:
            begin()
        await Suspended(self._coroutine, self._context, self._trap)

    async def _watched(
        self, call: Call, watch: Watch, gone: Callable[[Call], None], moved: bool
    ) -> None:
        """The same with a watcher beside it, in a task group whose scope is the call's."""
        # The outcome leaves the group by hand: raised inside, it would arrive wrapped in a group.
        done = False
        failure: list[Exception] = []
        watching = anyio.CancelScope()

        async def watcher() -> None:
            with watching:
                await watch()
                gone(call)

        async with anyio.create_task_group() as group:

            def begin() -> None:
                group.start_soon(watcher)

            try:
                await self._within(call, group.cancel_scope, moved, begin)
                done = True
            except Exception as error:
                failure.append(error)
            finally:
                watching.cancel()
        if done:
            return
        if failure:
            raise failure[0]
        raise ended(call)


async def stepped(
    coroutine: Coroutine[Any, Any, Any],
    call: Call,
    scope: anyio.CancelScope,
    begin: Callable[[], None] | None = None,
    context: Context | None = None,
) -> Any:
    """Step a coroutine in a context of its own; set the deadline when it first waits."""
    if context is None:
        context = copy_context()
    try:
        trap = context.run(coroutine.send, None)
    except StopIteration as stop:
        return stop.value
    if call.deadline != math.inf:
        scope.deadline = call.deadline
    if begin is not None:
        begin()
    return await Suspended(coroutine, context, trap)


def ended(call: Call) -> OperationError:
    """The error of a call that was cancelled. Without a cause it was the scope's own deadline."""
    if call.cause is None:
        call.cause = "deadline"
    match call.cause:
        case "deadline":
            return DeadlineExceeded("the call took longer than it may")
        case "shutdown":
            return Unavailable("the service is stopping")
        case _:
            return Cancelled("the call was cancelled")


def answer(call: Call, error: Exception, translator: Translator) -> OperationError:
    """The typed error to answer with, whatever was raised."""
    known = translator.error(error)
    if known is not None:
        return known
    # One that has not waited yet has no scope; it may have cancelled itself all the same.
    cancelled = call.cause is not None if call.scope is None else call.scope.cancel_called
    if cancelled:
        # A library that turns cancellation into an exception of its own: the cause still counts.
        log.warning("%s failed while it was cancelled", call.operation.name, exc_info=error)
        return ended(call)
    return translator.unexpected(call, error)


class Lane:
    """Runs one call after another in a long-lived task under one scope.

    For transports with a task per connection or per consumer. A call that never waits pays neither
    scope nor timer. Enter and use it in the same task, with nothing that holds a cancel scope
    between the ``async with`` and ``run``: after a cancelled call the lane's scope is replaced::

        async with Lane() as lane:
            async for frame in frames:
                body = await lane.run(endpoint, Frame(endpoint, frame))
    """

    def __init__(self) -> None:
        self._scope: anyio.CancelScope

    async def __aenter__(self) -> Self:
        self._scope = anyio.CancelScope().__enter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        return bool(self._scope.__exit__(kind, error, trace))

    async def run(self, endpoint: Endpoint[Binding], call: Call, *, connection: Any = None) -> Any:
        """Like `Endpoint.run`; who learns of a disconnect calls ``endpoint.disconnect(call)``."""
        scope = self._scope
        call.scope = scope
        try:
            result = await endpoint.carry(call, scope, connection)
        except BaseException as error:
            if not scope.cancel_called:
                raise
            if not self._renew() and not isinstance(error, Exception):
                # Cancelled from further out as well, so the lane ends.
                raise
            if isinstance(error, OperationError):
                raise
            raise ended(call) from None
        else:
            if scope.cancel_called:
                self._renew()
            return result
        finally:
            # A late cancel of this call must not hit the next one.
            call.scope = None
            if self._scope.deadline != math.inf:
                self._scope.deadline = math.inf

    def _renew(self) -> bool:
        """Leave the cancelled scope and enter another; whether the cancellation was the scope's."""
        caught = self._scope.__exit__(*sys.exc_info())
        self._scope = anyio.CancelScope().__enter__()
        return bool(caught)
