"""What changed between neighbouring versions: functions over one model's data, and their collection."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Literal, TypeVar

from covet_kernel.contracts import Record

F = TypeVar("F", bound=Callable[..., Any])
_ATTRIBUTE = "__covet_version_changes__"


class VersionChange(Record):
    """How one model's data differs between two neighbouring versions.

    Attributes:
        direction: ``"request"`` takes what a client of ``older`` sends to what ``newer`` expects,
            ``"response"`` takes what ``newer`` answers to what a client of ``older`` expects.
        older: A version.
        newer: The version after it.
        model: The class whose data changes, as it stands in the handler's annotations.
        function: Takes the data and returns it changed.
    """

    direction: Literal["request", "response"]
    older: str
    newer: str
    model: type[Any]
    function: Callable[[Any], Any]


def upgrade_request(older: str, newer: str, model: type[Any]) -> Callable[[F], F]:
    """Take ``model`` as clients of ``older`` send it to what it is in ``newer``.

    The function gets the JSON object as a ``dict``, of which nothing has been checked yet: where it
    raises `LookupError`, `TypeError`, `ValueError` or `AttributeError`, the request is refused. If
    its parameter is annotated with a model instead, the object is validated against that first. It
    returns a ``dict`` or a model.

    Args:
        older: The version clients speak.
        newer: The version after it.
        model: What a handler takes, by itself or within lists, mappings and other models.
    """
    return _mark("request", older, newer, model)


def downgrade_response(newer: str, older: str, model: type[Any]) -> Callable[[F], F]:
    """Take ``model`` as it is in ``newer`` to what clients of ``older`` expect.

    The function gets the encoded result's JSON object as a ``dict``, or, if its parameter is
    annotated with a model, validated as that; it returns a ``dict`` or a model.

    Args:
        newer: A version.
        older: The version before it, which clients speak.
        model: What a handler returns, by itself or within lists, mappings and other models.
    """
    return _mark("response", older, newer, model)


def _mark(
    direction: Literal["request", "response"], older: str, newer: str, model: type[Any]
) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        change = VersionChange(
            direction=direction, older=older, newer=newer, model=model, function=function
        )
        vars(function).setdefault(_ATTRIBUTE, []).append(change)
        return function

    return decorate


def version_changes_of(module: ModuleType) -> Iterator[VersionChange]:
    """The changes that functions of a module are decorated with, not those it imports."""
    seen: set[Callable[..., Any]] = set()
    for value in vars(module).values():
        if inspect.isfunction(value) and value.__module__ == module.__name__ and value not in seen:
            seen.add(value)
            yield from vars(value).get(_ATTRIBUTE, ())
