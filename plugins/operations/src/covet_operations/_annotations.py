"""What annotations are made of."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel


def peel(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without its ``Annotated``, and the metadata."""
    # A class is what nearly every annotation is, and has no origin.
    if not isinstance(annotation, type) and get_origin(annotation) is Annotated:
        return annotation.__origin__, tuple(annotation.__metadata__)
    return annotation, ()


def optional_of(annotation: Any) -> tuple[bool, Any]:
    """Whether it is ``X | None``, and the ``X``."""
    if not isinstance(annotation, type) and get_origin(annotation) in (Union, UnionType):
        rest = [each for each in get_args(annotation) if each is not type(None)]
        if len(rest) == 1 and len(get_args(annotation)) == 2:
            return True, rest[0]
    return False, annotation


def show(annotation: Any) -> str:
    """A type as a person writes it."""
    return getattr(annotation, "__name__", None) or str(annotation)


def is_builtin(annotation: Any) -> bool:
    """Whether a type is Python's own, such as ``int``: nothing of a service's has to be asked of it."""
    return annotation.__class__ is type and annotation.__module__ == "builtins"


def is_model(annotation: Any) -> bool:
    """Whether a type is an object with named fields: a pydantic model, dataclass, TypedDict or Struct."""
    base, _ = peel(annotation)
    if not isinstance(base, type) or is_builtin(base):
        return False
    return (
        issubclass(base, BaseModel)
        or hasattr(base, "__dataclass_fields__")
        or hasattr(base, "__struct_fields__")
        or (issubclass(base, dict) and hasattr(base, "__total__"))
    )


def has_model(annotation: Any) -> bool:
    """The same of a type that may be optional."""
    return is_model(optional_of(peel(annotation)[0])[1])
