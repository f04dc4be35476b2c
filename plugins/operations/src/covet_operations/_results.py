"""Results that only one transport can send, and what of a return annotation is left without them."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin


class TransportResult:
    """Base of results in a transport's own form: a redirect, a file, an event.

    A transport derives its own class from it and names that as `TransportBinding.result_type`. An
    operation that returns one is refused at assembly wherever it is bound to another transport. A
    generic one carries its argument: ``Event[Level]`` is encoded, and described in schemas, as a
    ``Level``.
    """

    __slots__ = ()


def split_results(annotation: Any) -> tuple[tuple[type[TransportResult], ...], Any]:
    """The transports' results in a return annotation, and the annotation without them.

    ``Book | Redirect`` gives ``Redirect`` and ``Book``; ``File`` alone leaves ``None``.
    """
    results: list[type[TransportResult]] = []
    rest: list[Any] = []
    for member in _members(annotation):
        kind = get_origin(member) or member
        if isinstance(kind, type) and issubclass(kind, TransportResult):
            results.append(kind)
            # A generic class without its argument may carry anything.
            rest += get_args(member) or ([Any] if getattr(kind, "__parameters__", ()) else [])
        else:
            rest.append(member)
    if not results:
        return (), annotation
    return tuple(results), Union[tuple(rest)] if rest else NoneType  # noqa: UP007 - made of values


def _members(annotation: Any) -> tuple[Any, ...]:
    plain = annotation
    while get_origin(plain) is Annotated:
        plain = plain.__origin__
    if get_origin(plain) in (Union, UnionType):
        return tuple(each for member in get_args(plain) for each in _members(member))
    kind = get_origin(plain) or plain
    if isinstance(kind, type) and issubclass(kind, TransportResult):
        return (plain,)
    return (annotation,)
