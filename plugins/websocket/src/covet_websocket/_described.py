"""Channels and methods as a contract has them: every frame with its type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NotRequired

# Pydantic takes no other before Python 3.12.
from typing_extensions import TypedDict

from covet_kernel.contracts import Operation
from covet_operations import (
    ContractAction,
    ContractChannel,
    ContractMessage,
    ContractView,
    Signature,
)
from covet_websocket._channel._binding import ChannelBinding
from covet_websocket._channel._connection import Connection
from covet_websocket._channel._types import types_of
from covet_websocket._config import RpcConfig, WebSocketsConfig
from covet_websocket._encodings import ENCODINGS, JSON, SUBPROTOCOLS
from covet_websocket._rpc._binding import MethodBinding


class Acknowledgement(TypedDict):
    """A message has been dealt with."""

    id: int | str
    ack: Literal[True]


class Problem(TypedDict):
    """What went wrong, as a problem document; members of the error's own may follow."""

    type: str
    title: str
    status: int
    code: str
    detail: NotRequired[str]


class Failure(TypedDict):
    """A frame or a call has failed; without an id where it had none."""

    id: NotRequired[int | str]
    error: Problem


class Done(TypedDict):
    """A stream of results is over."""

    id: int | str
    done: Literal[True]


class Cancellation(TypedDict):
    """A call's result is not waited for any longer."""

    id: int | str
    cancel: Literal[True]


_RECORD: Final[Any] = TypedDict
"""Makes records whose members are known when a service is."""

_ACK = ContractMessage(name="Acknowledgement", payload=Acknowledgement)
_ACKED = ContractMessage(name="Acknowledged", payload=Acknowledgement)
_FAILURE = ContractMessage(name="Failure", payload=Failure)


def described(view: ContractView, config: WebSocketsConfig) -> Iterator[ContractChannel]:
    """A channel for each that is typed, and one for all methods."""
    for operation in view.serving.operations:
        for binding in operation.bindings:
            if isinstance(binding, ChannelBinding):
                yield _channel(view, operation, binding)
    if config.rpc is not None:
        methods = tuple(
            _method(view, operation, binding)
            for operation in view.serving.operations
            for binding in operation.bindings
            if isinstance(binding, MethodBinding)
        )
        if methods:
            yield _methods(config.rpc, methods)


def _channel(view: ContractView, operation: Operation, binding: ChannelBinding) -> ContractChannel:
    types = types_of(operation, Connection)
    signature = view.pipeline.signature(view.serving, operation)
    said: dict[str, Any] = {
        "requires": operation.requires,
        "anonymous": view.pipeline.is_anonymous(view.serving, operation),
        "tags": operation.tags,
        "deprecated": operation.deprecated,
    }
    given = {each.name: each.type for each in signature.inputs}
    received = ContractMessage(name="Received", payload=_message(types.incoming))
    sent = ContractMessage(name="Sent", payload=_message(types.outgoing))
    return ContractChannel(
        address=binding.path,
        protocol="ws",
        title=operation.summary,
        parameters={name: given[name] for name in binding.parameters if name in given},
        bindings=_handshake(binding.subprotocols),
        operations=(
            ContractAction(
                name=operation.name,
                action="receive",
                messages=_written(binding.subprotocols, received, _ACK),
                **said,
            ),
            ContractAction(
                name=f"{operation.name}.send",
                action="send",
                messages=_written(binding.subprotocols, sent, _ACKED, _FAILURE),
                **said,
            ),
        ),
    )


def _written(
    subprotocols: Sequence[str], *messages: ContractMessage
) -> tuple[ContractMessage, ...]:
    """The messages in each encoding that clients may ask for, JSON's as they are."""
    found = list(messages)
    for subprotocol in subprotocols:
        encoding = ENCODINGS[subprotocol]
        # Who asks for none gets JSON.
        if encoding is not JSON:
            found += (
                each.replaced(name=f"{each.name}.{encoding.name}", content_type=encoding.media_type)
                for each in messages
            )
    return tuple(found)


def _handshake(subprotocols: Sequence[str]) -> dict[str, Any]:
    """What AsyncAPI's binding for WebSockets says of a handshake: how a client asks for an encoding."""
    chosen = {"type": "string", "enum": [*subprotocols]}
    headers = {"type": "object", "properties": {"Sec-WebSocket-Protocol": chosen}}
    return {"method": "GET", "headers": headers, "bindingVersion": "0.1.0"}


def _message(kind: Any) -> Any:
    """A frame with a message in it."""
    return _RECORD("Frame", {"id": NotRequired[int | str], "message": kind})


def _methods(config: RpcConfig, methods: tuple[ContractAction, ...]) -> ContractChannel:
    cancel = ContractAction(
        name="covet_websocket.cancel",
        action="receive",
        messages=_written(SUBPROTOCOLS, ContractMessage(name="Cancellation", payload=Cancellation)),
    )
    return ContractChannel(
        address=config.path,
        protocol="ws",
        title="Methods",
        description="Calls of methods, and their results.",
        bindings=_handshake(SUBPROTOCOLS),
        operations=(*methods, cancel),
    )


def _method(view: ContractView, operation: Operation, binding: MethodBinding) -> ContractAction:
    signature = view.pipeline.signature(view.serving, operation)
    name = binding.address
    replies: tuple[ContractMessage, ...]
    if signature.kind == "unary":
        replies = (
            ContractMessage(
                name=f"{name}.result", payload=_result("result", signature.output_type)
            ),
        )
    else:
        replies = (
            ContractMessage(name=f"{name}.next", payload=_result("next", signature.output_type)),
            ContractMessage(name="Done", payload=Done),
        )
    return ContractAction(
        name=f"{operation.name}.call",
        action="receive",
        messages=_written(
            SUBPROTOCOLS,
            ContractMessage(name=name, payload=_call(name, signature), summary=operation.summary),
        ),
        replies=_written(SUBPROTOCOLS, *replies, _FAILURE),
        requires=operation.requires,
        anonymous=view.pipeline.is_anonymous(view.serving, operation),
        summary=operation.summary,
        tags=operation.tags,
        deprecated=operation.deprecated,
    )


def _call(name: str, signature: Signature) -> Any:
    lone = [each for each in signature.inputs if each.spread]
    params: Any
    if len(lone) == 1 and len(signature.inputs) == 1:
        params = lone[0].type
    else:
        params = _RECORD(
            "Params",
            {
                each.name: each.type if each.required else NotRequired[each.type]
                for each in signature.inputs
            },
        )
    if all(not each.required for each in signature.inputs):
        params = NotRequired[params]
    return _RECORD(
        "Call",
        {
            "id": int | str,
            "method": Literal[name],
            "params": params,
            "timeout": NotRequired[float],
        },
    )


def _result(member: str, kind: Any) -> Any:
    return _RECORD("Result", {"id": int | str, member: kind})
