"""The innermost lines of a chain: call the handler, encode, or push a stream."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import anyio.to_thread
from pydantic import TypeAdapter, ValidationError

from covet_kernel.contracts import Call, Capability, Operation
from covet_operations._chain import Inner, Source, is_async
from covet_operations._codec import Codec
from covet_operations._errors import Invalid, faults
from covet_operations._providers import Opening
from covet_operations._signature import Injected, Input, Signature

Value = Callable[[Capability[Any]], Any]


def innermost(
    operation: Operation, signature: Signature, codec: Codec[Any], value: Value, opening: Opening
) -> Inner:
    """What runs inside every layer.

    Args:
        operation: What is called.
        signature: Its parameters and result.
        codec: The transport's side of it.
        value: Gives the provider of a capability.
        opening: The providers this call opens, outermost first.
    """

    def write(source: Source) -> None:
        depth = source.depth
        names = opening.write(source, value)
        call = f"{source.name(operation.handler)}({', '.join(_arguments(source, signature, value, names, codec))})"
        if signature.kind in ("server_stream", "bidi"):
            _push(source, call, _encoder(source, codec.encode_item, signature.output, "i"))
        else:
            _reply(source, call, operation, _encoder(source, codec.encode, signature.output, "r"))
        source.depth = depth

    return write


def _reply(source: Source, call: str, operation: Operation, encoded: str) -> None:
    if operation.extra.get("operations", {}).get("thread"):
        handler, _, rest = call.partition("(")
        run, bind = source.name(anyio.to_thread.run_sync), source.name(partial)
        source.line(f"r = await {run}({bind}({handler}, {rest})")
    elif is_async(operation.handler):
        source.line(f"r = await {call}")
    else:
        source.line(f"r = {call}")
    source.line("call.value = r")
    source.line(f"call.body = {encoded}")


def _push(source: Source, call: str, encoded: str) -> None:
    source.line(f"async with {source.name(aclosing)}({call}) as s:")
    source.line("    async for i in s:")
    source.line(f"        await call.send({encoded})")
    source.line("r = None")


def _encoder(
    source: Source, encode: Callable[[Any, Any], Any] | None, output: TypeAdapter[Any], item: str
) -> str:
    if encode is not None:
        return f"{source.name(encode)}(call, {item})"
    return f"{source.name(output.serializer.to_json)}({item})"


def _arguments(
    source: Source, signature: Signature, value: Value, names: dict[int, str], codec: Codec[Any]
) -> list[str]:
    written = []
    for each in signature.parameters:
        expression = (
            f"call.args[{source.name(each.name)}]"
            if isinstance(each, Input)
            else _injected(source, each, signature, value, names, codec)
        )
        if each.name in signature.keyword_only:
            expression = f"**{{{source.name(each.name)}: {expression}}}"
        written.append(expression)
    return written


def _injected(
    source: Source, each: Injected, signature: Signature, value: Value, names: dict[int, str], codec: Codec[Any]
) -> str:
    match each.source:
        case "value":
            return source.name(value(each.key))
        case "session":
            return f"call.tx[{source.name(each.key)}]"
        case "principal":
            return "call.principal"
        case "call":
            return "call"
        case "provider":
            return names[id(each.key)]
        case "stream":
            assert signature.item is not None
            return f"{source.name(_incoming(signature.item, codec))}(call)"


def _incoming(item: TypeAdapter[Any], codec: Codec[Any]) -> Callable[[Call], AsyncIterator[Any]]:
    """Decodes a stream in, one item when the handler asks for it."""
    from_json, from_plain, plain = item.validator.validate_json, item.validator.validate_python, codec.decode_item

    async def incoming(call: Call) -> AsyncIterator[Any]:
        index = 0
        async for raw in call.incoming():
            if plain is not None:
                raw = plain(call, raw)
            try:
                if isinstance(raw, bytes | bytearray | str):
                    decoded = from_json(raw)
                else:
                    decoded = from_plain(raw)
            except ValidationError as error:
                raise Invalid("an item of the stream does not fit", errors=faults(error, index)) from None
            yield decoded
            index += 1

    return incoming


def is_inline(handler: Callable[..., Any]) -> bool:
    """Whether the handler is a plain function that runs on the event loop."""
    return not is_async(handler) and not inspect.isasyncgenfunction(handler)
