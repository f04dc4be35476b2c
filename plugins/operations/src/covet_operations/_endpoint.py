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
from covet_operations._chain import Chain, Direct
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
        start: For drivers of their own: a call's coroutine, not yet begun. It enters no scope and
            looks at no clock: deadline, scope and context are the driver's, which gives what the
            coroutine raises to `failure`. When it has returned, the encoded answer is in ``call.body``.
        begin: Takes a call's first step, for drivers that pay for a scope only where a call waits: in a
            context of its own, under no scope and without a look at the clock. What it returns is left
            of the call, and goes to `finish` at once in the same task, once ``call.deadline`` is set;
            ``None``: the call is done. What it raises goes to `failure`.
    """

    __slots__ = (
        "_chain",
        "_compose_direct",
        "_connect",
        "_direct",
        "_phase",
        "_translator",
        "begin",
        "binding",
        "operation",
        "signature",
        "start",
        "timeout",
    )

    def __init__(
        self,
        operation: Operation,
        binding: B_co,
        signature: Signature,
        *,
        chain: Chain,
        translator: Translator,
        timeout: float,
        phase: Opens | None = None,
        connect: Opens | None = None,
        compose_direct: ComposeDirect | None = None,
        deliver: Deliver | None = None,
    ) -> None:
        self.operation = operation
        self.binding: B_co = binding
        self.signature = signature
        self.timeout = timeout
        self._chain = chain
        self._translator = translator
        self._phase = phase
        self._connect = connect
        self._compose_direct = compose_direct
        self._direct: Any = _UNMADE
        self.begin: Begin = self._choose
        self.start: Callable[[Call], Coroutine[Any, Any, Any]] = (
            chain if phase is None and connect is None else self._provided
        )
        if deliver is not None:
            self.start = _delivered(deliver, self.start)

    @property
    def kind(self) -> Kind:
        return self.signature.kind

    @property
    def direct(self) -> Direct | None:
        """The same as `start` for a call that need not wait: a plain function of the call.

        It returns ``None`` when the call is done, or a coroutine that does the rest, to be run in the
        same context. ``None`` itself where the handler or a layer always waits. Compiled when first
        asked for.
        """
        if self._direct is _UNMADE:
            self._direct = self._composed(stepping=False)
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

    async def finish(self, pending: Pending, call: Call, *, watch: Watch | None = None) -> None:
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
        try:
            await pending.finish(call, watch, self.disconnect)
        finally:
            if pending.sunk:
                self.begin = partial(self._choose, scope_first=True)

    def _choose(self, call: Call, *, scope_first: bool = False) -> Pending | None:
        """Take a first step and the next ones in whichever way suits the running event loop."""
        direct = self._composed(stepping=True)
        self.begin = beginning(self.start, direct, self._choose, scope_first=scope_first)
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

    async def _provided(self, call: Call) -> Any:
        """The chain inside the wider provider scopes it needs."""
        if self._phase is not None:
            async with self._phase():
                return await self._connected(call)
        return await self._connected(call)

    async def _connected(self, call: Call) -> Any:
        if self._connect is None or CONNECTION in call.state:
            return await self._chain(call)
        async with self._connect() as own:
            call.state[CONNECTION] = own
            return await self._chain(call)


def _delivered(deliver: Deliver, chain: Chain) -> Chain:
    async def start(call: Call) -> Any:
        return await deliver(call, chain)

    return start
