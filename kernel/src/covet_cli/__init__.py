"""The command ``covet``: a client of the kernel's public door."""

import gc

# What a start makes lives as long as the process; collecting amid it costs a tenth and frees
# nothing. `main` turns collection on again before anything that lasts.
gc.disable()

from covet_cli._main import main  # noqa: E402

__all__ = ["main"]
