"""Where a plugin is waiting, and who blocks the event loop."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import Any, Self


def where(awaitable: Any) -> str:
    """The innermost place at which a suspended lifespan or coroutine waits, as ``file:line in name``."""
    awaitable, place = getattr(awaitable, "gen", awaitable), "its beginning"
    while kind := next((kind for kind in _KINDS if hasattr(awaitable, kind[0])), None):
        frame, awaitable = (getattr(awaitable, attribute) for attribute in kind)
        if frame:
            place = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
    return place


_KINDS = (("cr_frame", "cr_await"), ("ag_frame", "ag_await"), ("gi_frame", "gi_yieldfrom"))


class Watchdog:
    """A thread that notices when the event loop does not turn, and whose code holds it up.

    Args:
        patience: Seconds without a `beat` before it tells.
        tell: Called in the watchdog's thread with the seconds so far and the innermost frames,
            once a block.
    """

    def __init__(self, patience: float, tell: Callable[[float, FrameType], None]) -> None:
        self._patience = patience
        self._tell = tell
        self._loop = threading.get_ident()
        self._last = monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="covet watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def beat(self) -> None:
        """The loop turns."""
        self._last = monotonic()

    def _watch(self) -> None:
        told = 0.0
        while not self._stop.wait(
            max(self._last + self._patience - monotonic(), self._patience / 4)
        ):
            silent = monotonic() - self._last
            if silent >= self._patience and told != self._last:
                told = self._last
                frame = sys._current_frames().get(self._loop)
                if frame is not None:
                    self._tell(silent, frame)
