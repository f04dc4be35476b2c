"""Models whose fields are single values of the query, of headers or of cookies."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields as dataclass_fields
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import AliasChoices, BeforeValidator, Json, PlainValidator, WrapValidator
from pydantic.fields import FieldInfo

_MANY: Final = (list, set, frozenset, tuple)
_DEEPEST: Final = 5
_JSON: Final[Any] = Json
_READERS: Final = (_JSON, BeforeValidator, PlainValidator, WrapValidator)


class UnfitModelError(Exception):
    """A model cannot be taken apart like that; the message says why."""


class Leaf:
    """One value of a model.

    Attributes:
        path: The fields that lead to it.
        many: Whether it is a collection.
        type: Its annotation.
    """

    __slots__ = ("many", "path", "type")

    def __init__(self, path: tuple[str, ...], annotation: Any) -> None:
        self.path = path
        self.many = _is_many(annotation)
        self.type = annotation


class Spread:
    """A model taken apart.

    Attributes:
        leaves: Its values by the name they have in the request.
        inside: The models inside it, by the name in front of their fields'.
    """

    __slots__ = ("inside", "leaves")

    def __init__(self) -> None:
        self.leaves: dict[str, Leaf] = {}
        self.inside: dict[str, tuple[str, ...]] = {}


def spread(
    annotation: Any, *, prefix: str = "", nested: bool = True, rename: Callable[[str], str] = str
) -> Spread:
    """Take a model apart.

    Args:
        annotation: The model.
        prefix: Stands in front of its fields' names, with a dot.
        nested: Whether there may be models inside it.
        rename: Makes the name in the request of a field's.

    Raises:
        UnfitModelError: A field is nothing that texts could stand for.
    """
    found = Spread()
    _add(found, base_of(annotation), prefix, (), nested, rename)
    return found


def _add(
    found: Spread,
    model: Any,
    prefix: str,
    path: tuple[str, ...],
    nested: bool,
    rename: Callable[[str], str],
) -> None:
    for field, annotation in _fields(model):
        name = f"{prefix}.{rename(field)}" if prefix else rename(field)
        where = (*path, field)
        base = base_of(annotation)
        if has_fields(base):
            if not nested:
                raise UnfitModelError(f"its field {field!r} is a model, which has no place there")
            if len(where) == _DEEPEST:
                continue  # as deep as anybody has to ask; also the end of models that hold themselves
            found.inside[name] = where
            _add(found, base, name, where, nested, rename)
            continue
        unfit = no_text(annotation)
        if unfit:
            raise UnfitModelError(f"its field {'.'.join(where)!r} is {unfit}")
        if name in found.leaves:
            raise UnfitModelError(f"two of its fields are called {name!r}")
        found.leaves[name] = Leaf(where, annotation)


def _fields(model: Any) -> Iterator[tuple[str, Any]]:
    """Every name that a field of the model goes by, with the annotation."""
    known: Mapping[str, FieldInfo] | None = getattr(model, "__pydantic_fields__", None)
    if known is not None:
        config: Mapping[str, Any] = (
            getattr(model, "model_config", None)
            or getattr(model, "__pydantic_config__", None)
            or {}
        )
        both = config.get("populate_by_name") or config.get("validate_by_name")
        for name, info in known.items():
            names = _aliases(name, info)
            if both and name not in names:
                names.append(name)
            # pydantic takes a field's annotation and its metadata apart.
            whole = (
                Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
            )
            for each in names:
                yield each, whole
    elif hasattr(model, "__struct_encode_fields__"):
        hints = typing.get_type_hints(model, include_extras=True)
        for name, encoded in zip(
            model.__struct_fields__, model.__struct_encode_fields__, strict=True
        ):
            yield encoded, hints[name]
    elif hasattr(model, "__dataclass_fields__"):
        hints = typing.get_type_hints(model, include_extras=True)
        for member in dataclass_fields(model):
            if member.init:
                yield member.name, hints[member.name]
    else:
        yield from typing.get_type_hints(model).items()


def _aliases(name: str, info: FieldInfo) -> list[str]:
    alias = info.validation_alias or info.alias or name
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    names = [each for each in choices if isinstance(each, str)]
    if len(names) < len(choices):
        raise UnfitModelError(f"its field {name!r} has a path for an alias")
    return names


def base_of(annotation: Any) -> Any:
    """A type without its metadata, and without the ``None`` of an optional one."""
    if isinstance(annotation, type):
        return annotation
    if get_origin(annotation) is Annotated:
        return base_of(annotation.__origin__)
    if get_origin(annotation) in (Union, UnionType):
        rest = [each for each in get_args(annotation) if each is not type(None)]
        if len(rest) == 1:
            return base_of(rest[0])
    return annotation


def no_text(annotation: Any) -> str:
    """What a type is, if no text of a query, header or cookie could stand for it; else empty."""
    if isinstance(annotation, type):
        return "a dict" if annotation is dict else ""
    if any(isinstance(each, _READERS) for each in get_args(annotation)[1:]):
        return ""  # it reads texts by itself
    base = base_of(annotation)
    if _is_many(annotation) and any(has_fields(base_of(each)) for each in get_args(base)):
        return "a collection of models"
    return "a dict" if base is dict or get_origin(base) is dict else ""


def _is_many(annotation: Any) -> bool:
    if isinstance(annotation, type):
        return annotation in _MANY
    if any(isinstance(each, _JSON) for each in get_args(annotation)[1:]):
        return False  # one text, which holds all of it
    base = base_of(annotation)
    return (get_origin(base) or base) in _MANY


def has_fields(base: Any) -> bool:
    """Whether a type, as `base_of` gives it, is an object with named fields."""
    if not isinstance(base, type) or base.__module__ == "builtins":
        return False
    return (
        hasattr(base, "__pydantic_fields__")
        or hasattr(base, "__struct_fields__")
        or hasattr(base, "__dataclass_fields__")
        or (issubclass(base, dict) and hasattr(base, "__total__"))
    )
