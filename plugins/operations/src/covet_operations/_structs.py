"""Inputs and results that are msgspec Structs: msgspec itself validates, encodes and describes them.

msgspec is not a requirement. Nothing is imported unless an annotation mentions a Struct, whose
module has imported it.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from typing import Annotated, Any, get_args, get_origin

from pydantic import TypeAdapter
from pydantic_core import PydanticCustomError, ValidationError, core_schema

# How msgspec says where a fault is: ` - at `$.lines[2].title``.
_WHERE = re.compile(r" - at (?:key in )?`\$(.*)`\Z")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def _msgspec() -> Any:
    return import_module("msgspec")


def mentions_struct(annotation: Any) -> bool:
    """Whether a type is a Struct or made of one, such as ``list[Line]``."""
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and _mentions(annotation, msgspec.Struct)


def _mentions(annotation: Any, struct: type) -> bool:
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return issubclass(annotation, struct)
    return any(_mentions(each, struct) for each in get_args(annotation))


def struct_adapter(annotation: Any) -> TypeAdapter[Any]:
    """An adapter whose work is msgspec's.

    Raises:
        TypeError: msgspec does not support a type in it.
    """
    adapter = TypeAdapter[Any](_wrapped(annotation))
    adapter.validator = _Validator(annotation)  # type: ignore[assignment]
    adapter.serializer = _Serializer()  # type: ignore[assignment]
    return adapter


def as_member(annotation: Any) -> Any:
    """A type as the field of a record that pydantic validates."""
    return _wrapped(annotation) if mentions_struct(annotation) else annotation


def _wrapped(annotation: Any) -> Any:
    return Annotated[Any, _Within(annotation)]


class _Within:
    """What pydantic is told of a type that is not its own."""

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation
        self._validator = _Validator(annotation)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        msgspec = _msgspec()
        return core_schema.no_info_plain_validator_function(
            self._check,
            serialization=core_schema.plain_serializer_function_ser_schema(msgspec.to_builtins),
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        msgspec = _msgspec()
        (found,), parts = msgspec.json.schema_components([self._annotation])
        inlined = _inlined(found, parts, ())
        assert isinstance(inlined, dict)
        return inlined

    def _check(self, value: Any) -> Any:
        try:
            return self._validator.validate_python(value)
        except ValidationError as error:
            # Where in the Struct it is gets lost in the record; the message keeps it.
            fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(step) for step in fault["loc"])
            message = f"{where}: {fault['msg']}" if where else fault["msg"]
            raise _custom(fault["type"], message) from None


def _inlined(schema: Any, parts: dict[str, Any], within: tuple[str, ...]) -> Any:
    """A schema that needs no definitions beside it; one that contains itself ends as an object."""
    if isinstance(schema, list):
        return [_inlined(each, parts, within) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("$ref"), str):
        name = schema["$ref"].rpartition("/")[2]
        if name in within:
            return {"title": name, "type": "object"}
        return _inlined(parts[name], parts, (*within, name))
    return {key: _inlined(each, parts, within) for key, each in schema.items()}


class _Validator:
    """The part of pydantic's validators that the decode step uses, with faults as pydantic has them."""

    def __init__(self, annotation: Any) -> None:
        msgspec = _msgspec()
        self._annotation = annotation
        self._decode = msgspec.json.Decoder(annotation).decode
        self._convert = msgspec.convert
        self._invalid = msgspec.ValidationError
        self._malformed = (msgspec.DecodeError, RecursionError, UnicodeError)

    def validate_json(self, document: Any) -> Any:
        try:
            return self._decode(document)
        except self._invalid as error:
            raise _fault(str(error)) from None
        except self._malformed as error:
            raise _raised("json_invalid", f"Invalid JSON: {error}") from None

    def validate_python(
        self,
        value: Any,
        *,
        strict: bool | None = None,
        from_attributes: bool | None = None,
        by_alias: bool | None = None,
        by_name: bool | None = None,
    ) -> Any:
        try:
            return self._convert(
                value,
                self._annotation,
                strict=strict is not False,
                from_attributes=bool(from_attributes),
            )
        except self._invalid as error:
            raise _fault(str(error)) from None
        except RecursionError as error:
            raise _raised("recursion_loop", str(error)) from None

    def validate_strings(self, value: Any) -> Any:
        return self.validate_python(value, strict=False)


class _Serializer:
    """The part of pydantic's serializers that encoding uses."""

    def to_json(self, value: Any) -> bytes:
        msgspec = _msgspec()
        encoded: bytes = msgspec.json.encode(value)
        return encoded

    def to_python(self, value: Any, *, mode: str = "python") -> Any:
        msgspec = _msgspec()
        return msgspec.to_builtins(value)


def _fault(message: str) -> ValidationError:
    """A fault of msgspec's, its place told apart from what is wrong."""
    place: list[str | int] = []
    found = _WHERE.search(message)
    if found is not None:
        message = message[: found.start()]
        place = [
            int(index) if index.isdigit() else name or index
            for name, index in _STEP.findall(found[1])
        ]
    return _raised("struct_type", message.replace("`", "'"), *place)


def _raised(kind: str, message: str, *place: str | int) -> ValidationError:
    return ValidationError.from_exception_data(
        "Struct", [{"type": _custom(kind, message), "loc": place, "input": None}]
    )


def _custom(kind: str, message: str) -> PydanticCustomError:
    # Braces would be taken for places to fill.
    return PydanticCustomError(kind, "{said}", {"said": message})
