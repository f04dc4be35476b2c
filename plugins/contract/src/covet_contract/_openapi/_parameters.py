"""Parameters in the path, the query, headers and cookies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from covet_contract._codes import found
from covet_contract._json._spots import Documents, Spot
from covet_contract._openapi._media import MediaDiff
from covet_operations import Finding

_NAME: Final = re.compile(r"\{[^{}]*\}")
_STYLES: Final = {"query": "form", "cookie": "form", "path": "simple", "header": "simple"}


def shape_of(path: str) -> str:
    """A path without the names of its parameters, which callers do not see."""
    return _NAME.sub("{}", path)


def compare_parameters(
    both: Documents, subject: str, old: tuple[Spot, Spot], new: tuple[Spot, Spot]
) -> Iterator[Finding]:
    """The changes of an operation's parameters, each side given as the path's item and the operation."""
    before, after = _given(both, *old), _given(both, *new)
    media = MediaDiff(both)
    for key, parameter in before.items():
        place = f"{subject} {key[0]} parameter {parameter.table().get('name')!r}"
        replaced = after.get(key)
        if replaced is None:
            yield found("parameter-removed", parameter.pointer, place, "the parameter is gone")
            continue
        was, now = _needed(parameter), _needed(replaced)
        if now and not was:
            yield found("parameter-required", replaced.pointer, place, "it has to be given now")
        elif was and not now:
            yield found(
                "parameter-optional", replaced.pointer, place, "it need not be given any more"
            )
        if _style(parameter) != _style(replaced):
            problem = f"its style was {_spoken(parameter)} and is {_spoken(replaced)}"
            yield found("parameter-style-changed", replaced.pointer, place, problem)
        yield from media.schemas(
            place, both.at(parameter, "schema"), both.at(replaced, "schema"), "input"
        )
        yield from media.content(place, parameter, replaced, "input")
    for key, parameter in after.items():
        if key in before:
            continue
        place = f"{subject} {key[0]} parameter {parameter.table().get('name')!r}"
        if _needed(parameter):
            problem = "it is new, and has to be given"
            yield found("parameter-required", parameter.pointer, place, problem)
        else:
            yield found("parameter-added", parameter.pointer, place, "it is new")


def _given(both: Documents, item: Spot, operation: Spot) -> dict[tuple[str, Any], Spot]:
    """Parameters by place and name; those of the path by their order there, whatever their names."""
    found: dict[tuple[str, Any], Spot] = {}
    order: dict[str, int] = {}
    for each in (*both.items(item, "parameters"), *both.items(operation, "parameters")):
        place, name = str(each.table().get("in")), str(each.table().get("name"))
        key: tuple[str, Any] = place, name.lower() if place == "header" else name
        if place == "path":
            key = place, order.setdefault(name, len(order))
        found[key] = each
    return found


def _needed(parameter: Spot) -> bool:
    return bool(parameter.table().get("required"))


def _style(parameter: Spot) -> tuple[Any, Any]:
    given = parameter.table()
    style = given.get("style", _STYLES.get(str(given.get("in"))))
    return style, given.get("explode", style == "form")


def _spoken(parameter: Spot) -> str:
    style, explode = _style(parameter)
    return f"{style}, exploded" if explode else str(style)
