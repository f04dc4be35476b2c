"""Rows as a table, coloured by what its columns are known to hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from covet_console._pen import Palette, text

FAINT = frozenset({"origin", "source", "meaning"})
"""Columns that are read last."""


def table(rows: Sequence[Mapping[str, str]], palette: Palette) -> RenderableType:
    """A table with the keys of the first row as its head; every cell is shown in full, folded."""
    if not rows:
        return text("nothing to show", palette.faint)
    # Without lines between the columns there is more room for what they hold.
    drawn = Table(
        box=box.SIMPLE_HEAD,
        border_style=palette.faint,
        header_style="bold",
        show_edge=False,
        pad_edge=False,
    )
    for column in rows[0]:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(_cell(column, row[column], palette) for column in rows[0]))
    return drawn


def _cell(column: str, value: str, palette: Palette) -> Text:
    match column:
        case "name" | "key":
            return text(value, palette.name)
        case "status":
            states = {"enabled": palette.good, "installed": palette.faint}
            return text(value, states.get(value, palette.note))
        case "provides" | "requires":
            return text(value.replace(", ", "\n"))
    return text(value, palette.faint if column in FAINT else "")
