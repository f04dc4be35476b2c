"""Covet's kernel: discovers, configures, orders, starts, supervises, reloads and stops plugins."""

from typing import TYPE_CHECKING, Any

from covet_kernel._errors import ConfigurationError, CovetError, LifecycleError, flatten
from covet_kernel._plugin import Context, Plugin, Serving

if TYPE_CHECKING:
    from covet_kernel._assembly import Assembly, assemble
    from covet_kernel._describe import describe, redacted
    from covet_kernel._discovery import installed
    from covet_kernel._hooks import hookspec
    from covet_kernel._kernel import Kernel
    from covet_kernel._model import AppConfig, InstanceConfig, KernelConfig, PluginConfig
    from covet_kernel._settings import Settings
    from covet_kernel.contracts import Command, Console

__all__ = [
    "AppConfig",
    "Assembly",
    "Command",
    "ConfigurationError",
    "Console",
    "Context",
    "CovetError",
    "InstanceConfig",
    "Kernel",
    "KernelConfig",
    "LifecycleError",
    "Plugin",
    "PluginConfig",
    "Serving",
    "Settings",
    "assemble",
    "describe",
    "flatten",
    "hookspec",
    "installed",
    "redacted",
]

_LAZY = {
    "_assembly": ("Assembly", "assemble"),
    "_describe": ("describe", "redacted"),
    "_discovery": ("installed",),
    "_hooks": ("hookspec",),
    "_kernel": ("Kernel",),
    "_model": ("AppConfig", "InstanceConfig", "KernelConfig", "PluginConfig"),
    "_settings": ("Settings",),
    "contracts": ("Command", "Console"),
}


def __getattr__(name: str) -> Any:
    """Load the rest on demand: who only declares hooks does not pay for the supervisor."""
    from importlib import import_module

    for module, names in _LAZY.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
