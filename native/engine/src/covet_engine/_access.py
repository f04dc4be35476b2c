"""The access log: lines come from the library in batches and become one record each."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from covet_engine._core import Core

access = logging.getLogger("covet.http.access")
_BATCH = 64 * 1024


class AccessLog:
    """Hands the lines of one engine to the logger ``covet.http.access`` at level ``INFO``.

    The library has escaped whatever a client chose: a line is one JSON object in printable ASCII.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._into = core.ffi.new("uint8_t[]", _BATCH)
        self._begun = b""

    def write(self) -> None:
        """Log what waits: at a LOG event, and before the engine is freed."""
        core = self._core
        while size := core.lib.cv_engine_log(core.engine, self._into, _BATCH):
            *lines, self._begun = (self._begun + bytes(core.ffi.buffer(self._into, size))).split(
                b"\n"
            )
            if access.isEnabledFor(logging.INFO):
                for line in lines:
                    access.info("%s", line.decode("ascii", "backslashreplace"))
