"""Finds and imports plugin classes; only those that are enabled."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, cast

from covet_kernel._errors import ConfigurationError
from covet_kernel._plugin import Plugin

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints
    from types import ModuleType

Classes = Mapping[str, type[Plugin[Any]]]
Points = Mapping[str, "list[EntryPoint]"]


def installed(group: str = "covet.plugins") -> Points:
    """Entry points of one group by name, from metadata alone: nothing is imported."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for point in _scan(tuple(sys.path)).select(group=group):
        # One distribution may be found twice on the path; two distributions are a conflict.
        found.setdefault(point.name, {})[point.dist.name if point.dist else ""] = point
    return {name: list(points.values()) for name, points in sorted(found.items())}


@lru_cache(maxsize=1)
def _scan(path: tuple[str, ...]) -> EntryPoints:
    """Every distribution's entry points; reading them all takes milliseconds."""
    from importlib.metadata import entry_points

    # Python 3.11 calls the type otherwise; both select.
    return cast("EntryPoints", entry_points())


def load_class(
    kind: str, use: str | None, points: Points, classes: Classes
) -> tuple[type[Plugin[Any]], str]:
    """The class of the plugins of one kind, and where it came from.

    Raises:
        ConfigurationError: There is none or more than one, or it cannot be imported.
    """
    found = points.get(kind, [])
    if use:
        module, _, attribute = use.partition(":")
        cls, origin = getattr(load_module(module), attribute, None), f"use = {use!r}"
    elif kind in classes:
        cls, origin = classes[kind], "given"
    elif len(found) > 1:
        owners = " and ".join(point.dist.name for point in found if point.dist)
        raise ConfigurationError.of("COVET-PLUGIN-TWICE", name=kind, owners=owners)
    elif found:
        point = found[0]
        cls = getattr(load_module(point.module), point.attr, None)
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    else:
        known = sorted({*points, *classes})
        raise ConfigurationError.of("COVET-PLUGIN-MISSING", valid=known, given=kind, name=kind)
    if not (isinstance(cls, type) and issubclass(cls, Plugin)):
        raise ConfigurationError.of("COVET-PLUGIN-INVALID", origin=origin, name=kind)
    return cls, origin


def load_module(name: str) -> ModuleType:
    """Import ``name``.

    Raises:
        ConfigurationError: Whatever it raised, with the place that raised it.
    """
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        raise blame("COVET-PLUGIN-IMPORT", name, error) from error


def blame(code: str, name: str, raised: BaseException) -> ConfigurationError:
    """An error that says what ``name`` raised, and at which line."""
    last = extract_tb(raised.__traceback__)[-1]
    place = "" if "importlib" in last.filename else f"{last.filename}:{last.lineno}"
    reason = f"{type(raised).__name__}: {raised}"
    return ConfigurationError.of(code, place=place, name=name, reason=reason)
