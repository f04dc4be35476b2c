"""One error as a panel: what is wrong, where, what is valid, what to do."""

from __future__ import annotations

from rich import box
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table

from covet_console._pen import Palette, text
from covet_kernel import CovetError


def panel(error: Exception, palette: Palette, width: int) -> RenderableType:
    """The fields of a `CovetError`, or the type and words of any other; ``width`` in columns."""
    if isinstance(error, CovetError):
        title, problem = error.code, error.problem
        fields = {"at": error.place, "valid": ", ".join(error.valid), "fix": error.fix}
    else:
        title, problem, fields = type(error).__name__, str(error), {}
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style=palette.faint)
    grid.add_column(overflow="fold")
    for name, value in fields.items():
        if value:
            grid.add_row(text(name), text(value, palette.note if name == "fix" else ""))
    body = Table.grid()
    body.add_column(overflow="fold")
    body.add_row(text(problem, "bold"))
    if grid.row_count:
        body.add_row(grid)
    return Panel(
        body,
        box=box.ROUNDED,
        title=text(title, palette.bad),
        title_align="left",
        border_style=palette.bad.removeprefix("bold ").replace("reverse", "none"),
        padding=(0, 1),
        width=width,
    )
