"""What a channel's messages are, by the annotation of its handler."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, get_args, get_origin
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter

from covet_kernel.contracts import Operation
from covet_operations import finite


def connection_types(handler: Callable[..., Any], kind: type) -> list[tuple[Any, ...]]:
    """The type arguments of each parameter that is a connection; ``()`` for one without any.

    Args:
        handler: Its annotations are looked at.
        kind: The class of connections.

    Raises:
        Exception: An annotation cannot be evaluated.
    """
    hints = typing.get_type_hints(inspect.unwrap(handler), include_extras=True)
    hints.pop("return", None)
    return [get_args(each) for each in hints.values() if each is kind or get_origin(each) is kind]


def types_of(operation: Operation, kind: type) -> MessageTypes:
    """The messages of a channel, whose handler was checked."""
    found = _KNOWN.get(operation)
    if found is None:
        ((incoming, outgoing),) = connection_types(operation.handler, kind)
        found = _KNOWN[operation] = MessageTypes(incoming, outgoing)
    return found


class MessageTypes:
    """The messages of one channel in both directions. Validators are made when they are first used.

    Args:
        incoming: What clients send.
        outgoing: What they are sent.
    """

    def __init__(self, incoming: Any, outgoing: Any) -> None:
        self.incoming = incoming
        self.outgoing = outgoing

    @cached_property
    def reads(self) -> TypeAdapter[Any]:
        """Validates what clients send."""
        return finite(TypeAdapter(self.incoming))

    @cached_property
    def writes(self) -> TypeAdapter[Any]:
        """Serializes what they are sent."""
        return TypeAdapter(self.outgoing)


_KNOWN: Final[WeakKeyDictionary[Operation, MessageTypes]] = WeakKeyDictionary()
