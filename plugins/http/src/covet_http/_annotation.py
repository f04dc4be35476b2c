"""What a handler's annotations say about a path's parameters."""

from __future__ import annotations

from datetime import date, datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID

# By kind: the class a value has, and the class it must not have.
_CLASSES: Final[dict[str, tuple[type, type]]] = {
    "int": (int, bool),
    "uuid": (UUID, NoneType),
    "date": (date, datetime),
    "str": (str, NoneType),
    "path": (str, NoneType),
}


def plain(annotation: Any) -> Any:
    """An annotation without its metadata, its name and its ``None``."""
    while True:
        if isinstance(annotation, type):
            return annotation
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif get_origin(annotation) in (Union, UnionType):
            rest = [each for each in get_args(annotation) if each is not NoneType]
            if len(rest) != 1:
                return annotation
            annotation = rest[0]
        else:
            return annotation


def agrees(kind: str, annotation: Any) -> bool:
    """Whether everything of a template's kind is something the annotation is about."""
    annotation = plain(annotation)
    wanted, unwanted = _CLASSES[kind]
    if get_origin(annotation) is Literal:
        return all(isinstance(each, wanted) for each in get_args(annotation))
    return (
        isinstance(annotation, type)
        and issubclass(annotation, wanted)
        and not issubclass(annotation, unwanted)
    )
