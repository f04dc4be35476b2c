"""What is known of an operation's form before any arrives."""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from covet_operations import Input

_MANY: Final = (list, set, frozenset, tuple, Sequence)


class FormPlan:
    """How the fields of one operation's form are read; made once.

    Attributes:
        names: The operation's input for a field, where that is called something else.
        hidden: Inputs whose field is called something else.
        many: Fields that may come more than once.
        single: Fields that may not.
        files: Fields that are files.
        blank: Fields for which nothing is no value. A browser sends every input of a form, so an
            empty one then counts as not sent.
    """

    __slots__ = ("blank", "files", "hidden", "many", "names", "single")

    def __init__(self, inputs: Sequence[Input], names: Mapping[str, str]) -> None:
        """Work it out.

        Args:
            inputs: Those that come from the form.
            names: What their fields are called there.
        """
        self.names: dict[str, str] = {}
        many: set[str] = set()
        single: set[str] = set()
        files: set[str] = set()
        blank: set[str] = set()
        for given in inputs:
            if given.spread:
                fields = list(fields_of_model(given.type))
            else:
                field = names[given.name]
                if field != given.name:
                    self.names[field] = given.name
                fields = [(field, given.type)]
            for name, annotation in fields:
                repeated = is_collection(annotation)
                (many if repeated else single).add(name)
                if holds_files(annotation):
                    files.add(name)
                elif not takes(annotation, [""] if repeated else ""):
                    blank.add(name)
        self.hidden = frozenset(self.names.values())
        self.many = frozenset(many)
        self.single = frozenset(single)
        self.files = frozenset(files)
        self.blank = frozenset(blank)


def plain(annotation: Any) -> Any:
    """A type without its metadata, and without the ``None`` it may be."""
    while True:
        if isinstance(annotation, type):
            return annotation
        if get_origin(annotation) is Annotated:
            annotation = annotation.__origin__
        elif get_origin(annotation) in (Union, UnionType):
            rest = [each for each in get_args(annotation) if each is not type(None)]
            if len(rest) != 1:
                return annotation
            annotation = rest[0]
        else:
            return annotation


def is_collection(annotation: Any) -> bool:
    """Whether a field of this type may come more than once."""
    bare = plain(annotation)
    return (get_origin(bare) or bare) in _MANY


def holds_files(annotation: Any) -> bool:
    """Whether a field of this type is a file, or several."""
    bare = plain(annotation)
    if isinstance(bare, type):
        # Whoever says that a field is a file has imported what it would be.
        module = sys.modules.get("covet_http._forms._upload")
        return module is not None and issubclass(bare, module.Upload)
    return any(holds_files(each) for each in get_args(bare) if each is not annotation)


def fields_of_model(model: Any) -> Iterator[tuple[str, Any]]:
    """What a model's fields are called on the wire, and their types."""
    bare = plain(model)
    if issubclass(bare, BaseModel) and not bare.__pydantic_complete__:
        # It names classes that came after it.
        bare.model_rebuild(raise_errors=False)
    fields: Mapping[str, FieldInfo] = (
        bare.model_fields
        if issubclass(bare, BaseModel)
        else getattr(bare, "__pydantic_fields__", None) or {}
    )
    if not fields:
        yield from typing.get_type_hints(bare, include_extras=True).items()
        return
    for name, field in fields.items():
        # Constraints are kept apart from the type; whether nothing is a value depends on both.
        annotation = field.rebuild_annotation()
        alias = field.validation_alias or field.alias
        yield name, annotation
        for each in alias.choices if isinstance(alias, AliasChoices) else [alias]:
            if isinstance(each, str):
                yield each, annotation


def takes(annotation: Any, value: object) -> bool:
    """Whether a value is one of this type."""
    if annotation is str:
        return True
    try:
        TypeAdapter(annotation).validate_python(value)
    except ValidationError:
        return False
    except Exception:
        # A validator of the application's: it will say so itself.
        return True
    return True
