"""Problem documents as schemas: one component for each class of error."""

from __future__ import annotations

import re
import typing
from collections import Counter
from collections.abc import Iterable
from dataclasses import MISSING, fields
from http import HTTPStatus
from typing import Any, Final

from covet_http._openapi._json import Json
from covet_http._problem import Malformed, status_of_class
from covet_operations import Invalid, JsonSchemas, OperationError, WantedSchema

_OWN: Final = frozenset({"type", "title", "status", "code", "detail"})
"""Members that every problem document has itself; a field of such a name is not shown."""


class ErrorSchemas:
    """The components of errors.

    Args:
        schemas: Takes the types of their fields.
        base: Prefix of ``type`` in problem documents.
    """

    def __init__(self, schemas: JsonSchemas, base: str) -> None:
        self._schemas = schemas
        self._base = base
        self._fields: dict[type[OperationError], dict[str, tuple[WantedSchema, bool]]] = {}
        self._names: dict[type[OperationError], str] = {}

    def add(self, error: type[OperationError]) -> None:
        """Note that a class is in use."""
        if error in self._fields:
            return
        hints = typing.get_type_hints(error)
        self._fields[error] = {
            each.name: (
                self._schemas.want(hints[each.name], "serialization"),
                each.default is MISSING and each.default_factory is MISSING,
            )
            for each in _shown(error)
        }

    def build(self) -> dict[str, Json]:
        """The components by name, once all schemas are generated."""
        self._names = _names(self._fields, self._schemas.components)
        return {self._names[error]: self._schema(error) for error in self._fields}

    def reference(self, errors: Iterable[type[OperationError]]) -> Json:
        """The schema of an answer that is one of these errors."""
        references = {error.code: JsonSchemas.reference(self._names[error]) for error in errors}
        if len(references) == 1:
            return {"$ref": next(iter(references.values()))}
        return {
            "oneOf": [{"$ref": each} for each in references.values()],
            "discriminator": {"propertyName": "code", "mapping": references},
        }

    def _schema(self, error: type[OperationError]) -> Json:
        status = status_of_class(error)
        own = {name: wanted.schema for name, (wanted, _) in self._fields[error].items()}
        properties = {
            "type": {"type": "string", "format": "uri-reference", "const": self._base + error.code},
            "title": {"type": "string", "const": error.title},
            "status": {"type": "integer", "const": status},
            "code": {"type": "string", "const": error.code},
            "detail": {"type": "string", "description": "What is true of this one."},
            **own,
        }
        required = [name for name, (_, needed) in self._fields[error].items() if needed]
        schema: Json = {
            "type": "object",
            "title": error.__name__,
            "description": error.title + ".",
            "properties": properties,
            "required": ["type", "title", "status", "code", *required],
        }
        if issubclass(error, Malformed):
            # What is no JSON is told like what does not fit: where, and why.
            properties["errors"] = _FAULTS
        elif issubclass(error, Invalid):
            properties["errors"] = _FAULTS
            if "errors" not in schema["required"]:
                schema["required"].append("errors")
        return schema


_FAULTS: Final[Json] = {
    "type": "array",
    "description": "One for each fault.",
    "items": {
        "type": "object",
        "properties": {
            "loc": {
                "type": "array",
                "items": {"type": ["string", "integer"]},
                "description": "Where: path, query, header, cookie or body, then names and indexes.",
            },
            "msg": {"type": "string"},
            "type": {"type": "string"},
        },
        "required": ["loc", "msg", "type"],
        "additionalProperties": False,
    },
}


def _shown(error: type[OperationError]) -> list[Any]:
    return [each for each in fields(error) if each.name not in _OWN]


def _names(
    errors: Iterable[type[OperationError]], taken: Iterable[str]
) -> dict[type[OperationError], str]:
    """A component's name for each class: its own, and its module's too where that is not enough."""
    errors = list(errors)
    often = Counter([*taken, *(error.__name__ for error in errors)])
    return {
        error: error.__name__
        if often[error.__name__] == 1
        else re.sub(r"[^A-Za-z0-9_-]+", "_", f"{error.__module__}.{error.__qualname__}")
        for error in errors
    }


def phrase(status: int) -> str:
    """The standard's words for a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"
