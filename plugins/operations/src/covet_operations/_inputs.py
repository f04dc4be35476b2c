"""The decode step: from what the transport has to validated arguments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from covet_kernel.contracts import Call, Layer
from covet_operations._chain import Source, Written
from covet_operations._codec import Codec, Document
from covet_operations._errors import Invalid, faults
from covet_operations._signature import Input, Signature, record_adapter

_PLAIN = (bytes, str, bytearray, memoryview, Mapping)
# pydantic reads a plain run of ASCII digits as int() does; everything else is left to it.
_DIGITS = "t.__class__ is str and len(t) < 19 and t.isdecimal() and t.isascii()"
Decode: TypeAlias = Callable[[Call], Awaitable[None] | None]


def compile_decode(signature: Signature, codec: Codec[Any], *, refuse_extra: bool = True) -> Decode:
    """The function that fills ``call.args`` with every input, or refuses with all faults at once."""
    texts = tuple(_text(each, codec) for each in signature.inputs if each.name in codec.text)
    rest = tuple(each for each in signature.inputs if each.name not in codec.text)
    if not signature.inputs:
        return _nothing
    if not rest or codec.document is None:
        defaults = {each.name: each.default for each in rest}
        return _single(texts[0]) if len(texts) == 1 and not rest else _texts(texts, defaults)
    return _document(texts, _record(rest, codec.location, refuse_extra), codec.document)


def decode_layer(signature: Signature, codec: Codec[Any], *, refuse_extra: bool = True) -> Layer:
    """The validate step. The most frequent shape, one ``int`` or ``str`` as text, is written inline."""
    decode = compile_decode(signature, codec, refuse_extra=refuse_extra)
    if len(signature.inputs) != 1 or signature.inputs[0].name not in codec.text:
        return Layer(before=decode)
    given = signature.inputs[0]
    if given.type is not int and given.type is not str:
        return Layer(before=decode)
    plain = _DIGITS if given.type is int else "t.__class__ is str"
    find = codec.text[given.name]

    def write(source: Source) -> None:
        name = source.name(given.name)
        source.line(f"t = {source.name(find)}(call)")
        source.line(f"if {plain}:")
        source.line(f"    call.args = {{{name}: {'int(t)' if given.type is int else 't'}}}")
        source.line("else:")
        source.line(f"    {source.name(decode)}(call)")

    return Written(write=write)


def _nothing(call: Call) -> None:
    call.args = {}


class _Text:
    """One input that comes as text."""

    def __init__(self, given: Input, find: Callable[[Any], Any], location: str) -> None:
        self.name, self.find, self.default, self.required = (
            given.name,
            find,
            given.default,
            given.required,
        )
        self.location = (location, given.name) if location else (given.name,)
        self.parse = _parser(given)


def _text(given: Input, codec: Codec[Any]) -> _Text:
    return _Text(given, codec.text[given.name], codec.text_location.get(given.name, ""))


def _parser(given: Input) -> Callable[[Any], Any]:
    validator = given.adapter.validator
    if given.many:
        check = validator.validate_python
        return lambda value: check([value] if isinstance(value, str) else list(value))
    strings = validator.validate_strings
    if given.type is str:
        return lambda value: value if type(value) is str else strings(_last(value))
    return lambda value: strings(_last(value))


def _last(value: Any) -> Any:
    """A repeated value where one is expected: the last counts, on every transport."""
    return value if isinstance(value, str) or not value else value[-1]


def _missing(loc: tuple[str, ...]) -> dict[str, Any]:
    return {"loc": list(loc), "msg": "Field required", "type": "missing"}


def _single(text: _Text) -> Decode:
    name, find, parse, default, required, loc = (
        text.name, text.find, text.parse, text.default, text.required, text.location,
    )  # fmt: skip

    def decode(call: Call) -> None:
        value = find(call)
        if value is not None:
            try:
                call.args = {name: parse(value)}
            except ValidationError as error:
                raise Invalid("the input does not fit", errors=faults(error, *loc)) from None
        elif required:
            raise Invalid("the input does not fit", errors=[_missing(loc)])
        else:
            call.args = {name: default}

    return decode


def _gather(texts: tuple[_Text, ...], call: Call, args: dict[str, Any]) -> list[dict[str, Any]]:
    wrong: list[dict[str, Any]] = []
    for text in texts:
        value = text.find(call)
        if value is not None:
            try:
                args[text.name] = text.parse(value)
            except ValidationError as error:
                wrong += faults(error, *text.location)
        elif text.required:
            wrong.append(_missing(text.location))
        else:
            args[text.name] = text.default
    return wrong


def _texts(texts: tuple[_Text, ...], defaults: Mapping[str, Any]) -> Decode:
    def decode(call: Call) -> None:
        args = dict(defaults)
        wrong = _gather(texts, call, args)
        if wrong:
            raise Invalid("the input does not fit", errors=wrong)
        call.args = args

    return decode


def _record(
    inputs: tuple[Input, ...], location: tuple[str, ...], refuse_extra: bool
) -> Callable[[Document, dict[str, Any], list[dict[str, Any]]], None]:
    """A function that reads these inputs out of the document into ``args``."""
    spread = next((each for each in inputs if each.spread), None)
    others = tuple(each for each in inputs if not each.spread)
    others_validator = record_adapter(
        others, refuse_extra=refuse_extra and spread is None
    ).validator
    names = frozenset(each.name for each in others)

    def validate(validator: Any, document: Document) -> Any:
        if isinstance(document, Mapping):
            return validator.validate_python(dict(document))
        if isinstance(document, memoryview):
            document = bytes(document)
        return validator.validate_json(document)

    def read(document: Document, args: dict[str, Any], wrong: list[dict[str, Any]]) -> None:
        if others:
            try:
                args |= vars(validate(others_validator, document))
            except ValidationError as error:
                wrong += faults(error, *location)
                if wrong[-1]["type"] == "json_invalid":
                    return
        if spread is not None:
            try:
                args[spread.name] = validate(
                    spread.adapter.validator, _without(document, names) if names else document
                )
            except ValidationError as error:
                wrong += faults(error, *location)

    return read


def _without(document: Document, names: frozenset[str]) -> Document:
    """The document without the keys that belong to other inputs, so that a strict model takes it."""
    if isinstance(document, Mapping):
        return {key: value for key, value in document.items() if key not in names}
    try:
        parsed = from_json(bytes(document) if isinstance(document, memoryview) else document)
    except ValueError:
        return document
    if not isinstance(parsed, dict):
        return document
    return to_json({key: value for key, value in parsed.items() if key not in names})


def _document(
    texts: tuple[_Text, ...],
    read: Callable[[Document, dict[str, Any], list[dict[str, Any]]], None],
    find: Callable[[Any], Document | Awaitable[Document]],
) -> Decode:
    def finish(call: Call, document: Document) -> None:
        args: dict[str, Any] = {}
        wrong = _gather(texts, call, args)
        read(document, args, wrong)
        if wrong:
            raise Invalid("the input does not fit", errors=wrong)
        call.args = args

    async def later(call: Call, document: Awaitable[Document]) -> None:
        finish(call, await document)

    def decode(call: Call) -> Awaitable[None] | None:
        document = find(call)
        # Asking whether it is awaitable costs more than decoding a short message.
        if isinstance(document, _PLAIN):
            finish(call, document)
            return None
        return later(call, document)

    return decode
