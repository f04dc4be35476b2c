"""The innermost lines of a chain: open providers, call the handler, encode, or push a stream."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from pydantic import TypeAdapter, ValidationError

from covet_kernel.contracts import Call, Operation
from covet_operations._chain import Inner, Source, is_async
from covet_operations._codec import Codec
from covet_operations._errors import Invalid, faults
from covet_operations._inputs import refuse_constants
from covet_operations._providers import Provider, ProviderGraph, Value
from covet_operations._signature import Injected, Input, Signature
from covet_operations._threads import Threads

CONNECTION = "operations.connection"
"""The key of the connection's open providers in ``call.state``."""


def innermost(
    operation: Operation,
    signature: Signature,
    codec: Codec[Any],
    *,
    value: Value,
    graph: ProviderGraph,
    app: dict[Provider, Any],
    threads: Threads,
) -> Inner:
    """What runs inside every layer.

    Args:
        operation: What is called.
        signature: Its parameters and result.
        codec: The transport's side of it.
        value: Gives the provider of a capability.
        graph: The application's providers.
        app: The values of app-scoped providers, filled when the phase opens.
        threads: Where a handler runs that asks for a worker thread.
    """

    def write(source: Source) -> None:
        depth = source.depth
        if source.form == "rest":
            source.wait("")
            reply(signature, codec)(source)
            return
        writer = _Writer(source, signature, codec, value, app)
        for each in graph.needed(signature.injected):
            writer.open(each, graph.parameters[each])
        writer.listen()
        arguments = ", ".join(writer.arguments(signature.parameters))
        handler = source.name(operation.handler)
        if signature.kind in ("server_stream", "bidi"):
            source.line(f"async with {source.name(_closing)}({handler}({arguments})) as s:")
            source.line("    async for i in s:")
            _fitted(source, signature, "i", "        ")
            source.line(
                f"        await call.send({encoded(source, codec.encode_item, signature, 'i')})"
            )
            if codec.enough is not None:
                source.line(f"        if {source.name(codec.enough)}(call): break")
            source.line("r = None")
        else:
            _write_call(source, operation, threads, handler, arguments)
            reply(signature, codec)(source)
        source.depth = depth

    return write


def reply(signature: Signature, codec: Codec[Any]) -> Inner:
    """Keep the result and encode it."""

    def write(source: Source) -> None:
        _fitted(source, signature, "r")
        source.line("call.value = r")
        source.line(f"call.body = {encoded(source, codec.encode, signature, 'r')}")

    return write


def encoded(
    source: Source, encode: Callable[[Any, Any], Any] | None, signature: Signature, item: str
) -> str:
    """The expression that encodes ``item``."""
    if encode is not None:
        return f"{'await ' if is_async(encode) else ''}{source.name(encode)}(call, {item})"
    return f"{source.name(signature.output.serializer.to_json)}({item})"


def _fitted(source: Source, signature: Signature, item: str, indent: str = "") -> None:
    """Write what makes ``item`` what the annotation says, should it be something else."""
    fit = signature.fit
    if fit is None:
        return
    unless = f"if {item}.__class__ is not {source.name(fit.exact)}: " if fit.exact else ""
    source.line(f"{indent}{unless}{item} = {source.name(fit)}({item})")


def _write_call(
    source: Source, operation: Operation, threads: Threads, handler: str, arguments: str
) -> None:
    """Leave the handler's result in ``r``."""
    if is_async(operation.handler):
        source.wait(f"{handler}({arguments})")
    elif operation.extra.get("operations", {}).get("thread"):
        run, called = source.name(threads.run), source.name(operation.name)
        source.line(f"r = await {run}({called}, {handler}, {arguments})")
    else:
        source.line(f"r = {handler}({arguments})")


def _closing(items: Any) -> Any:
    """Close the handler's generator however the stream ends; a mere iterator has nothing to close."""
    return aclosing(items) if hasattr(items, "aclose") else _open(items)


@asynccontextmanager
async def _open(items: AsyncIterator[Any]) -> AsyncIterator[AsyncIterator[Any]]:
    yield items


class _Writer:
    """Writes expressions for parameters and results; every object goes by a number."""

    def __init__(
        self,
        source: Source,
        signature: Signature,
        codec: Codec[Any],
        value: Value,
        app: dict[Provider, Any],
    ) -> None:
        self._source = source
        self._signature = signature
        self._codec = codec
        self._value = value
        self._app = app
        self._opened: dict[Provider, str] = {}

    def open(self, provider: Provider, parameters: Sequence[Injected]) -> None:
        name = self._source.name
        if provider.scope == "app":
            self._opened[provider] = f"{name(self._app)}[{name(provider)}]"
            return
        if provider.scope == "connection":
            self._opened[provider] = f"call.state[{name(CONNECTION)}].values[{name(provider)}]"
            return
        arguments = ", ".join(self.arguments(parameters))
        made = self._opened[provider] = f"p{len(self._opened)}"
        if inspect.isasyncgenfunction(provider.make):
            self._source.line(
                f"async with {name(asynccontextmanager(provider.make))}({arguments}) as {made}:"
            )
            self._source.depth += 1
        elif is_async(provider.make):
            self._source.line(f"{made} = await {name(provider.make)}({arguments})")
        else:
            self._source.line(f"{made} = {name(provider.make)}({arguments})")

    def listen(self) -> None:
        """Open the stream in, so that it is closed however the handler leaves it."""
        if self._signature.item is not None:
            items = self._source.name(_incoming(self._signature.item, self._codec))
            self._source.line(f"async with {self._source.name(aclosing)}({items}(call)) as n:")
            self._source.depth += 1

    def arguments(self, parameters: Sequence[Input | Injected]) -> list[str]:
        written = []
        for each in parameters:
            name = self._source.name
            given = (
                f"call.args[{name(each.name)}]" if isinstance(each, Input) else self._injected(each)
            )
            written.append(f"**{{{name(each.name)}: {given}}}" if each.keyword else given)
        return written

    def _injected(self, each: Injected) -> str:
        name = self._source.name
        match each.source:
            case "value":
                return name(self._value(each.key))
            case "session":
                return f"call.tx[{name(each.key)}]"
            case "principal":
                return "call.principal"
            case "call":
                return "call"
            case "provider":
                return self._opened[each.key]
            case "stream":
                return "n"


def _incoming(
    item: TypeAdapter[Any], codec: Codec[Any]
) -> Callable[[Call], AsyncGenerator[Any, None]]:
    """Decodes a stream in, one item when the handler asks for it."""
    from_json, from_plain, plain = (
        item.validator.validate_json,
        item.validator.validate_python,
        codec.decode_item,
    )

    if codec.incoming is not None:
        begin = codec.incoming

        async def ready(call: Call) -> AsyncGenerator[Any, None]:
            async with _closing(begin(call)) as items:
                async for each in items:
                    yield each

        return ready

    async def incoming(call: Call) -> AsyncGenerator[Any, None]:
        index = 0
        async with _closing(call.incoming()) as items:
            async for given in items:
                raw = given if plain is None else plain(call, given)
                refuse_constants(raw, (index,))
                try:
                    decoded = (
                        from_json(raw)
                        if isinstance(raw, bytes | bytearray | str)
                        else from_plain(raw)
                    )
                except ValidationError as error:
                    raise Invalid(
                        "an item of the stream does not fit", errors=faults(error, index)
                    ) from None
                yield decoded
                index += 1

    return incoming
