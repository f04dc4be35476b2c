"""From annotations to shapes: which messages a service's operations need."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, PlainSerializer, RootModel, WrapSerializer
from pydantic.fields import FieldInfo

from covet_grpc._schema._kinds import EMPTY, EMPTY_FILE, OBJECT, plain_shape
from covet_grpc._schema._shapes import EnumShape, Field, MessageShape, Scalar, Shape, WellKnown
from covet_grpc._schema._wire import Wire, wire_scalar

_LISTS: Final = (list, tuple, set, frozenset, Sequence)
_MAPS: Final = (dict, Mapping, MutableMapping)
_ALIAS: Final[Any] = getattr(typing, "TypeAliasType", None)  # what a `type` statement makes
_UNNAMED: Final = re.compile(r"[^A-Za-z0-9]+")
_WORD_BEGINS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_KEYS: Final = frozenset(
    {"string", "int64", "int32", "uint64", "uint32", "bool", "sint32", "sint64"}
)

NOTHING: Final = WellKnown(EMPTY, EMPTY_FILE, lambda value: b"", lambda message: None)
"""What stands where there is no message."""


class ShapeError(Exception):
    """A type that gRPC cannot carry; its text says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """What an annotation comes to."""

    shape: Shape
    label: Literal["", "repeated", "map"] = ""
    key: Scalar | None = None
    optional: bool = False


