"""Stores by URL, and the migrations plugins bring."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StoreScheme:
    """Opens stores by URL: ``open("sqlite:///shop.db")`` gives an async context manager."""

    scheme: str
    open: Callable[[str], AbstractAsyncContextManager[Any]]


@dataclass(frozen=True, kw_only=True)
class MigrationSource:
    """A folder of migrations that belong to one plugin.

    Attributes:
        database: Name of the SQL instance they are for, empty for the default one.
    """

    name: str
    path: Path
    database: str = ""
