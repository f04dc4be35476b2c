"""Findings for people to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import indent

from covet_sql.lint._finding import Finding


def render(findings: Iterable[Finding]) -> str:
    """Findings as text, those of one statement under it."""
    return "\n".join(_lines(findings)) + "\n"


def _lines(findings: Iterable[Finding]) -> Iterator[str]:
    source = None
    for each in findings:
        if each.source != source:
            if source is not None:
                yield ""
            source = each.source
            if source.place:
                yield f"{source.place}:"
            yield indent(source.text, "    ")
        yield f"  {each.level} {each.rule}: {each.why}"
        yield f"    instead: {each.instead}"
        if each.rewrite is not None:
            yield indent(each.rewrite.text, "      ")
            if each.rewrite.same:
                yield f"      (the same {each.rewrite.same})"
