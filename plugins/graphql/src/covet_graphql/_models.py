"""Models as they are declared: their fields with annotations, and the methods that are fields."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from covet_graphql._marks import INTERFACE, METHOD, NAMED, Method
from covet_graphql._names import NAME
from covet_kernel.contracts import Record


class Attribute(Record):
    """One field of a model.

    Attributes:
        name: The attribute's, or the key's where instances are mappings.
        type: Its annotation, metadata included.
        required: Whether a model made of input needs it.
        default: Its default unless required; `MISSING` where it is made anew each time.
        description: What the declaration says of it.
        deprecated: Why it should not be used, if so.
        input_name: What it is called in input.
    """

    name: str
    type: Any
    required: bool = True
    default: Any = None
    description: str = ""
    deprecated: str = ""
    input_name: str = ""


MISSING: Any = dataclasses.MISSING


def plain(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """An annotation without ``Annotated`` and names given to types, and all metadata on the way."""
    metadata: tuple[Any, ...] = ()
    while not isinstance(annotation, type) or get_origin(annotation) is not None:
        if get_origin(annotation) is Annotated:
            metadata += tuple(annotation.__metadata__)
            annotation = annotation.__origin__
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            break
    return annotation, metadata


def without_none(annotation: Any) -> tuple[Any, bool]:
    """A type without its ``None``, and whether there was one."""
    base, metadata = plain(annotation)
    if get_origin(base) not in (Union, UnionType):
        return annotation, base is NoneType
    rest = tuple(each for each in get_args(base) if each is not NoneType)
    if len(rest) == len(get_args(base)):
        return annotation, False
    inner: Any = Union[rest] if rest else NoneType  # noqa: UP007 - made of values
    return (Annotated[(inner, *metadata)] if metadata else inner), True


def is_model(base: Any) -> bool:
    """Whether a class is an object with named fields."""
    return (
        isinstance(base, type)
        and base.__module__ != "builtins"
        and (
            hasattr(base, "__pydantic_fields__")
            or hasattr(base, "__dataclass_fields__")
            or hasattr(base, "__struct_fields__")
            or is_mapping(base)
        )
    )


def is_mapping(base: Any) -> bool:
    """Whether it is a TypedDict: what its instances have are keys."""
    return isinstance(base, type) and issubclass(base, dict) and hasattr(base, "__total__")


def is_interface(base: type) -> bool:
    """Whether a model is declared an interface; its subclasses are not by that."""
    return vars(base).get(INTERFACE) == base.__qualname__


def name_of(base: type) -> str:
    """What a class is called in a schema: ``Page[Book]`` is ``BookPage``."""
    said = vars(base).get(NAMED)
    if said is not None and said[0] == base.__qualname__:
        return str(said[1])
    generic = getattr(base, "__pydantic_generic_metadata__", None)
    if generic and generic["args"]:
        inner = "".join(_argument_name(each) for each in generic["args"])
        return inner + name_of(generic["origin"])
    return base.__name__


def _argument_name(argument: Any) -> str:
    base, _ = plain(without_none(argument)[0])
    if isinstance(base, type):
        return name_of(base)
    return "".join(_argument_name(each) for each in get_args(base)) or "Any"


def describe(base: type) -> str | None:
    """The docstring of a class, unless it is one that Python or a library wrote."""
    text = vars(base).get("__doc__")
    if not text or text.startswith(f"{base.__name__}("):
        return None
    return " ".join(text.partition("\n\n")[0].split())


def attributes(base: type) -> Iterator[Attribute]:
    """The fields of a model, in the order of their declaration."""
    if hasattr(base, "__pydantic_fields__"):
        yield from _of_pydantic(base)
        return
    hints = typing.get_type_hints(base, include_extras=True)
    if hasattr(base, "__struct_fields__"):
        struct: Any = base
        first = len(struct.__struct_fields__) - len(struct.__struct_defaults__)
        encoded = zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True)
        for place, (name, told) in enumerate(encoded):
            yield Attribute(
                name=name,
                type=hints[name],
                required=place < first,
                default=MISSING,
                input_name=told,
            )
    elif is_mapping(base):
        for name, annotation in hints.items():
            inner = get_args(annotation)[0] if get_origin(annotation) in _KEYS else annotation
            yield Attribute(
                name=name,
                type=inner,
                required=name in base.__required_keys__,  # type: ignore[attr-defined]
                default=MISSING,
                input_name=name,
            )
    else:
        for each in dataclasses.fields(base):
            made = each.default_factory is not MISSING
            yield Attribute(
                name=each.name,
                type=hints[each.name],
                required=each.default is MISSING and not made,
                default=each.default,
                input_name=each.name,
            )


_KEYS = (typing.Required, typing.NotRequired)


def _of_pydantic(base: Any) -> Iterator[Attribute]:
    if not getattr(base, "__pydantic_fields_complete__", True):
        rebuild = getattr(base, "model_rebuild", None)
        if rebuild is not None:
            rebuild(raise_errors=False)
    for name, info in base.__pydantic_fields__.items():
        whole = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
        alias = info.validation_alias or info.alias
        deprecated = info.deprecated
        yield Attribute(
            name=name,
            type=whole,
            required=info.is_required(),
            default=MISSING if info.default_factory is not None else info.default,
            description=info.description or "",
            deprecated=deprecated
            if isinstance(deprecated, str)
            else "deprecated"
            if deprecated
            else "",
            input_name=alias if isinstance(alias, str) else name,
        )


def computed(base: Any) -> Iterator[Attribute]:
    """What a pydantic model computes of its fields and shows besides them."""
    for name, info in getattr(base, "__pydantic_computed_fields__", {}).items():
        yield Attribute(name=name, type=info.return_type, description=info.description or "")


def methods(base: type) -> Iterator[tuple[Method, Callable[..., Any]]]:
    """The methods that are fields, those of base classes included."""
    found: dict[str, tuple[Method, Callable[..., Any]]] = {}
    for cls in reversed(base.__mro__):
        for name, value in vars(cls).items():
            said = getattr(value, METHOD, None)
            if isinstance(said, Method):
                found[name] = said, value
            else:
                found.pop(name, None)
    yield from found.values()


def implementations(base: type) -> Iterator[type]:
    """The models derived from an interface that are none themselves."""
    derived: list[type] = base.__subclasses__()
    for each in derived:
        if is_model(each) and not is_interface(each) and not _is_replaced(each):
            yield each
        yield from implementations(each)


def _is_replaced(cls: type) -> bool:
    """Whether a class is what a decorator has made another of, as ``dataclass(slots=True)`` does."""
    from sys import modules

    module = modules.get(cls.__module__)
    found = getattr(module, cls.__name__, cls) if "." not in cls.__qualname__ else cls
    return isinstance(found, type) and found is not cls and found.__qualname__ == cls.__qualname__


def is_valid_name(name: str) -> bool:
    """Whether the specification takes it for a name."""
    return bool(NAME.match(name))
