"""Applying changes wherever their models stand in a type: compiled once from the annotation."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from typing_extensions import ReadOnly, TypeAliasType

from covet_operations import Checked

Walk: TypeAlias = Callable[[Any], Any]
"""From plain data to plain data; what does not have the expected form is left as it is."""

_SERIES = (list, tuple, set, frozenset)
_QUALIFIERS = (typing.Required, typing.NotRequired, ReadOnly)


class AmbiguousError(TypeError):
    """Two members of a union have changes, and data does not say which of them it is."""


class FaultsError(Exception):
    """Data of a client does not fit; ``errors`` are records of ``loc``, ``msg`` and ``type``."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__()
        self.errors = errors

    def within(self, key: str | int) -> FaultsError:
        """The same faults as seen from what holds the data."""
        return FaultsError([{**each, "loc": [key, *each["loc"]]} for each in self.errors])


def compile_walk(
    annotation: Any,
    changes: Mapping[Any, Walk],
    first: Literal["outer", "inner"],
    used: set[Any] | None = None,
) -> Walk | None:
    """A function that applies each change wherever its model stands, ``None`` if none does.

    Args:
        annotation: The type of the data.
        changes: What to apply, by model.
        first: Whether a model's change comes before those of the models within it. Requests go from
            the outside in and responses from the inside out, so that the fields of a model are
            found where its annotations say.
        used: Takes the models that were found.

    Raises:
        AmbiguousError: See there.
    """
    compiler = _Compiler(changes, first)
    walk = compiler.walk(annotation)
    if used is not None:
        used |= compiler.used
    return walk if compiler.used else None


