"""Where an operation is found over gRPC."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, TypeVar

from covet_grpc._call import GrpcCall
from covet_grpc._status import own_status
from covet_kernel.contracts import Call, Effect, Operation
from covet_operations import Kind, Signature, TransportBinding, mark

F = TypeVar("F", bound=Callable[..., Any])

_ADDRESS: Final = re.compile(r"(?:[a-z][a-z0-9_]*\.)*[A-Z][A-Za-z0-9]*/[A-Z][A-Za-z0-9]*\Z")
_KINDS: Final[frozenset[Kind]] = frozenset({"unary", "server_stream", "client_stream", "bidi"})
_WORDS: Final[dict[Kind, str]] = {
    "unary": "takes one message and answers with one",
    "server_stream": "takes one message and answers with a stream",
    "client_stream": "takes a stream and answers with one message",
    "bidi": "takes a stream and answers with one",
}


class GrpcBinding(TransportBinding):
    """One method of a service.

    Attributes:
        kind: Which sides stream.
        compress: Whether answers may be compressed.
    """

    kinds: ClassVar[frozenset[Kind]] = _KINDS
    call_type: ClassVar[type[Call]] = GrpcCall
    carries_messages: ClassVar[bool] = True

    kind: Kind
    compress: bool = True

    @property
    def service(self) -> str:
        """The full name of the service, such as ``"shop.v1.Books"``."""
        return self.address.partition("/")[0]

    @property
    def package(self) -> str:
        """The package of the service, such as ``"shop.v1"``; may be empty."""
        return self.service.rpartition(".")[0]

    @property
    def method(self) -> str:
        """The method's name, such as ``"Place"``."""
        return self.address.partition("/")[2]

    def check(self, operation: Operation) -> Iterable[str]:
        if not _ADDRESS.match(self.address):
            yield (
                f"{self.address!r} is no method: write 'package.Service/Method', the package in lower"
                " case, the others beginning with a capital"
            )
        for declared in operation.errors:
            own = own_status(declared)
            if own is not None and not 1 <= own <= 16:
                yield f"{declared.__name__} has grpc_status {own}; an error's is between 1 and 16"

    def check_signature(self, signature: Signature) -> tuple[str, ...]:
        if signature.kind != self.kind:
            return (f"it is bound as one that {_WORDS[self.kind]}, but {_WORDS[signature.kind]}",)
        if signature.item is not None and signature.inputs:
            names = ", ".join(each.name for each in signature.inputs)
            return (f"a stream comes in, so that nothing is left to hold {names}",)
        return ()


def _bind(
    kind: Kind, address: str, deadline: float | None, compress: bool, effect: Effect | None
) -> Callable[[F], F]:
    binding = GrpcBinding(
        protocol="grpc", address=address, deadline=deadline, kind=kind, compress=compress
    )
    return mark(binding, effect=effect)


def unary(
    address: str,
    *,
    deadline: float | None = None,
    compress: bool = True,
    effect: Effect | None = None,
) -> Callable[[F], F]:
    """Bind a function that takes one message and answers with one.

    Args:
        address: ``"package.Service/Method"``.
        deadline: Seconds a call may take; the caller's own counts if it is tighter.
        compress: Whether answers may be compressed.
        effect: What repeating a call does, if `operation` does not say.
    """
    return _bind("unary", address, deadline, compress, effect)


def server_stream(
    address: str,
    *,
    deadline: float | None = None,
    compress: bool = True,
    effect: Effect | None = None,
) -> Callable[[F], F]:
    """Bind a function that takes one message and yields many. The arguments are those of `unary`."""
    return _bind("server_stream", address, deadline, compress, effect)


def client_stream(
    address: str,
    *,
    deadline: float | None = None,
    compress: bool = True,
    effect: Effect | None = None,
) -> Callable[[F], F]:
    """Bind a function that takes a stream and answers with one message; arguments as of `unary`."""
    return _bind("client_stream", address, deadline, compress, effect)


def bidi(
    address: str,
    *,
    deadline: float | None = None,
    compress: bool = True,
    effect: Effect | None = None,
) -> Callable[[F], F]:
    """Bind a function that takes a stream and yields another one; arguments as of `unary`."""
    return _bind("bidi", address, deadline, compress, effect)
