"""Colour tables, drawn graphs and error panels for ``covet``'s command line."""

from covet_console._plugin import Console, ConsoleConfig

__all__ = ["Console", "ConsoleConfig"]
