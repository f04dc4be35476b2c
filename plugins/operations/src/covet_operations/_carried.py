"""Types that only one transport's calls can carry, such as a file that comes with a form.

Such a class names the class of those calls in ``__covet_call__``. An operation that takes one,
itself or somewhere within a model, can be bound where the calls are of that class and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter

from covet_kernel import ConfigurationError
from covet_kernel.contracts import Binding, Call, Operation
from covet_operations._codec import TransportBinding
from covet_operations._signature import Signature, place_of

# Operations share the adapters of the models they take.
_known: WeakKeyDictionary[TypeAdapter[Any], type | None] = WeakKeyDictionary()
_models: WeakKeyDictionary[type, type | None] = WeakKeyDictionary()


def carried_by(signature: Signature) -> Mapping[str, type]:
    """The inputs that not every call can carry, each with the class that it holds."""
    found = {each.name: _special(each.adapter) for each in signature.inputs}
    if signature.item is not None:
        found["the stream"] = _special(signature.item)
    return {name: kind for name, kind in found.items() if kind is not None}


def _special(adapter: TypeAdapter[Any]) -> type | None:
    """The first class within what an adapter validates that has ``__covet_call__``."""
    try:
        return _known[adapter]
    except KeyError:
        found = _known[adapter] = _within(adapter.core_schema)
        return found


def _within(schema: Any) -> type | None:
    pending = [schema]
    while pending:
        each = pending.pop()
        if each.__class__ is str:
            continue
        if isinstance(each, dict):
            kind = each.get("type")
            if kind == "is-instance" and hasattr(each["cls"], "__covet_call__"):
                found: type = each["cls"]
                return found
            if kind == "model":
                inner = _within_model(each["cls"], each["schema"])
                if inner is not None:
                    return inner
                continue
            pending += each.values()
        elif isinstance(each, list | tuple):
            pending += each
    return None


def _within_model(model: type, schema: Any) -> type | None:
    """The same for a model, of which others are made: it is looked into once."""
    try:
        return _models[model]
    except KeyError:
        _models[model] = None  # what it says of itself, where it holds itself
        found = _models[model] = _within(schema)
        return found


def check_carried(
    operation: Operation, binding: Binding, carried: Mapping[str, type]
) -> Iterator[ConfigurationError]:
    """Inputs that the calls of one address cannot carry."""
    for name, kind in carried.items():
        needed: type[Call] = kind.__covet_call__  # type: ignore[attr-defined]
        given = binding.call_type if isinstance(binding, TransportBinding) else Call
        if not issubclass(given, needed):
            where = f"{binding.protocol} {binding.address!r}"
            yield ConfigurationError(
                "COVET-OPERATION-CALL",
                f"{operation.name} takes {name!r} as {kind.__name__}, which only a {needed.__name__}"
                f" can carry, but at {where} the call is a {given.__name__}.",
                place=place_of(operation),
                fix=f"Drop the binding {where}, or take {name!r} in another form.",
            )
