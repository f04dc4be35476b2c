"""One operation at one address, compiled: what a transport looks up and runs."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

import anyio

from covet_kernel.contracts import Binding, Call, Operation
from covet_operations._begin import Begin, beginning
from covet_operations._chain import Chain, Direct, is_async
from covet_operations._disconnect import tell_gone
from covet_operations._driver import Pending, Watch, answer, ended, stepped
from covet_operations._errors import OperationError
from covet_operations._inner import CONNECTION
from covet_operations._providers import ProviderScope
from covet_operations._signature import Kind, Signature
from covet_operations._translate import Translator

B_co = TypeVar("B_co", bound=Binding, covariant=True)
Opens = Callable[[], AbstractAsyncContextManager[ProviderScope]]
_UNMADE: Final = object()
Deliver = Callable[[Any, Callable[[Any], Awaitable[Any]]], Coroutine[Any, Any, Any]]


class ComposeDirect(Protocol):
    """Makes the chain as a function, as `compose_direct` does."""

    def __call__(self, *, stepping: bool) -> Direct | None: ...


class Endpoint(Generic[B_co]):
    """An operation at one binding.

    Attributes:
        operation: What is called.
        binding: Where.
        signature: Parameters and result.
        timeout: Seconds a call may take; the tightest of binding and operation, else the configured
            default, which streams out do not have.
        begin: Takes a call's first step, for drivers that pay for a scope only where a call waits: in a
            context of its own, under no scope and without a look at the clock. What it returns is left
            of the call, and goes to `finish` at once in the same task, once ``call.deadline`` is set;
            ``None``: the call is done. What it raises goes to `failure`.
        alone: Whether nothing runs around the handler and nothing is made for it, so that whoever
            knows what it would answer need not ask it.
    """

    __slots__ = (
        "_compose",
        "_compose_direct",
        "_connect",
        "_deliver",
        "_direct",
        "_phase",
        "_start",
        "_translator",
        "alone",
        "begin",
        "binding",
        "operation",
        "signature",
        "timeout",
    )

    def __init__(
        self,
        operation: Operation,
        binding: B_co,
        signature: Signature,
        *,
        compose: Callable[[], Chain],
        translator: Translator,
        timeout: float,
        phase: Opens | None = None,
        connect: Opens | None = None,
        compose_direct: ComposeDirect | None = None,
        deliver: Deliver | None = None,
        alone: bool = False,
    ) -> None:
        self.operation = operation
        self.binding: B_co = binding
        self.signature = signature
        self.timeout = timeout
        self.alone = alone
        self._compose = compose
        self._translator = translator
        self._phase = phase
        self._connect = connect
        self._compose_direct = compose_direct
        self._direct: Any = _UNMADE
        self._deliver = deliver
        self._start: Chain | None = None
        self.begin: Begin = self._choose

    @property
    def kind(self) -> Kind:
        return self.signature.kind

    @property
    def start(self) -> Chain:
        """For drivers of their own: makes a call's coroutine, not yet begun.

        It enters no scope and looks at no clock: deadline, scope and context are the driver's, which
        gives what the coroutine raises to `failure`. When it has returned, the encoded answer is in
        ``call.body``. Compiled when first asked for.
        """
        if self._start is None:
            chain = self._compose()
            if self._phase is not None or self._connect is not None:
                chain = _provided(chain, self._phase, self._connect)
            self._start = chain if self._deliver is None else _delivered(self._deliver, chain)
        return self._start

    @property
    def direct(self) -> Direct | None:
        """The same as `start` for a call that need not wait: a plain function of the call.

        It returns ``None`` when the call is done, or a coroutine that does the rest, to be run in the
        same context. ``None`` itself where the handler or a layer always waits. Compiled when first
        asked for.
        """
        if self._direct is _UNMADE:
            waits = is_async(self.operation.handler)
            self._direct = None if waits else self._composed(stepping=False)
        direct: Direct | None = self._direct
        return direct

    def _composed(self, *, stepping: bool) -> Direct | None:
        return None if self._compose_direct is None else self._compose_direct(stepping=stepping)

    async def run(
        self, call: Call, *, watch: Watch | None = None, connection: ProviderScope | None = None
    ) -> Any:
        """Drive one call to its end, in the caller's task.

        ``call.deadline`` may hold the caller's own deadline; the tightest counts. To cancel from
        elsewhere, use ``call.cancel(cause)``.

        Args:
            call: Made for this operation and binding.
            watch: Returns when the caller is gone. Runs beside the call, and only if that waits.
            connection: From ``pipeline.connection()``; without it the call is a connection of its own.

        Returns:
            The encoded answer, ``None`` for a stream out, whose items went to ``call.send``. The
            transaction is committed by now.

        Raises:
            OperationError: The typed answer; nothing else, save cancellation from outside.
        """
        self._begin(call, connection)
        try:
            pending = self.begin(call)
            if pending is not None:
                await self.finish(pending, call, watch=watch)
        except OperationError:
            raise
        except Exception as error:
            raise self.failure(call, error) from error
        return call.body

    def finish(
        self, pending: Pending, call: Call, *, watch: Watch | None = None
    ) -> Coroutine[Any, Any, None]:
        """Run what `begin` has left of a call to its end, in the same task.

        Args:
            pending: What it has returned.
            call: The same.
            watch: As of `run`.

        Raises:
            OperationError: The call was cancelled.
            Exception: What it fails with, for `failure`.
        """
        if self.operation.on_disconnect == "finish":
            watch = None
        return pending.finish(call, watch, self.disconnect, self._sunk)

    def _sunk(self) -> None:
        """A call has opened scopes before it waited: from now on its own is entered first."""
        self.begin = partial(self._choose, scope_first=True)

    def _choose(self, call: Call, *, scope_first: bool = False) -> Pending | None:
        """Take a first step and the next ones in whichever way suits the running event loop."""
        direct = self._composed(stepping=True)
        self.begin = beginning(lambda: self.start, direct, self._choose, scope_first=scope_first)
        return self.begin(call)

    async def carry(
        self, call: Call, scope: anyio.CancelScope, connection: ProviderScope | None
    ) -> Any:
        """`run` for a driver that brings the scope: it sets ``call.scope`` and tells cancellation apart."""
        self._begin(call, connection)
        try:
            await stepped(self.start(call), call, scope)
        except OperationError:
            raise
        except Exception as error:
            raise self.failure(call, error) from error
        return call.body

    def failure(self, call: Call, error: Exception) -> OperationError:
        """The typed error to answer with, for what the coroutine of `start` raised."""
        if isinstance(error, OperationError):
            return error
        return answer(call, error, self._translator)

    def disconnect(self, call: Call) -> None:
        """Tell a call that its caller is gone; the operation's policy decides what that does."""
        tell_gone(call)
        if self.operation.on_disconnect == "cancel":
            call.cancel("disconnect")

    def _begin(self, call: Call, connection: ProviderScope | None) -> None:
        if connection is not None:
            call.state[CONNECTION] = connection
        if self.timeout != math.inf or call.deadline != math.inf:
            now = anyio.current_time()
            if call.deadline <= now:
                raise ended(call)
            call.deadline = min(call.deadline, now + self.timeout)
        if call.cause is not None:
            raise ended(call)


def _provided(chain: Chain, phase: Opens | None, connect: Opens | None) -> Chain:
    """The chain inside the wider provider scopes it needs."""

    async def connected(call: Call) -> Any:
        if connect is None or CONNECTION in call.state:
            return await chain(call)
        async with connect() as own:
            call.state[CONNECTION] = own
            return await chain(call)

    async def start(call: Call) -> Any:
        if phase is not None:
            async with phase():
                return await connected(call)
        return await connected(call)

    return start


def _delivered(deliver: Deliver, chain: Chain) -> Chain:
    async def start(call: Call) -> Any:
        return await deliver(call, chain)

    return start
