"""The fields of models that come from the query, headers or cookies: a parameter each."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from functools import reduce
from typing import Annotated, Any

from pydantic import Field as PydanticField
from pydantic import TypeAdapter

from covet_http._fields import Spread, base_of
from covet_kernel.contracts import Record
from covet_operations import Input


class Field(Record):
    """One field of a model that is taken apart.

    Attributes:
        name: In the request.
        adapter: Its type, with what the model says of it.
        required: Whether it has to be there.
    """

    name: str
    adapter: TypeAdapter[Any]
    required: bool


def taken_apart(given: Input, model: Spread) -> Iterator[Field]:
    """The fields of one input."""
    for name, leaf in model.leaves.items():
        holder, required = base_of(given.type), given.required
        for field in leaf.path[:-1]:
            annotation, needed = _field(holder, field)
            holder, required = base_of(annotation), required and needed
        annotation, needed = _field(holder, leaf.path[-1])
        yield Field(name=name, adapter=TypeAdapter(annotation), required=required and needed)


def _annotated(inner: Any, each: Any) -> Any:
    return Annotated[inner, each]


def _field(model: Any, name: str) -> tuple[Any, bool]:
    """The annotation of the field that goes by a name, with what else is said of it, and whether the model needs it."""
    for field, info in getattr(model, "__pydantic_fields__", {}).items():
        alias = info.validation_alias or info.alias
        if name not in (field, alias, *getattr(alias, "choices", ())):
            continue
        # A field by itself has no alias, and pydantic says so.
        own = PydanticField(
            default=... if info.default_factory is not None else info.default,
            title=info.title,
            description=info.description,
            examples=info.examples,
            deprecated=info.deprecated,
            json_schema_extra=info.json_schema_extra,
        )
        return reduce(_annotated, (*info.metadata, own), info.annotation), info.is_required()
    annotation = typing.get_type_hints(model, include_extras=True)[name]
    said = typing.get_origin(annotation)
    if said in (typing.Required, typing.NotRequired):
        return typing.get_args(annotation)[0], said is typing.Required
    if dataclasses.is_dataclass(model):
        found = next(each for each in dataclasses.fields(model) if each.name == name)
        missing = dataclasses.MISSING
        return annotation, found.default is missing and found.default_factory is missing
    required = getattr(model, "__required_keys__", None)
    return annotation, required is None or name in required
