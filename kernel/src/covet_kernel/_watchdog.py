"""Where a plugin is waiting, and who blocks the event loop."""

from __future__ import annotations

import _thread
import sys
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import Any, Self


def where(awaitable: Any) -> str:
    """The innermost place at which a suspended lifespan or coroutine waits, as ``file:line in name``.

    The event loop's own code is passed over: every wait ends there.
    """
    awaitable, place = getattr(awaitable, "gen", awaitable), "its beginning"
    while kind := next((kind for kind in _KINDS if hasattr(awaitable, kind[0])), None):
        frame, awaitable = (getattr(awaitable, attribute) for attribute in kind)
        if frame and frame.f_globals.get("__name__", "").partition(".")[0] not in _LOOPS:
            place = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
    return place


_KINDS = (("cr_frame", "cr_await"), ("ag_frame", "ag_await"), ("gi_frame", "gi_yieldfrom"))
_LOOPS = ("anyio", "asyncio", "contextlib", "trio")


class Watchdog:
    """A thread that notices when the event loop does not turn, and whose code holds it up.

    It is a bare thread without a handshake at either end, since two of those would cost more than
    starting fifty plugins; it ends by itself as soon as the block is left.

    Args:
        patience: Seconds without a `beat` before it tells.
        tell: Called in the watchdog's thread with the seconds so far and the innermost frame,
            once a block.
    """

    def __init__(self, patience: float, tell: Callable[[float, FrameType], None]) -> None:
        self._patience = patience
        self._tell = tell
        self._loop = _thread.get_ident()
        self._last = monotonic()
        self._leave = _thread.allocate_lock()

    def __enter__(self) -> Self:
        self._leave.acquire()
        _thread.start_new_thread(self._watch, ())
        return self

    def __exit__(self, *error: object) -> None:
        self._leave.release()

    def beat(self) -> None:
        """The loop turns."""
        self._last = monotonic()

    def _watch(self) -> None:
        told = 0.0
        while not self._leave.acquire(timeout=min(self._patience / 4, 60)):
            silent = monotonic() - self._last
            frame = sys._current_frames().get(self._loop)
            if frame and silent >= self._patience and told != self._last:
                told = self._last
                self._tell(silent, frame)
