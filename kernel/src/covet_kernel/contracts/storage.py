"""Stores by URL, and the migrations plugins bring."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from covet_kernel.contracts._record import Record


class StoreScheme(Record):
    """Opens stores by URL: ``open("sqlite:///shop.db")`` gives an async context manager."""

    scheme: str
    open: Callable[[str], AbstractAsyncContextManager[Any]]


class MigrationSource(Record):
    """A folder of migrations that belong to one plugin.

    Attributes:
        database: Name of the SQL instance they are for, empty for the default one.
    """

    name: str
    path: Path
    database: str = ""
