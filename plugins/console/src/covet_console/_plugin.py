"""The plugin: decides whether to draw at all. What draws is loaded when something is shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TextIO

from pydantic import Field

import covet_kernel
from covet_kernel import Plugin, PluginConfig

if TYPE_CHECKING:
    from covet_console._pen import Pen


class ConsoleConfig(PluginConfig):
    """The ``[plugins.console]`` table."""

    color: Literal["auto", "always", "never"] = Field(
        "auto",
        description="'auto' colours terminals unless NO_COLOR is set; 'always' draws and colours "
        "pipes and files as well; 'never' draws without colours.",
    )
    theme: Literal["dark", "light", "mono"] = Field(
        "dark",
        description="Colours for a dark or a light background, or weights of one colour only.",
    )


class Console(Plugin[ConsoleConfig]):
    """Shows results of ``covet`` as drawings where a person reads them.

    Into a pipe or a file it declares no console, so the kernel's plain one stays.
    """

    def covet_console(self) -> Iterable[covet_kernel.Console]:
        """The drawing console if standard output is a terminal, or is treated as one."""
        return (_Drawn(self.config),) if _draws(self.config, sys.stdout) else ()


class _Drawn:
    """Loads the library that draws with the first thing to show: ``covet run`` shows none."""

    def __init__(self, config: ConsoleConfig) -> None:
        self._config = config

    def table(self, rows: Sequence[Mapping[str, str]]) -> None:
        from covet_console._table import table

        pen = self._pen(sys.stdout)
        pen.draw(table(rows, pen.palette))

    def graph(self, plugins: Sequence[Mapping[str, Any]]) -> None:
        from covet_console._graph import graph

        pen = self._pen(sys.stdout)
        pen.draw(graph(plugins, pen.palette))

    def error(self, error: Exception) -> None:
        if not _draws(self._config, sys.stderr):
            sys.stderr.write(f"{error}\n")
            return
        from covet_console._error import panel

        pen = self._pen(sys.stderr)
        pen.draw(panel(error, pen.palette, pen.width))

    def _pen(self, stream: TextIO) -> Pen:
        from covet_console._pen import Pen

        # https://no-color.org: a configuration of the user's own counts more than the variable.
        wanted, refused = self._config.color, bool(os.environ.get("NO_COLOR"))
        colored = wanted == "always" or (wanted == "auto" and not refused)
        return Pen(stream, theme=self._config.theme, colored=colored)


def _draws(config: ConsoleConfig, stream: TextIO | None) -> bool:
    if config.color == "always":
        return True
    # A closed standard stream is None, and a dumb terminal is what editors and CI call theirs.
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
