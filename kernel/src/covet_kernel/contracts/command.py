"""What plugins add to the command line: sub-commands, and a console that shows things its own way."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from covet_kernel.contracts._record import Record

if TYPE_CHECKING:
    from covet_kernel import Assembly


class Command(Record):
    """A sub-command of ``covet``, returned by ``covet_commands``.

    Attributes:
        run: Called with the parsed arguments and the assembly; returns the exit code.
        configure: Adds arguments of its own to the parser.
    """

    name: str
    help: str
    run: Callable[[Namespace, Assembly], int]
    configure: Callable[[ArgumentParser], None] | None = None


class Console(Protocol):
    """How results and errors are shown to a person; ``covet_console`` replaces the plain one."""

    def table(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Rows with the same keys."""

    def graph(self, plugins: Sequence[Mapping[str, Any]]) -> None:
        """Plugins in the order of start, as `Kernel.describe` gives them."""

    def error(self, error: Exception) -> None:
        """One error, to the standard error stream."""