class Package:
    """The messages and enumerations of one package.

    Args:
        name: Such as ``"shop.v1"``; may be empty.

    Attributes:
        messages: By full name.
        enums: By full name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.messages: dict[str, MessageShape] = {}
        self.enums: dict[str, EnumShape] = {}

    def full(self, name: str) -> str:
        """A name in this package."""
        return f"{self.name}.{name}" if self.name else name

    def lone(self, annotation: Any) -> MessageShape | None:
        """The message a type is by itself, ``None`` if it has to be the field of one."""
        base, metadata = _peel(annotation)
        if _is_model(base) and not _root_of(base):
            _refuse_serializers(metadata)
            return self._model(base)
        return None

    def made(self, name: str, about: str = "") -> MessageShape:
        """A message that no class stands for.

        Raises:
            ShapeError: There is one of this name.
        """
        full = self.full(name)
        if full in self.messages or full in self.enums:
            raise ShapeError(f"there are two messages of the name {full}")
        found = self.messages[full] = MessageShape(full, None, about)
        return found

    def field(self, name: str, annotation: Any, *, needed: bool = True) -> Field:
        """A field of this type, for a message of `made`.

        Args:
            name: Of the field.
            annotation: Its type.
            needed: Whether it has to be given.
        """
        found = self._shape(annotation, name)
        return _field(found, name, name, given=name, needed=needed)

    def fields_of(self, model: type) -> list[Field]:
        """The fields of a model, for a message that has others besides."""
        return list(self._fields(model))

    def _model(self, model: type) -> MessageShape:
        full = self.full(_name_of(model))
        known = self.messages.get(full)
        if known is not None:
            if known.model is not model:
                raise ShapeError(f"two types would be the message {full}")
            return known
        shape = self.messages[full] = MessageShape(full, model, _about(model))
        shape.fields = list(self._fields(model))
        return shape

    def _fields(self, model: Any) -> Iterator[Field]:
        if issubclass(model, BaseModel):
            yield from self._pydantic_fields(model)
            return
        hints = typing.get_type_hints(model, include_extras=True)
        for each in dataclasses.fields(model):
            needed = each.default is dataclasses.MISSING
            needed = needed and each.default_factory is dataclasses.MISSING
            found = self._shape(hints[each.name], f"{model.__name__}.{each.name}")
            yield _field(found, each.name, each.name, given=each.name, needed=needed)

    def _pydantic_fields(self, model: type[BaseModel]) -> Iterator[Field]:
        decorators = model.__pydantic_decorators__
        if decorators.model_serializers:
            raise ShapeError(
                f"{model.__name__} has a serializer of its own, which only JSON follows"
            )
        own = {name for each in decorators.field_serializers.values() for name in each.info.fields}
        for name, info in model.model_fields.items():
            where = f"{model.__name__}.{name}"
            if name in own or "*" in own:
                raise ShapeError(f"{where} has a serializer of its own, which only JSON follows")
            annotation: Any = info.annotation
            if info.metadata:
                annotation = Annotated[(annotation, *info.metadata)]
            found = self._shape(annotation, where)
            # What is kept out of every answer is kept out of this one: it can be given, and not read.
            attribute = "" if info.exclude else name
            alias = _given(info, name)
            yield _field(
                found, name, attribute, given=alias, needed=info.is_required(),
                json=info.serialization_alias or info.alias or "", about=info.description or "",
            )  # fmt: skip
        for name, computed in model.model_computed_fields.items():
            found = self._shape(computed.return_type, f"{model.__name__}.{name}")
            yield _field(found, name, name, given="", about=computed.description or "")

    def _shape(self, annotation: Any, where: str) -> _Found:
        base, metadata = _peel(annotation)
        _refuse_serializers(metadata, where)
        if isinstance(base, typing.TypeVar):
            raise ShapeError(f"{where} has a type that is still open")
        wire = next((each for each in metadata if isinstance(each, Wire)), None)
        if get_origin(base) in (Union, UnionType):
            members = [each for each in get_args(base) if each is not NoneType]
            if len(members) > 1:
                raise ShapeError(f"{where} may be one of several types, which no field can be")
            if len(members) < len(get_args(base)):
                found = self._shape(_like(members[0], metadata), where)
                if found.label:
                    # Absent and empty are one on the wire.
                    raise ShapeError(
                        f"{where} is a collection or nothing, which a field cannot say"
                    )
                return dataclasses.replace(found, optional=True)
            return self._shape(_like(members[0], metadata), where)
        if wire is not None:
            scalar = wire_scalar(wire, base)
            if scalar is None:
                raise ShapeError(f"{where} is no whole or real number, so it cannot be {wire.type}")
            return _Found(scalar)
        kind = get_origin(base) or base
        if kind in _LISTS:
            return self._list(base, where)
        if kind in _MAPS:
            return self._map(base, where)
        return _Found(self._single(base, where))

    def _list(self, base: Any, where: str) -> _Found:
        members = [each for each in get_args(base) if each is not Ellipsis]
        if len(members) > 1:
            raise ShapeError(f"{where} is a tuple whose places have types of their own")
        item = self._shape(members[0] if members else Any, where)
        if item.label or item.optional:
            raise ShapeError(
                f"{where} holds collections, or what may be nothing; wrap them in a model"
            )
        return _Found(item.shape, "repeated")

    def _map(self, base: Any, where: str) -> _Found:
        key, value = get_args(base) or (str, Any)
        keys = self._shape(key, where)
        if value in (Any, object):
            return _Found(OBJECT)
        values = self._shape(value, where)
        if not isinstance(keys.shape, Scalar) or keys.shape.type not in _KEYS or keys.optional:
            raise ShapeError(f"{where} has keys that no map can have; str and int can be keys")
        if values.label or values.optional:
            raise ShapeError(
                f"{where} holds collections, or what may be nothing; wrap them in a model"
            )
        return _Found(values.shape, "map", keys.shape)

    def _single(self, base: Any, where: str) -> Shape:
        if get_origin(base) is Literal:
            kinds = {type(each) for each in get_args(base)}
            scalar = plain_shape(next(iter(kinds))) if len(kinds) == 1 else None
            if scalar is None:
                raise ShapeError(f"{where} has literals of several types")
            return scalar
        if isinstance(base, type) and issubclass(base, Enum):
            return self._enum(base)
        if _is_model(base):
            root = _root_of(base)
            if root:
                raise ShapeError(f"{where} is a RootModel; use what it holds, or a model")
            return self._model(base)
        found = plain_shape(base)
        if found is None:
            name = getattr(base, "__name__", str(base))
            raise ShapeError(f"{where} is {name}, which has no form in protobuf")
        return found

    def _enum(self, kind: type[Enum]) -> EnumShape:
        full = self.full(_name_of(kind))
        known = self.enums.get(full)
        if known is not None:
            if known.kind is not kind:
                raise ShapeError(f"two types would be the enumeration {full}")
            return known
        prefix = _WORD_BEGINS.sub("_", kind.__name__).upper()
        names: dict[str, Enum] = {
            f"{prefix}_{name.upper()}": each for name, each in kind.__members__.items()
        }
        unsaid = f"{prefix}_UNSPECIFIED"
        if unsaid in names:
            raise ShapeError(
                f"{kind.__name__} has a member UNSPECIFIED, which means that none was given"
            )
        found = self.enums[full] = EnumShape(full, kind, names, unsaid)
        return found


def _field(
    found: _Found,
    name: str,
    attribute: str,
    *,
    given: str,
    needed: bool = True,
    json: str = "",
    about: str = "",
) -> Field:
    label: Any = found.label
    if not label and (found.optional or not needed):
        # Whether it was given has to be told: what is absent has a default that is not zero.
        label = "optional"
    return Field(
        name=name, shape=found.shape, label=label, key=found.key, attribute=attribute, given=given,
        json=json, about=about.strip(),
    )  # fmt: skip


def _peel(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type itself and what is attached to it."""
    metadata: tuple[Any, ...] = ()
    while True:
        if _ALIAS is not None and isinstance(annotation, _ALIAS):
            annotation = annotation.__value__
        elif get_origin(annotation) is Annotated:
            metadata = (*annotation.__metadata__, *metadata)
            annotation = annotation.__origin__
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        else:
            return annotation, metadata


def _like(annotation: Any, metadata: tuple[Any, ...]) -> Any:
    return Annotated[(annotation, *metadata)] if metadata else annotation


def _refuse_serializers(metadata: tuple[Any, ...], where: str = "a message") -> None:
    if any(isinstance(each, PlainSerializer | WrapSerializer) for each in metadata):
        raise ShapeError(f"{where} has a serializer of its own, which only JSON follows")


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and (
        issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind)
    )


def _root_of(kind: type) -> bool:
    return issubclass(kind, RootModel)


def _given(info: FieldInfo, name: str) -> str:
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        alias = next((each for each in alias.choices if isinstance(each, str)), None)
    if isinstance(alias, str):
        return alias
    if alias is not None:
        raise ShapeError(f"{name} is taken from within another input (AliasPath)")
    return info.alias or name


def _name_of(kind: type) -> str:
    """The name of a class on the wire: of a generic one with what it holds."""
    return "".join(part[:1].upper() + part[1:] for part in _UNNAMED.split(kind.__name__))


def _about(model: type) -> str:
    written = model.__dict__.get("__doc__") or ""
    # A dataclass without a docstring is given its signature.
    return "" if written.startswith(f"{model.__name__}(") else written.strip()
