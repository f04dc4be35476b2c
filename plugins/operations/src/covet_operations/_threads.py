"""Worker threads of plain handlers, which a call may leave behind when it is over before they are."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread
from anyio.lowlevel import current_token

from covet_operations._errors import Unavailable

log = logging.getLogger("covet.operations")

_WAITS: Final = 0
_RUNS: Final = 1
_ENDED: Final = 2
_DROPPED: Final = 3
_LEFT: Final = 4


class Threads:
    """Runs plain functions in worker threads, so many at once.

    A thread cannot be interrupted. A call that is cancelled, by its deadline for instance, ends at once
    all the same, and leaves its thread behind; what the function returns then is lost. The thread keeps
    its place until the function has ended, so that the limit holds for all of them together.

    Args:
        limit: The most threads at once.

    Attributes:
        left: How many have been left behind and still run.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.left = 0
        self._places = anyio.Semaphore(limit, fast_acquire=True)
        # Anyio's own limit gives a place back when a call leaves its thread, on one of the backends.
        self._unlimited = anyio.CapacityLimiter(math.inf)

    async def run(
        self, name: str, function: Callable[..., Any], /, *args: Any, **named: Any
    ) -> Any:
        """What the function returns, once there is a place for it.

        Args:
            name: The operation's, for the log.
            function: Blocks. It may ask ``anyio.from_thread.check_cancelled()`` whether its call is over.
            args: Its arguments.
            named: The same.

        Raises:
            Unavailable: There is no place, and nobody waits for those that have one.
        """
        if self.left >= self._limit:
            raise Unavailable("every worker thread is busy with a call that is over")
        await self._places.acquire()
        work = _Work(name, partial(function, *args, **named))
        try:
            return await anyio.to_thread.run_sync(
                work, abandon_on_cancel=True, limiter=self._unlimited
            )
        finally:
            if work.leave(self._found):
                self.left += 1
                log.warning(
                    "%s is over, its thread is not: %d of %d are left behind",
                    name,
                    self.left,
                    self._limit,
                )
            else:
                self._places.release()

    def _found(self) -> None:
        """A thread that was left behind has ended; called by the event loop."""
        self.left -= 1
        self._places.release()


class _Work:
    """One function to run in a thread. Whether its call or it ends first is decided under a lock.

    Args:
        name: The operation's.
        function: Takes nothing.
    """

    __slots__ = ("_call_soon", "_function", "_lock", "_name", "_state", "_tell")

    def __init__(self, name: str, function: Callable[[], Any]) -> None:
        token: Any = current_token().native_token
        # The loop's own door for threads, under the name each of the two gives it.
        self._call_soon: Callable[[Callable[[], object]], object] = (
            getattr(token, "call_soon_threadsafe", None) or token.run_sync_soon
        )
        self._name = name
        self._function = function
        self._lock = threading.Lock()
        self._state = _WAITS
        self._tell: Callable[[], object]

    def __call__(self) -> Any:
        """Run the function, in the thread."""
        with self._lock:
            if self._state == _DROPPED:
                return None
            self._state = _RUNS
        try:
            result = self._function()
        except BaseException as error:
            self._end(error)
            raise
        self._end(None)
        return result

    def _end(self, error: BaseException | None) -> None:
        with self._lock:
            left = self._state == _LEFT
            self._state = _ENDED
        if not left:
            return
        if isinstance(error, Exception):
            log.warning("%s failed after its call was over", self._name, exc_info=error)
        with suppress(RuntimeError):  # the loop is gone, and who counts with it
            self._call_soon(self._tell)

    def leave(self, tell: Callable[[], object]) -> bool:
        """End the call's part in it.

        Args:
            tell: What the event loop is to call once the thread has ended, if it goes on.

        Returns:
            Whether the thread goes on.
        """
        with self._lock:
            if self._state == _RUNS:
                self._state = _LEFT
                self._tell = tell
                return True
            self._state = _DROPPED if self._state == _WAITS else _ENDED
            return False