def compile_record(
    members: Mapping[str, Any], spread: Any, changes: Mapping[Any, Walk], used: set[Any]
) -> Walk | None:
    """The same for an object with a member for each input, from the outside in.

    Args:
        members: Annotations by name.
        spread: A model whose fields stand beside the members; ``None``: there is none.
        changes: What to apply, by model.
        used: Takes the models that were found.

    Raises:
        AmbiguousError: As `compile_walk`.
    """
    compiler = _Compiler(changes, "outer")
    record = _Model(None, True)
    for name, annotation in members.items():
        inner = compiler.walk(annotation)
        if inner is not None:
            record.fields.append((name, inner))
    whole = compiler.walk(spread) if spread is not None else None
    used |= compiler.used
    if not compiler.used:
        return None
    if whole is None or not members:
        return whole or record

    def walk(data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        own = whole({key: value for key, value in data.items() if key not in members})
        others = record({key: value for key, value in data.items() if key in members})
        return {**own, **others} if isinstance(own, dict) else own

    return walk


class _Compiler:
    def __init__(self, changes: Mapping[Any, Walk], first: str) -> None:
        self._changes = changes
        self._first = first
        self._models: dict[Any, _Model] = {}
        self.used: set[Any] = set()

    def walk(self, annotation: Any) -> Walk | None:
        annotation = bare(annotation)
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin in (Union, UnionType):
            return self._union(arguments)
        if fields_of(annotation) is not None:
            return self._model(annotation)
        if origin is Checked:
            inner = self.walk(arguments[0])
            return None if inner is None else _leniently(inner)
        if not isinstance(origin, type):
            return None
        if issubclass(origin, Mapping):
            inner = self.walk(arguments[1])
            return None if inner is None else _values(inner)
        if origin is tuple and arguments[-1:] != (...,):
            return _positions([self.walk(each) for each in arguments])
        if issubclass(origin, Iterable):
            inner = self.walk(arguments[0])
            return None if inner is None else _items(inner)
        return None

    def _union(self, members: Sequence[Any]) -> Walk | None:
        walks = [(each, self.walk(each)) for each in members]
        found = [(each, walk) for each, walk in walks if walk is not None]
        if len(found) > 1:
            names = " and ".join(getattr(each, "__name__", str(each)) for each, _ in found)
            raise AmbiguousError(f"a value may be {names}")
        return found[0][1] if found else None

    def _model(self, model: Any) -> Walk | None:
        known = self._models.get(model)
        if known is not None:
            return known
        change = self._changes.get(model)
        if change is not None:
            self.used.add(model)
        made = self._models[model] = _Model(change, self._first == "outer")
        for keys, annotation in (fields_of(model) or {}).items():
            inner = self.walk(annotation)
            if inner is not None:
                made.fields += [(key, inner) for key in keys]
        if issubclass(model, RootModel):
            made.root = self.walk(model.model_fields["root"].annotation)
            made.fields = []
        # What leads to itself has a field by now, whether or not a change comes of it.
        return made if change is not None or made.fields or made.root is not None else None


class _Model:
    """Applies one model's change and those of its fields."""

    def __init__(self, change: Walk | None, outer_first: bool) -> None:
        self.change = change
        self.fields: list[tuple[str, Walk]] = []
        self.root: Walk | None = None
        self._outer_first = outer_first

    def __call__(self, data: Any) -> Any:
        if self.root is not None:
            data = self.root(data)
        if not isinstance(data, dict):
            return data
        if self.change is not None and self._outer_first:
            data = self.change(data)
        if self.fields and isinstance(data, dict):
            data = dict(data)
            for key, walk in self.fields:
                if key in data:
                    try:
                        data[key] = walk(data[key])
                    except FaultsError as error:
                        raise error.within(key) from None
        if self.change is not None and not self._outer_first:
            data = self.change(data)
        return data


def _values(inner: Walk) -> Walk:
    def walk(data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: _at(key, inner, value) for key, value in data.items()}

    return walk


def _items(inner: Walk) -> Walk:
    def walk(data: Any) -> Any:
        if not isinstance(data, _SERIES):
            return data
        return [_at(index, inner, value) for index, value in enumerate(data)]

    return walk


def _leniently(inner: Walk) -> Walk:
    """An item that does not fit stays as it is: its own validation tells, not that of the others."""

    def walk(data: Any) -> Any:
        try:
            return inner(data)
        except FaultsError:
            return data

    return walk


def _positions(walks: Sequence[Walk | None]) -> Walk | None:
    if not any(walks):
        return None

    def walk(data: Any) -> Any:
        if not isinstance(data, list | tuple) or len(data) != len(walks):
            return data
        return [
            value if inner is None else _at(index, inner, value)
            for index, (inner, value) in enumerate(zip(walks, data, strict=True))
        ]

    return walk


def _at(key: str | int, inner: Walk, value: Any) -> Any:
    try:
        return inner(value)
    except FaultsError as error:
        raise error.within(key) from None


def bare(annotation: Any) -> Any:
    """An annotation without metadata, qualifiers and the name it goes by."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = annotation.__origin__
        elif origin in _QUALIFIERS:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        else:
            return annotation


def fields_of(model: Any) -> dict[tuple[str, ...], Any] | None:
    """The annotations of a model's fields by every name they may have in data, ``None`` for no model."""
    if not isinstance(model, type):
        return None
    if issubclass(model, BaseModel):
        return {
            _names(name, field.alias, field.validation_alias, field.serialization_alias): (
                field.annotation
            )
            for name, field in model.model_fields.items()
        }
    if hasattr(model, "__dataclass_fields__") or (
        issubclass(model, dict) and hasattr(model, "__total__")
    ):
        hints = typing.get_type_hints(model, include_extras=True)
        return {
            (name,): hint for name, hint in hints.items() if get_origin(hint) is not typing.ClassVar
        }
    return None


def _names(name: str, *aliases: Any) -> tuple[str, ...]:
    names = [name]
    for alias in aliases:
        choices = getattr(alias, "choices", [alias])
        names += [each for each in choices if isinstance(each, str)]
    return tuple(dict.fromkeys(names))
