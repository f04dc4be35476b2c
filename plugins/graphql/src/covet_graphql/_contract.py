"""The schema as a document, and what a change of it does to clients."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from graphql import GraphQLError, GraphQLSchema, build_schema
from graphql.utilities import (
    BreakingChangeType,
    DangerousChangeType,
    SchemaChange,
    find_schema_changes,
)

from covet_graphql._binding import GraphqlBinding
from covet_graphql._codec import codec
from covet_graphql._schema import build
from covet_operations import ContractView, Finding, Severity

FILE: Final = "schema.graphql"
_PLACE: Final = re.compile(r"[_A-Za-z][_0-9A-Za-z]*(?:\.[_A-Za-z][_0-9A-Za-z]*)*")
_BREAKS: Final = {
    Severity.BREAKING: "clients whose documents ask for it, or send it",
    Severity.RISKY: "clients that do not expect it",
    Severity.COMPATIBLE: "",
}


def render(view: ContractView) -> Mapping[str, str]:
    """The schema of the operations; nothing where there is none."""
    endpoints = view.pipeline.compile(view.serving, GraphqlBinding, codec)
    return {FILE: build(endpoints).sdl + "\n"} if endpoints else {}


def compare(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Finding]:
    """What has changed, from file to file of one name.

    Raises:
        ValueError: A text is no schema.
    """
    for name, text in old.items():
        if name not in new:
            continue
        for change in find_schema_changes(_read(name, text), _read(name, new[name])):
            yield _finding(change, name)


def _finding(change: SchemaChange, name: str) -> Finding:
    kind = change.type
    severity = Severity.COMPATIBLE
    if isinstance(kind, BreakingChangeType):
        severity = Severity.BREAKING
    elif isinstance(kind, DangerousChangeType):
        severity = Severity.RISKY
    text = change.description.rstrip(".")
    dotted = [each for each in _PLACE.findall(text) if "." in each]
    place = dotted[0] if dotted else text.partition(" ")[0]
    return Finding(
        code="graphql-" + kind.name.lower().replace("_", "-"),
        severity=severity,
        place=place,
        subject=place,
        problem=text,
        breaks=_BREAKS[severity],
        document=name,
    )


def _read(name: str, text: str) -> GraphQLSchema:
    try:
        return build_schema(text)
    except (GraphQLError, TypeError) as error:
        raise ValueError(f"{name} is no schema: {error}") from None
