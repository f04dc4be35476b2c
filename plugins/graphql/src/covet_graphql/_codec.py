"""How operations are called as fields."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from pydantic_core import to_json

from covet_graphql._binding import LOADER, GraphqlBinding
from covet_graphql._call import FieldCall
from covet_kernel.contracts import Operation
from covet_operations import Codec, Parsed, Signature

Document: TypeAlias = bytes | Parsed | None


def codec(operation: Operation, signature: Signature, binding: GraphqlBinding) -> Codec[FieldCall]:
    """How an operation is called as a field: with what the client gave as JSON, and its result as it is.

    What is selected of the result is resolved later, outside of the operation.
    """
    spread = next((each.name for each in signature.inputs if each.spread), "")
    location: tuple[str, ...] = ("arguments",)
    document: Callable[[FieldCall], Document]
    if binding.of == LOADER:
        document = _keys
    elif not spread:
        document = _arguments
    elif len(signature.inputs) == 1:
        # The message of an operation with one model is that model; here it is an argument.
        location = ("arguments", spread)
        document = partial(_whole, spread)
    else:
        document = partial(_together, spread)
    return Codec(document=document, location=location, encode=_as_it_is, encode_item=_as_it_is)


def _keys(call: FieldCall) -> Document:
    return Parsed(dict(call.arguments))


def _arguments(call: FieldCall) -> Document:
    return to_json(call.arguments)


def _whole(spread: str, call: FieldCall) -> Document:
    given = call.arguments.get(spread)
    return None if given is None else to_json(given)


def _together(spread: str, call: FieldCall) -> Document:
    given = dict(call.arguments)
    return to_json({**(given.pop(spread, None) or {}), **given})


def _as_it_is(call: FieldCall, value: Any) -> Any:
    return value
