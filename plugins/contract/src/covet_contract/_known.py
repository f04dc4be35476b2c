"""The formats that need no plugin to be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module

from covet_contract._codes import found
from covet_operations import Comparer, Finding

_BY_FILE = {"asyncapi": "_asyncapi._diff", "openapi": "_openapi._diff"}
"""Formats whose documents stand alone, by kind: the module that compares one text with another."""


def comparer(kind: str) -> Comparer | None:
    """What compares documents of a format, ``None`` for one that is not known here."""
    if kind in _BY_FILE:
        module = import_module(f"covet_contract.{_BY_FILE[kind]}")
        compare: Callable[[str, str], Iterable[Finding]] = module.compare
        return each_file(compare)
    return None


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
