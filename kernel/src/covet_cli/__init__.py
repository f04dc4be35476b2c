"""The command ``covet``: a client of the kernel's public door."""

from covet_cli._main import main

__all__ = ["main"]
