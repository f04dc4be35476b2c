"""Covet's kernel: discovers, configures, orders, starts, supervises, reloads and stops plugins."""

from typing import TYPE_CHECKING, Any

from covet_kernel._errors import ConfigurationError, CovetError, LifecycleError
from covet_kernel._hooks import hookspec
from covet_kernel._plugin import Context, Plugin, Serving

if TYPE_CHECKING:
    from covet_kernel._assembly import Assembly, assemble
    from covet_kernel._command import Command, Console
    from covet_kernel._kernel import Kernel
    from covet_kernel._model import PluginConfig
    from covet_kernel._settings import Settings

__all__ = [
    "Assembly",
    "Command",
    "ConfigurationError",
    "Console",
    "Context",
    "CovetError",
    "Kernel",
    "LifecycleError",
    "Plugin",
    "PluginConfig",
    "Serving",
    "Settings",
    "assemble",
    "hookspec",
]

_LAZY = {
    "Assembly": "_assembly",
    "Command": "_command",
    "Console": "_command",
    "Kernel": "_kernel",
    "PluginConfig": "_model",
    "Settings": "_settings",
    "assemble": "_assembly",
}


def __getattr__(name: str) -> Any:
    """Load the rest on demand: a plugin that only declares hooks does not pay for the supervisor."""
    from importlib import import_module

    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"covet_kernel.{_LAZY[name]}"), name)
