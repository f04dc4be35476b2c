"""Answers about many items: a problem document for each that failed, and 207 if any did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from covet_http._binding import HttpBinding
from covet_http._problem import Problems
from covet_http._request import Request
from covet_kernel.contracts import Operation
from covet_operations import Codec, OperationError, Signature

if TYPE_CHECKING:
    from covet_operations import BulkResult

MULTI_STATUS: Final = 207
"""RFC 4918, 11.1: the body says of each part what became of it."""

Make: TypeAlias = Callable[[Operation, Signature, HttpBinding], Codec[Request]]


def with_outcomes(make: Make, problems: Problems) -> Make:
    """The same codecs, for results that know how each of their items came out as well."""

    def codec(operation: Operation, signature: Signature, binding: HttpBinding) -> Codec[Request]:
        made = make(operation, signature, binding)
        return _showing(made, signature, problems) if has_outcomes(signature) else made

    return codec


def has_outcomes(signature: Signature) -> bool:
    """Whether the result is a `BulkResult`; asking for the class would import it for every service."""
    return signature.kind in ("unary", "client_stream") and hasattr(signature.output_type, "shown")


def _showing(made: Codec[Request], signature: Signature, problems: Problems) -> Codec[Request]:
    encode = made.encode
    to_json = signature.output.serializer.to_json

    def show(error: OperationError) -> Mapping[str, Any]:
        return problems.document(error)

    def encoded(request: Request, value: BulkResult[Any]) -> Any:
        if value.failed:
            request.response.status = MULTI_STATUS
        shown = value.shown(show)
        return to_json(shown) if encode is None else encode(request, shown)

    return made.replaced(encode=encoded)
