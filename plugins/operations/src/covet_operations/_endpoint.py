"""One operation at one address, compiled: what a transport looks up and runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, Generic, TypeVar

import anyio

from covet_kernel.contracts import Binding, Call, Operation
from covet_operations._chain import Chain
from covet_operations._driver import Stepped
from covet_operations._errors import Cancelled, DeadlineExceeded, OperationError, Unavailable
from covet_operations._signature import Kind, Signature
from covet_operations._translate import Translator

B = TypeVar("B", bound=Binding)
Watch = Callable[[], Awaitable[None]]


class Endpoint(Generic[B]):
    """An operation at one binding.

    Attributes:
        operation: What is called.
        binding: Where.
        signature: Parameters and result.
        timeout: Seconds: the tightest of binding, operation and the configured default.
    """

    __slots__ = ("_chain", "_translator", "binding", "operation", "signature", "timeout")

    def __init__(
        self, operation: Operation, binding: B, signature: Signature, chain: Chain, translator: Translator,
        timeout: float,
    ) -> None:  # fmt: skip
        self.operation = operation
        self.binding: B = binding
        self.signature = signature
        self.timeout = timeout
        self._chain = chain
        self._translator = translator

    @property
    def kind(self) -> Kind:
        return self.signature.kind

    async def run(self, call: Call, *, watch: Watch | None = None) -> Any:
        """Drive one call to its end, in the caller's task.

        ``call.deadline`` may hold the caller's own deadline; the tightest counts. To cancel from
        elsewhere, use ``call.cancel(cause)``.

        Args:
            call: Made for this operation and binding.
            watch: Returns when the caller is gone. Run beside the call, and only if it waits.

        Returns:
            The encoded answer, ``None`` for a stream out, whose items went to ``call.send``. The
            transaction is committed by now.

        Raises:
            OperationError: The typed answer; nothing else, save cancellation from outside.
        """
        with anyio.CancelScope() as scope:
            call.scope = scope
            if call.cause is not None:
                scope.cancel()
            call.deadline = min(call.deadline, anyio.current_time() + self.timeout)
            scope.deadline = call.deadline
            try:
                await Stepped(self._chain(call), copy_context(), None)  # type: ignore[arg-type]
            except OperationError:
                raise
            except Exception as error:
                raise self._translator.recover(call, error) from None
            return call.body
        raise self._ended(call)

    def disconnect(self, call: Call) -> None:
        """Tell a call that its caller is gone; the operation's policy decides what that does."""
        call.disconnected = True
        if self.operation.on_disconnect == "cancel":
            call.cancel("disconnect")

    def _ended(self, call: Call) -> OperationError:
        if call.cause is None:
            call.cause = "deadline"
        if call.cause == "deadline":
            return DeadlineExceeded("the call took longer than it may")
        if call.cause == "shutdown":
            return Unavailable("the service is stopping")
        return Cancelled()
