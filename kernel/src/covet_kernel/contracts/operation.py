"""What can be called, how it is reached, and what runs around it.

These are data types only. Signatures are compiled, chains are composed and calls are driven by
``covet_operations``; transports subclass `Binding` and `Call`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from covet_kernel.contracts._record import Record

if TYPE_CHECKING:
    from covet_kernel.contracts.auth import Credentials, Principal

Effect: TypeAlias = Literal["read", "write", "idempotent"]
"""What repeating a call does: nothing, something again, or the same as once."""

Cause: TypeAlias = Literal["deadline", "disconnect", "shutdown", "client", "server"]
"""Why a call was cancelled."""

Next: TypeAlias = Callable[["Call"], Awaitable[Any]]
"""The rest of the chain, further in."""


class Binding(Record):
    """One address of an operation on one protocol.

    Frozen; each transport subclasses it with typed options of its own.

    Attributes:
        protocol: Id of the protocol, for instance ``"http"``.
        address: Where the operation is found there, for instance ``"GET /books/{id}"``.
        deadline: Seconds a call may take over this binding; the tightest of the caller's,
            this and the operation's counts.
    """

    protocol: str
    address: str
    deadline: float | None = None

    def check(self, operation: Operation) -> Iterable[str]:
        """Say why ``operation`` cannot be reached this way, a sentence each; nothing if it can."""
        return ()


class Operation(Record):
    """A typed function and everything true of it on every protocol.

    Attributes:
        name: Unique dotted name, for instance ``"shop.place_order"``.
        handler: ``def`` or ``async def``, or an async generator for a stream out.
        bindings: Where it can be called.
        effect: ``"read"`` changes nothing, ``"idempotent"`` may be repeated, ``"write"`` may not.
        requires: Permissions the principal needs, all of them.
        anonymous: Whether a call without credentials is let in. ``None`` means "exactly if
            ``requires`` is empty".
        errors: Typed errors the handler is declared to raise.
        deadline: Seconds a call may take; ``None`` leaves it to the driver's default.
        on_disconnect: What a vanished caller does to the call.
        transaction: Run inside a transaction of the SQL database, committed before the first
            byte of the answer leaves.
        extra: What other plugins attach, keyed by their id.
    """

    name: str
    handler: Callable[..., Any]
    bindings: tuple[Binding, ...] = ()
    effect: Effect = "write"
    requires: tuple[str, ...] = ()
    anonymous: bool | None = None
    errors: tuple[type[Exception], ...] = ()
    deadline: float | None = None
    on_disconnect: Literal["cancel", "finish", "notify"] = "cancel"
    transaction: Literal["read", "write"] | None = None
    summary: str = ""
    tags: tuple[str, ...] = ()
    deprecated: bool = False
    extra: Mapping[str, Any] = MappingProxyType({})

    # One declaration, one operation: looked up by identity, and `extra` cannot be hashed.
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Phase(IntEnum):
    """Where in the chain an interceptor stands, outermost first."""

    RECOVER = 0
    OBSERVE = 1
    LIMIT = 2
    AUTHENTICATE = 3
    AUTHORIZE = 4
    VALIDATE = 5
    TRANSACT = 6


class Call:
    """One call in flight. Each transport's request subclasses it: one object per request.

    Attributes:
        operation: What is called.
        binding: Over which address it came.
        args: The handler's decoded arguments by name, set by the validate step.
        principal: Who calls; set by the authenticate step.
        deadline: Absolute time on ``anyio.current_time()``'s clock, ``inf`` for none.
        scope: The driver's cancel scope, absent until a call needs one.
        cause: Why the call was cancelled; the first cause wins.
        disconnected: Whether the caller is known to be gone.
        value: The handler's result before encoding.
        body: The encoded answer.
        tx: The open transaction's session, by capability token.
        state: A place for interceptors; created at first use.
    """

    # Most calls leave most of these as they are; defaults of the class cost a call nothing.
    __slots__ = ("__dict__", "binding", "operation")

    args: dict[str, Any] | None = None
    principal: Principal | None = None
    deadline: float = float("inf")
    scope: Any = None
    cause: Cause | None = None
    disconnected: bool = False
    value: Any = None
    body: Any = None
    tx: Any = None

    def __init__(self, operation: Operation, binding: Binding) -> None:
        self.operation = operation
        self.binding = binding

    @property
    def state(self) -> dict[str, Any]:
        """A place for interceptors, by their names."""
        state: dict[str, Any] = self.__dict__.setdefault("_state", {})
        return state

    def cancel(self, cause: Cause) -> None:
        """Cancel the call. The first cause is kept, since a scope cannot say why it was cancelled."""
        if self.cause is None:
            self.cause = cause
        if self.scope is not None:
            self.scope.cancel()

    def credentials(self) -> Credentials | None:
        """What the caller shows to prove who it is; transports override it."""
        return None

    def metadata(self, name: str) -> str | None:
        """A header or its like, by lower-case name; transports override it."""
        return None

    def incoming(self) -> AsyncIterator[Any]:
        """The still encoded items of a stream in; transports with streams override it."""
        raise TypeError(f"{self.binding.protocol} has no stream in")

    async def send(self, item: Any) -> None:
        """Push one encoded item of a stream out; waits while the caller is slow."""
        raise TypeError(f"{self.binding.protocol} has no stream out")


class Layer(Record):
    """What one interceptor does in one chain; any of the three.

    Attributes:
        before: Runs on the way in; may be async; raises to refuse the call.
        after: Runs on the way out with the result and the exception, if any. Plain ``def``, so
            that a cancelled call cannot skip it. Called only if ``before`` of this layer passed.
        around: ``async (call, next)`` for what must hold something across the call (cache, retry,
            transaction). ``next`` returns after the last item of a stream was sent; an interceptor
            never receives an iterator.
    """

    before: Callable[[Call], Awaitable[None] | None] | None = None
    after: Callable[[Call, Any, BaseException | None], None] | None = None
    around: Callable[[Call, Next], Awaitable[Any]] | None = None


class Interceptor(Protocol):
    """A cross-cutting step. Bound once per operation and binding, when a serving phase begins.

    Attributes:
        name: Unique name, what ``after`` and ``before`` of others refer to.
        phase: The coarse order. Within a phase ``after`` and ``before`` decide, then the graph.
        after: Names of interceptors of the same phase that stand further out.
        before: Names of interceptors of the same phase that stand further in.
    """

    @property
    def name(self) -> str: ...
    @property
    def phase(self) -> Phase: ...
    @property
    def after(self) -> tuple[str, ...]: ...
    @property
    def before(self) -> tuple[str, ...]: ...

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        """The layer for this one chain, or ``None`` to stay out of it at no cost."""
