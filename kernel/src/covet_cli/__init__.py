"""The command ``covet``: a client of the kernel's public door."""

from __future__ import annotations

import gc
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Its words; by default those of this process.

    Returns:
        0 done, 1 a plugin failed, 2 the user's mistake, 130 interrupted.
    """
    # What a start makes lives as long as the process; collecting amid it costs a tenth and frees
    # nothing. It is turned on again before anything that lasts, and for whoever calls this as a function.
    collected = gc.isenabled()
    gc.disable()
    try:
        from covet_cli._main import main as run

        return run(argv)
    finally:
        (gc.enable if collected else gc.disable)()


__all__ = ["main"]
