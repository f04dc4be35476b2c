"""How methods are called: with the inputs in one object, and results in frames."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UnsetType

from covet_kernel.contracts import Operation
from covet_operations import Codec, Parsed, Signature
from covet_websocket._rpc._binding import MethodBinding
from covet_websocket._rpc._call import MethodCall

_EMPTY: Final = Parsed({})


def codec(operation: Operation, signature: Signature, binding: MethodBinding) -> Codec[MethodCall]:
    """How one operation is decoded and encoded."""
    output = signature.output
    inputs = signature.inputs
    # A lone model is the params itself; where it is optional, they may be left out, and are not empty.
    absent = None if len(inputs) == 1 and inputs[0].spread and not inputs[0].required else _EMPTY

    def document(call: MethodCall) -> bytes | Parsed | None:
        params = call.params
        if isinstance(params, UnsetType):
            return absent
        return call.session.encoding.document(params)

    def encode(call: MethodCall, value: Any) -> Any:
        encoding = call.session.encoding
        return encoding.frame({"id": call.key, "result": encoding.value(output, value)})

    def encode_item(call: MethodCall, value: Any) -> Any:
        encoding = call.session.encoding
        return encoding.frame({"id": call.key, "next": encoding.value(output, value)})

    return Codec(document=document, location=("params",), encode=encode, encode_item=encode_item)
