"""What the pool asks of the requests it runs, and the two halves every kind of them shares.

An exchange is one request and its answer. The pool makes it with its route's target, steps its
coroutine, and ends it with `Exchange.finish` or `Exchange.fail`. Most exchanges never wait, and for
those that is all. One that waits is told so, and from then on hears of events.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeAlias, runtime_checkable

import anyio

from covet_engine._core import Core, Flag, Kind
from covet_kernel.contracts import Cause


@runtime_checkable
class Cancellable(Protocol):
    """An exchange that can be told to stop."""

    def cancel(self, cause: Cause) -> None:
        """Stop the call, and say why."""


class Exchange(Protocol):
    """One request in Python's hands.

    Attributes:
        handle: The engine's name for it; another request never has it.
    """

    handle: int

    def start(self) -> Coroutine[Any, Any, Any] | None:
        """Begin, in the call's own context: the coroutine that answers, which is run in it too.

        ``None`` if that was not even necessary: then `finish` is called at once.

        Raises:
            BaseException: It becomes the answer, through `fail`.
        """

    def finish(self, result: Any) -> None:
        """The coroutine has returned, or there was none: append the reply to ``core.parts``.

        An exchange that has waited leaves ``core.live`` here. The pool flushes.
        """

    def fail(self, error: BaseException) -> None:
        """The coroutine, `start` or `finish` has raised: append the reply that says so.

        Also called with a cancellation, whatever its cause. What is raised here is logged, and the
        connection cut.
        """

    def suspended(self, scope: anyio.CancelScope) -> None:
        """The coroutine waits for the first time.

        Enter ``core.live``, arm the deadline, and keep the scope: cancelling it cancels the
        coroutine, and the scope is this exchange's until it ends.
        """

    def on_event(self, kind: int, at: int, size: int, flags: int, extra: int) -> None:
        """BODY, ROOM, GONE, TIMER or REFUSED while it is in ``core.live``. Must not raise."""


Target: TypeAlias = Callable[[int, int, int, int], Exchange]
"""What a route number leads to: makes the exchange of ``(handle, at, size, flags)`` of a REQUEST."""


class Incoming:
    """A request's body that is still coming: one piece asked for at a time.

    Attributes:
        ended: Whether the last piece was handed out.
        broken: Whether it ended early, was malformed, or its client is gone.
    """

    __slots__ = ("_asked", "_core", "_event", "_handle", "_last", "_pieces", "broken", "ended")

    def __init__(self, core: Core, handle: int) -> None:
        self._core = core
        self._handle = handle
        self._pieces: list[bytes] = []
        self._asked = False
        self._last = False
        self._event: anyio.Event | None = None
        self.ended = False
        self.broken = False

    async def read(self) -> bytes:
        """The next piece, empty at the end; look at `broken` then. One reader at a time."""
        while not self._pieces:
            if self._last or self.broken:
                self.ended = True
                return b""
            if not self._asked:
                self._asked = True
                self._core.read(self._handle)
                self._core.flush_soon()
            self._event = anyio.Event()
            await self._event.wait()
        return self._pieces.pop()

    def on_body(self, at: int, size: int, flags: int) -> None:
        """A BODY event."""
        self._asked = False
        if size:
            self._pieces.append(bytes(self._core.arena[at : at + size]))
        if flags & Flag.BODY_COMPLETE:
            self._last = True
        if flags & Flag.BODY_BROKEN:
            self.broken = True
        self._wake()

    def on_gone(self) -> None:
        """Nothing more comes."""
        if not self._last:
            self.broken = True
            self._wake()

    def _wake(self) -> None:
        if self._event is not None:
            self._event.set()
            self._event = None


class Outgoing:
    """How much of a streamed answer may be sent before some of it has left.

    Attributes:
        gone: Whether the client is: what is sent goes nowhere.
    """

    __slots__ = ("_credit", "_event", "gone")

    def __init__(self, core: Core) -> None:
        self._credit = core.high_water
        self._event: anyio.Event | None = None
        self.gone = False

    def take(self, size: int) -> None:
        """So many bytes were sent. An item may go beyond the credit, the next one waits then."""
        self._credit -= size

    @property
    def open(self) -> bool:
        """Whether more may be sent now."""
        return self._credit > 0 or self.gone

    async def room(self) -> None:
        """Wait until more may be sent."""
        while not self.open:
            if self._event is None:
                self._event = anyio.Event()
            await self._event.wait()

    def on_room(self, size: int) -> None:
        """A ROOM event."""
        self._credit += size
        if self._credit > 0:
            self._wake()

    def on_gone(self) -> None:
        self.gone = True
        self._wake()

    def _wake(self) -> None:
        if self._event is not None:
            self._event.set()
            self._event = None


__all__ = ["Exchange", "Incoming", "Kind", "Outgoing", "Target"]
