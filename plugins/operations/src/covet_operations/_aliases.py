"""Members go out under their aliases, as they come in and as schemas announce them."""

from __future__ import annotations

from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter

_known: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


class _ByAlias:
    """The part of pydantic's serializers that encoding uses."""

    def __init__(self, serializer: Any) -> None:
        self.to_json = partial(serializer.to_json, by_alias=True)
        self.to_python = partial(serializer.to_python, by_alias=True)


def by_alias(adapter: TypeAdapter[Any]) -> TypeAdapter[Any]:
    """Have an adapter send aliases. Those of types that have none are left as they are, since it costs."""
    serializer: Any = adapter.serializer
    if not isinstance(serializer, _ByAlias) and _renames(adapter.core_schema):
        adapter.serializer = _ByAlias(serializer)  # type: ignore[assignment]
    return adapter


def _renames(schema: Any) -> bool | None:
    """Whether anything in a schema has another name outside than inside; ``None``: not in this part of it."""
    pending, whole = [schema], True
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            kind = each.get("type")
            if "serialization_alias" in each or (kind == "computed-field" and "alias" in each):
                return True
            if kind == "definition-ref":
                whole = False
            elif kind in ("model", "dataclass"):
                found = _model_renames(each["cls"], each["schema"])
                if found:
                    return True
                whole = whole and found is not None
            else:
                pending += [every for every in each.values() if isinstance(every, dict | list)]
        elif isinstance(each, list | tuple):
            pending += each
    return False if whole else None


def _model_renames(model: type, schema: Any) -> bool | None:
    """The same for a model, of which others are made: it is looked into once, if it says all there is."""
    found = _known.get(model)
    if found is None:
        found = _renames(schema)
        if found is not None:
            _known[model] = found
    return found
