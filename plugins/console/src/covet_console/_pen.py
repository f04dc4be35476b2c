"""What one drawing needs: a stream, its width, and colours that suit its background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TextIO

from rich.console import Console, RenderableType
from rich.text import Text


@dataclass(frozen=True)
class Palette:
    """Styles by what they mean. Only the 16 colours that every terminal's own scheme defines.

    Attributes:
        name: Names of plugins and keys.
        good: What is in order, and what gives.
        note: What deserves a look, such as the fix of an error.
        bad: What is wrong.
        faint: What is read last: sources, origins, lines.
    """

    name: str
    good: str
    note: str
    bad: str
    faint: str


PALETTES: Final = {
    "dark": Palette("bold cyan", "green", "yellow", "bold red", "bright_black"),
    "light": Palette("bold blue", "green", "magenta", "bold red", "bright_black"),
    "mono": Palette("bold", "none", "italic", "bold reverse", "dim"),
}
"""By the name of the theme."""

WIDEST = 110
"""Columns; longer lines are hard to read, however wide the terminal is."""


class Pen:
    """Draws on one stream.

    Args:
        stream: Where to.
        theme: A key of `PALETTES`.
        colored: Whether to write escape sequences at all.
    """

    def __init__(self, stream: TextIO, *, theme: str, colored: bool) -> None:
        self.palette = PALETTES[theme]
        self._console = Console(
            file=stream,
            # Given, not detected: the plugin has decided, and `color = "always"` means pipes too.
            force_terminal=True,
            color_system="standard" if colored else None,
            no_color=not colored,
            markup=False,
            emoji=False,
            highlight=False,
        )
        self.width = min(self._console.width, WIDEST)

    def draw(self, drawing: RenderableType) -> None:
        """Write the drawing and end the line."""
        self._console.print(drawing)


def text(value: str, style: str = "") -> Text:
    """``value`` as it is: no markup, and control characters made visible.

    What is shown comes from files and the environment; an escape sequence in it must not reach
    the terminal.
    """
    return Text("".join(_visible(character) for character in value), style=style)


def _visible(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return character.encode("unicode_escape").decode()
