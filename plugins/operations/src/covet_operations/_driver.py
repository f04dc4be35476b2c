"""The driver: everything around a call that is not the chain. Deadline, cause, disconnect, context.

The driver steps the call's coroutine itself. That gives each call a context of its own without a
task of its own, and starts the deadline's timer and the disconnect watcher only for calls that
actually wait; most never do.

The cancel scope, however, is entered *before* the first step. Entering it only when the coroutine
first waits would put it inside whatever scopes the handler has opened by then, and those would be
left in the wrong order. What a scope costs (4 us on asyncio, 8 on trio) a transport with long-lived
tasks saves with a `Lane`, which keeps one scope for many calls.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import anyio

from covet_kernel.contracts import Binding, Call
from covet_operations._errors import Cancelled, DeadlineExceeded, OperationError, Unavailable
from covet_operations._translate import Translator

if TYPE_CHECKING:
    from covet_operations._endpoint import Endpoint

Watch: TypeAlias = Callable[[], Awaitable[None]]
log = logging.getLogger("covet.operations")


async def drive(
    coroutine: Coroutine[Any, Any, Any],
    call: Call,
    watch: Watch | None,
    gone: Callable[[Call], None],
) -> Any:
    """Run a call's coroutine to its end in this task, under a scope of its own.

    Args:
        coroutine: The chain, not yet begun.
        call: Its deadline is set already.
        watch: Returns when the caller is gone.
        gone: What to do then.

    Returns:
        What the coroutine returns.

    Raises:
        OperationError: The call was cancelled; which one follows from the cause.
    """
    if watch is not None:
        return await _watched(coroutine, call, watch, gone)
    with anyio.CancelScope() as scope:
        call.scope = scope
        return await stepped(coroutine, call, scope)
    raise ended(call)


async def _watched(
    coroutine: Coroutine[Any, Any, Any], call: Call, watch: Watch, gone: Callable[[Call], None]
) -> Any:
    """The same with a watcher beside it, in a task group whose scope is the call's."""
    # The outcome leaves the group by hand: raised inside, it would arrive wrapped in a group.
    outcome: list[Any] = []
    failure: list[Exception] = []
    watching = anyio.CancelScope()

    async def watcher() -> None:
        with watching:
            await watch()
            gone(call)

    async with anyio.create_task_group() as group:
        call.scope = group.cancel_scope

        def begin() -> None:
            group.start_soon(watcher)

        try:
            outcome.append(await stepped(coroutine, call, group.cancel_scope, begin))
        except Exception as error:
            failure.append(error)
        finally:
            watching.cancel()
    if outcome:
        return outcome[0]
    if failure:
        raise failure[0]
    raise ended(call)


async def stepped(
    coroutine: Coroutine[Any, Any, Any],
    call: Call,
    scope: anyio.CancelScope,
    begin: Callable[[], None] | None = None,
) -> Any:
    """Step a coroutine in a context of its own; set the deadline when it first waits."""
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


class Suspended:
    """What is left of a coroutine that has begun to wait: forwards its waits and their results.

    For drivers that step calls themselves: awaited in the task that took the first step, it runs the
    rest there.

    Args:
        coroutine: Was stepped once.
        context: The context it was stepped in; every further step is taken in it too.
        trap: What it yielded.
    """

    __slots__ = ("_context", "_coroutine", "_trap")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], context: Context, trap: Any) -> None:
        self._coroutine = coroutine
        self._context = context
        self._trap = trap

    def __await__(self) -> Generator[Any, Any, Any]:
        run, send, throw, trap = (
            self._context.run,
            self._coroutine.send,
            self._coroutine.throw,
            self._trap,
        )
        while True:
            try:
                sent = yield trap
            except GeneratorExit:
                run(self._coroutine.close)
                raise
            except BaseException as error:
                try:
                    trap = run(throw, error)
                except StopIteration as stop:
                    return stop.value
            else:
                try:
                    trap = run(send, sent)
                except StopIteration as stop:
                    return stop.value


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
    if call.scope is not None and call.scope.cancel_called:
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
