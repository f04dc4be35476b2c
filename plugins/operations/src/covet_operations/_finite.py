"""Numbers that are none: neither an overflow such as 1e999999 nor a NaN gets past an input."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter
from pydantic_core import PydanticKnownError, SchemaValidator, core_schema

A = TypeVar("A", bound=TypeAdapter[Any])

# Where schemas hold schemas.
_INNER: Final = frozenset(
    ("schema", "items_schema", "keys_schema", "values_schema", "extras_schema", "json_schema",
     "python_schema", "strict_schema", "lax_schema", "var_args_schema", "var_kwargs_schema",
     "arguments_schema", "steps", "choices", "fields", "definitions")
)  # fmt: skip


def finite(adapter: A) -> A:
    """Have an adapter's validator refuse infinite floats, unless its types say that they allow them.

    Only adapters that could let one through get a validator of their own; the models of the others
    keep the one pydantic has made for them.
    """
    if _mentions(adapter.core_schema):
        adapter.validator = _Finite(adapter.core_schema)  # type: ignore[assignment]
    return adapter


class _Finite:
    """The part of pydantic's validators that the pipeline uses, made when it is first used.

    It takes the schema, which is known to be valid, apart and builds a validator anew: half a
    millisecond and tens of kilobytes for each model, which a route that nobody calls need not pay.
    """

    validate_json: Callable[..., Any]
    validate_python: Callable[..., Any]
    validate_strings: Callable[..., Any]

    def __init__(self, schema: Any) -> None:
        self._schema = schema

    @cached_property
    def _made(self) -> SchemaValidator:
        # pydantic would take the validator that a model in there has already, not this schema of it.
        return SchemaValidator(_refusing(self._schema, False), _use_prebuilt=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what copies and pickles ask for
            raise AttributeError(name)
        found = getattr(self._made, name)
        setattr(self, name, found)
        return found


def _inner(schema: Mapping[str, Any]) -> Iterable[Any]:
    """The schemas right inside of a schema."""
    for key, value in schema.items():
        if key in _INNER:
            yield from _parts(value)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        if isinstance(value.get("type"), str):
            yield value
        else:
            for each in value.values():
                yield from _parts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _parts(each)


def _mentions(schema: Any) -> bool:
    return _is_open(schema) or any(_mentions(each) for each in _inner(schema))


def _is_open(schema: Mapping[str, Any]) -> bool:
    kind = schema["type"]
    return kind == "any" or (kind == "float" and "allow_inf_nan" not in schema)


def _refusing(schema: Any, allowed: bool) -> Any:
    """A copy of a schema that refuses them.

    Args:
        schema: The schema.
        allowed: Whether the model around it has a say of its own.
    """
    if "config" in schema and schema["type"] in ("model", "dataclass", "typed-dict"):
        allowed = "allow_inf_nan" in (schema["config"] or {})
    if _is_open(schema):
        if allowed:
            return schema
        if schema["type"] == "float":
            return {**schema, "allow_inf_nan": False}
        return core_schema.no_info_after_validator_function(_refuse, schema)
    return {
        key: _copied(value, allowed) if key in _INNER else value for key, value in schema.items()
    }


def _copied(value: Any, allowed: bool) -> Any:
    if isinstance(value, dict):
        if isinstance(value.get("type"), str):
            return _refusing(value, allowed)
        return {key: _copied(each, allowed) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(each, allowed) for each in value)
    return value


def _refuse(value: Any) -> Any:
    """Look for an infinite number in data of any shape; parsers bound its depth."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, float):
            if not math.isfinite(each):
                raise PydanticKnownError("finite_number")
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return value
