"""Libraries that only some services need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from covet_kernel import ConfigurationError


def needed(module: str, extra: str, by: str) -> Any:
    """Import a module of an extra.

    Args:
        module: Its name.
        extra: Of this distribution, which brings it.
        by: The type that needs it.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            "COVET-OPERATION-EXTRA",
            f"{by} needs {error.name or module}, which is not installed.",
            fix=f"pip install 'covet-operations[{extra}]'",
        ) from None
