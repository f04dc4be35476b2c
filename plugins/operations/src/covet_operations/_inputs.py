"""The decode step: from what the transport has to validated arguments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from covet_kernel.contracts import Call, Layer
from covet_operations._annotations import has_model
from covet_operations._chain import Source, Written
from covet_operations._codec import Codec, Document, Parsed
from covet_operations._errors import Invalid, faults
from covet_operations._signature import Input, PlainText, Signature, record_adapter

_PLAIN = (bytes, str, bytearray, memoryview, Mapping, Parsed, type(None))
# Where neither is, there is no NaN and no Infinity; to look for one byte costs next to nothing.
_N, _I = b"NI"
# How a text is read where pydantic need not be asked: a condition on it, and the value; and the value
# where a server has read it ahead. Everything else is left to pydantic.
_PLAIN_TEXTS: dict[PlainText, tuple[str, str, str]] = {
    "int": (
        "{0}.__class__ is str and len({0}) < 19 and {0}.isdecimal() and {0}.isascii()",
        "int({0})",
        "{0}",
    ),
    "str": ("{0}.__class__ is str", "{0}", "{0}.decode()"),
}
Decode: TypeAlias = Callable[[Call], Awaitable[None] | None]


def compile_decode(signature: Signature, codec: Codec[Any], *, refuse_extra: bool = True) -> Decode:
    """The function that fills ``call.args`` with every input, or refuses with all faults at once."""
    texts = tuple(_text(each, codec) for each in signature.inputs if each.name in codec.text)
    rest = tuple(
        each.replaced(spread=True) if each.name == codec.whole else each
        for each in signature.inputs
        if each.name not in codec.text
    )
    if not signature.inputs:
        return _nothing
    if not rest or codec.document is None:
        defaults = {each.name: each.default for each in rest}
        return _single(texts[0]) if len(texts) == 1 and not rest else _texts(texts, defaults)
    if not texts and len(rest) == 1 and rest[0].spread:
        return _message(rest[0], codec.location, codec.document)
    return _document(texts, _record(rest, codec.location, refuse_extra), codec.document)


def decode_layer(signature: Signature, codec: Codec[Any], *, refuse_extra: bool = True) -> Layer:
    """The validate step, behind the transport's own check of the call."""
    layer = _decode_layer(signature, codec, refuse_extra=refuse_extra)
    check = codec.check
    if check is None:
        return layer
    step, write = layer.before, layer.write if isinstance(layer, Written) else None

    def checked(call: Call) -> Any:
        check(call)
        return step(call) if step is not None else None

    def write_checked(source: Source) -> None:
        source.line(f"{source.name(check)}(call)")
        if write is not None:
            write(source)

    if write is None:
        return Layer(before=checked, around=layer.around)
    return Written(write=write_checked)


def _decode_layer(signature: Signature, codec: Codec[Any], *, refuse_extra: bool) -> Layer:
    """The decoding itself.

    The most frequent shape, nothing but integers and strings that come as texts, is written inline.
    Whatever one of them is not at once goes the general way, all of it: faults are made there alone.
    """
    if codec.release is not None:
        decode = compile_decode(signature, codec, refuse_extra=refuse_extra)
        return Layer(around=_releasing(decode, codec.release))
    found = [(each, codec.text.get(each.name), each.plain_text) for each in signature.inputs]
    plain = [
        (each, find, _PLAIN_TEXTS[how])
        for each, find, how in found
        if find is not None and how is not None
    ]
    if len(plain) < len(found) and codec.document is not None:
        return Layer(before=compile_decode(signature, codec, refuse_extra=refuse_extra))

    # Texts are there: nothing is handed back that would have to be awaited. Nor is anything about them
    # for assembly to refuse any more, so that what reads them can be made when the chain is.
    def general(source: Source) -> None:
        source.line(f"{source.name(compile_decode(signature, codec))}(call)")

    if len(plain) < len(found):
        return Written(write=general)

    def write(source: Source) -> None:
        if not plain or not codec.ahead:
            write_each(source)
            return
        numbers = range(len(plain))
        required = sum(1 << number for number in numbers if plain[number][0].required)
        source.line("a = call.ahead()")
        source.line(f"if a is not None and not a[0] & {required}:")
        source.line(f"    m, {', '.join(f't{number}' for number in numbers)} = a")
        items = []
        for number, (given, _, how) in enumerate(plain):
            value = how[2].format(f"t{number}")
            if not given.required:
                value = f"{source.name(given.default)} if m & {1 << number} else {value}"
            items.append(f"{source.name(given.name)}: {value}")
        source.line(f"    call.args = {{{', '.join(items)}}}")
        source.line("else:")
        source.depth += 1
        write_each(source)
        source.depth -= 1

    def write_each(source: Source) -> None:
        conditions, items = [], []
        for number, (given, find, how) in enumerate(plain):
            text = f"t{number}"
            source.line(f"{text} = {source.name(find)}(call)")
            condition, value = (part.format(text) for part in how[:2])
            if not given.required:
                condition = f"({text} is None or {condition})"
                value = f"{source.name(given.default)} if {text} is None else {value}"
            conditions.append(condition)
            items.append(f"{source.name(given.name)}: {value}")
        if not plain:
            source.line("call.args = {}")
            return
        source.line(f"if {' and '.join(conditions)}:")
        source.line(f"    call.args = {{{', '.join(items)}}}")
        source.line("else:")
        source.depth += 1
        general(source)
        source.depth -= 1

    return Written(write=write)


