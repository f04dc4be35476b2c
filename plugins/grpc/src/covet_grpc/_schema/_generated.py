"""Messages of classes that a generator made of a ``.proto``: taken and given as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from covet_grpc._schema._models import ShapeError
from covet_operations import Invalid, is_message

if TYPE_CHECKING:
    from covet_grpc._schema._schema import Method


def take_generated(method: Method) -> None:
    """Set the generated classes of a method, and hold it to its ``.proto``.

    Raises:
        ShapeError: The ``.proto`` has no such method, or another one.
    """
    signature = method.signature
    if method.streams_in:
        if is_message(signature.item_type):
            method.taken = signature.item_type
    elif any(is_message(each.type) for each in signature.inputs):
        if len(signature.inputs) > 1:
            names = ", ".join(each.name for each in signature.inputs)
            raise ShapeError(
                f"it takes a generated message, which has to be its only input ({names})"
            )
        method.taken, method.name_in = signature.inputs[0].type, signature.inputs[0].name
    if is_message(signature.output_type):
        method.given = signature.output_type
    if method.generated is not None:
        _compare(method)


def _compare(method: Method) -> None:
    service = method.generated.services_by_name[method.service.rpartition(".")[2]]
    found = service.methods_by_name.get(method.name)
    if found is None:
        names = ", ".join(sorted(service.methods_by_name))
        raise ShapeError(f"the .proto of {method.service} has no such method, but {names}")
    for what, said, does in (
        ("takes", found.input_type.full_name, method.input_type),
        ("gives", found.output_type.full_name, method.output_type),
        ("streams in", found.client_streaming, method.streams_in),
        ("streams out", found.server_streaming, method.streams_out),
    ):
        if said != does:
            raise ShapeError(f"by its .proto it {what} {said}, and by its annotations {does}")


def generated_decode(method: Method) -> Callable[[bytes], Any]:
    """What parses a message that comes in."""
    parse, name = method.taken.FromString, method.name_in

    def decode(data: bytes) -> Any:
        try:
            found = parse(data)
        except (DecodeError, ValueError):
            raise Invalid("the message cannot be read") from None
        return {name: found} if name else found

    return decode
