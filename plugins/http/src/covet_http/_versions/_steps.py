"""Changes between neighbours, composed into one function for each model and version."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json, to_jsonable_python

from covet_http._versions._changes import VersionChange
from covet_http._versions._walk import FaultsError, Walk, fields_of
from covet_operations import Invalid, OperationError

# What looking into data of an unexpected form raises.
_MISFITS = (LookupError, TypeError, ValueError, AttributeError, RecursionError)


def compose(changes: Sequence[VersionChange], version: str) -> Walk:
    """One function for the changes of one model, in the order in which they apply.

    Args:
        changes: Neighbours, all of one direction.
        version: The client's, for the message.
    """
    steps = [_step(each, version) for each in changes]
    if len(steps) == 1:
        return steps[0]

    def apply(data: Any) -> Any:
        for step in steps:
            data = step(data)
        return data

    return apply


def describe(change: VersionChange) -> Any:
    """The model that describes the client's side of a change, ``None`` if nothing but ``dict`` does."""
    given, returned = _annotations(change.function)
    annotation = given if change.direction == "request" else returned
    return annotation if fields_of(annotation) is not None else None


def _annotations(function: Callable[[Any], Any]) -> tuple[Any, Any]:
    """What it takes and what it returns."""
    hints = typing.get_type_hints(function, include_extras=True)
    first = next(iter(inspect.signature(function).parameters), "")
    return hints.get(first), hints.get("return")


def _step(change: VersionChange, version: str) -> Walk:
    given, _ = _annotations(change.function)
    if change.direction == "request":
        return _upgrade(change.function, given, version)
    return _downgrade(change.function, given)


def _upgrade(function: Callable[[Any], Any], given: Any, version: str) -> Walk:
    fault = {"loc": [], "msg": f"Does not fit version {version}", "type": "version_mismatch"}
    if fields_of(given) is not None:
        check = TypeAdapter(given).validator.validate_json

        def typed(data: Any) -> Any:
            try:
                checked = check(to_json(data))
            except ValidationError as error:
                raise FaultsError(Invalid.from_validation(error).errors) from None
            except ValueError:
                # Other codecs than JSON can hold what it cannot.
                raise FaultsError([fault]) from None
            return to_jsonable_python(function(checked), by_alias=True)

        return typed

    def plain(data: Any) -> Any:
        try:
            return to_jsonable_python(function(data), by_alias=True)
        except OperationError:
            raise
        except _MISFITS:
            # Nothing was checked before; what is not there is the client's doing.
            raise FaultsError([fault]) from None

    return plain


def _downgrade(function: Callable[[Any], Any], given: Any) -> Walk:
    if fields_of(given) is None:
        return lambda data: to_jsonable_python(function(data), by_alias=True)
    check = TypeAdapter(given).validator.validate_json
    return lambda data: to_jsonable_python(function(check(to_json(data))), by_alias=True)