def _releasing(
    decode: Decode, release: Callable[[Any], Awaitable[None]]
) -> Callable[[Call, Callable[[Call], Awaitable[Any]]], Awaitable[Any]]:
    async def around(call: Call, inner: Callable[[Call], Awaitable[Any]]) -> Any:
        try:
            waiting = decode(call)
            if waiting is not None:
                await waiting
            return await inner(call)
        finally:
            await release(call)

    return around


def _nothing(call: Call) -> None:
    call.args = {}


class _Text:
    """One input that comes as text."""

    location: tuple[str, ...]

    def __init__(
        self, given: Input, find: Callable[[Any], Any], location: str | tuple[str, ...]
    ) -> None:
        self.name, self.find, self.default, self.required = (
            given.name,
            find,
            given.default,
            given.required,
        )
        if isinstance(location, tuple):
            self.location = location
        else:
            self.location = (location, given.name) if location else (given.name,)
        self.parse = _parser(given)


def _text(given: Input, codec: Codec[Any]) -> _Text:
    return _Text(given, codec.text[given.name], codec.text_location.get(given.name, ""))


def _parser(given: Input) -> Callable[[Any], Any]:
    validator = given.adapter.validator
    # Texts are all there is: being strict about types would refuse everything.
    if given.many:
        check = validator.validate_python
        return lambda value: check([value] if isinstance(value, str) else list(value), strict=False)
    if has_model(given.type):
        check = validator.validate_python
        return lambda value: check(value, strict=False)
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


def _validate(validator: Any, document: Document) -> Any:
    # Nearly always; and asking whether something is a Mapping is slow.
    if document.__class__ is not bytes:
        if isinstance(document, Parsed):
            return validator.validate_python(document.value)
        if isinstance(document, Mapping):
            return validator.validate_python(dict(document))
        if isinstance(document, memoryview):
            document = bytes(document)
        elif document is None:
            document = b""
    return validator.validate_json(document)


def refuse_constants(document: Document, location: tuple[str | int, ...] = ()) -> None:
    """Refuse what pydantic takes for JSON and RFC 8259 (6) does not: ``NaN`` and ``Infinity``.

    Args:
        document: Looked at only if it is bytes or a string.
        location: Where it is, for the fault.

    Raises:
        Invalid: One of them is in it, not as part of a string.
    """
    if document.__class__ is bytes and _N not in document and _I not in document:
        return
    if isinstance(document, str):
        suspicious = "NaN" in document or "Infinity" in document
    elif isinstance(document, bytes | bytearray):
        suspicious = b"NaN" in document or b"Infinity" in document
    elif isinstance(document, memoryview):
        document = bytes(document)
        suspicious = b"NaN" in document or b"Infinity" in document
    else:
        return
    if suspicious:
        try:
            from_json(document, allow_inf_nan=False)
        except ValueError as error:
            fault = {"loc": [*location], "msg": f"Invalid JSON: {error}", "type": "json_invalid"}
            raise Invalid("the input does not fit", errors=[fault]) from None


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

    def read(document: Document, args: dict[str, Any], wrong: list[dict[str, Any]]) -> None:
        try:
            refuse_constants(document, location)
        except Invalid as error:
            wrong += error.errors
            return
        if others:
            try:
                args |= vars(_validate(others_validator, document))
            except ValidationError as error:
                wrong += faults(error, *location)
                if wrong[-1]["type"] == "json_invalid":
                    return
        if spread is None:
            return
        if document is None:
            if spread.required:
                wrong.append(_missing(location))
            args[spread.name] = spread.default
            return
        try:
            args[spread.name] = _validate(
                spread.adapter.validator, _without(document, names) if names else document
            )
        except ValidationError as error:
            wrong += faults(error, *location)

    return read


def _without(document: Document, names: frozenset[str]) -> Document:
    """The document without the keys that belong to other inputs, so that a strict model takes it."""
    if isinstance(document, Parsed):
        document = document.value if isinstance(document.value, Mapping) else document
    if isinstance(document, Mapping):
        return {key: value for key, value in document.items() if key not in names}
    if document is None or isinstance(document, Parsed):
        return document
    try:
        parsed = from_json(bytes(document) if isinstance(document, memoryview) else document)
    except ValueError:
        return document
    if not isinstance(parsed, dict):
        return document
    return to_json({key: value for key, value in parsed.items() if key not in names})


def _message(
    given: Input,
    location: tuple[str, ...],
    find: Callable[[Any], Document | Awaitable[Document]],
) -> Decode:
    """The whole document is one model, and nothing comes as text: the shape of most messages."""
    # Its methods are asked for when a message is there: some validators are made then.
    name, validator = given.name, given.adapter.validator

    def finish(call: Call, document: Document) -> None:
        if document is None:
            if given.required:
                raise Invalid("the input does not fit", errors=[_missing(location)])
            call.args = {name: given.default}
            return
        if document.__class__ is not bytes or _N in document or _I in document:
            refuse_constants(document, location)
        try:
            call.args = {name: _validate(validator, document)}
        except ValidationError as error:
            raise Invalid("the input does not fit", errors=faults(error, *location)) from None

    async def later(call: Call, document: Awaitable[Document]) -> None:
        finish(call, await document)

    def decode(call: Call) -> Awaitable[None] | None:
        document = find(call)
        if document.__class__ is bytes:
            # The same as `finish`, which this saves two calls.
            if _N in document or _I in document:
                refuse_constants(document, location)
            try:
                call.args = {name: validator.validate_json(document)}
            except ValidationError as error:
                raise Invalid("the input does not fit", errors=faults(error, *location)) from None
            return None
        if isinstance(document, _PLAIN):
            finish(call, document)
            return None
        return later(call, document)

    return decode


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
