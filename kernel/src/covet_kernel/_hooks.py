"""The hook specs, and the plugin manager that accepts plain functions named ``covet_*``."""

from __future__ import annotations

from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any

import pluggy

from covet_kernel._errors import ConfigurationError
from covet_kernel.contracts.hooks import Specs

hookspec = pluggy.HookspecMarker("covet")
"""Marks a plugin's own hook specs, for ``covet_add_hookspecs``."""


for _name in [name for name in vars(Specs) if name.startswith("covet_")]:
    hookspec(getattr(Specs, _name))


class Hooks(pluggy.PluginManager):
    """Every attribute named ``covet_*`` is a hook; anything but a plain function is refused."""

    def __init__(self) -> None:
        super().__init__("covet")
        self.add_hookspecs(Specs)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        if not name.startswith("covet_"):
            return None
        method = getattr(plugin, name)
        if iscoroutinefunction(method) or isasyncgenfunction(method):
            raise ConfigurationError.of("COVET-HOOK-ASYNC", name=name)
        return {} if callable(method) else None

    def add(self, plugin: object, name: str) -> None:
        """Register a plugin's hooks.

        Raises:
            ConfigurationError: A hook is async, or takes arguments its spec has not.
        """
        try:
            self.register(plugin, name)
        except pluggy.PluginValidationError as error:
            reason = str(error).splitlines()[-1]
            raise ConfigurationError.of("COVET-HOOK-INVALID", name=name, reason=reason) from error

    def unknown(self) -> list[ConfigurationError]:
        """An error for each hook that no spec knows, once all specs are there."""
        specified = sorted(name for name, caller in vars(self.hook).items() if caller.has_spec())
        errors = []
        for name, caller in vars(self.hook).items():
            for impl in () if caller.has_spec() else caller.get_hookimpls():
                fields = {"plugin": impl.plugin_name, "name": name, "given": name}
                error = ConfigurationError.of("COVET-HOOK-UNKNOWN", valid=specified, **fields)
                errors.append(error)
        return errors
