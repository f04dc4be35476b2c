"""The formats that need no plugin to be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from covet_contract._codes import found
from covet_kernel import ConfigurationError
from covet_operations import Comparer, Finding

_BY_FILE: Final = {
    "asyncapi": "_asyncapi._diff",
    "graphql": "_graphql",
    "openapi": "_openapi._diff",
}
"""Formats whose documents stand alone, by kind: the module that compares one text with another."""
_TOGETHER: Final = {"proto": "_proto._diff"}
"""Formats whose documents refer to each other: the module that compares all with all."""
_LIBRARIES: Final = {"graphql": ("graphql", "graphql"), "proto": ("grpc_tools", "proto")}
"""By kind, what is imported to compare it, and the extra that brings it."""


def comparer(kind: str) -> Comparer | None:
    """What compares documents of a format, ``None`` for one that is not known here.

    Raises:
        ConfigurationError: It takes a library that is not installed.
    """
    name = _BY_FILE.get(kind) or _TOGETHER.get(kind)
    if name is None:
        return None
    if kind in _LIBRARIES and find_spec(_LIBRARIES[kind][0]) is None:
        raise ConfigurationError(
            "COVET-CONTRACT-LIBRARY",
            f"comparing documents of the format {kind!r} takes a library that is not installed.",
            fix=f"pip install 'covet-contract[{_LIBRARIES[kind][1]}]'",
        )
    module = import_module(f"covet_contract.{name}")
    return each_file(module.compare) if kind in _BY_FILE else module.compare


def each_file(compare: Callable[[str, str], Iterable[Finding]]) -> Comparer:
    """A comparer that goes from file to file."""

    def run(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Finding]:
        for name, text in old.items():
            if name not in new:
                gone = found("document-removed", "", name, "the document is gone")
                yield gone.replaced(document=name)
                continue
            for each in compare(text, new[name]):
                yield each.replaced(document=name)
        for name in new:
            if name not in old:
                come = found("document-added", "", name, "the document is new")
                yield come.replaced(document=name)

    return run
