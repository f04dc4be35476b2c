"""The smallest transport: a call holds its inputs, and endpoints are looked up by operation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from operations_testbed.bed import serving_of

from covet_kernel.contracts import Call, Credentials, Operation
from covet_operations import (
    Codec,
    Endpoint,
    Kind,
    OperationsConfig,
    Pipeline,
    Signature,
    TransportBinding,
    mark,
    operations_of,
)

F = TypeVar("F", bound=Callable[..., Any])


class PlainCall(Call):
    __slots__ = ("document", "given", "items", "sent", "token")

    def __init__(
        self, endpoint: Endpoint[Any], given: Any = None, items: Sequence[Any] = ()
    ) -> None:
        super().__init__(endpoint.operation, endpoint.binding)
        self.given: Any = given if given is not None else {}
        self.document: Any = b"{}"
        self.items = items
        self.sent: list[bytes] = []
        self.token: Credentials | None = None

    def credentials(self) -> Credentials | None:
        return self.token

    async def incoming(self) -> AsyncIterator[Any]:
        for item in self.items:
            yield item

    async def send(self, item: bytes) -> None:
        self.sent.append(item)


class Plain(TransportBinding):
    kinds: ClassVar[frozenset[Kind]] = frozenset(
        {"unary", "server_stream", "client_stream", "bidi"}
    )
    call_type: ClassVar[type[Call]] = PlainCall


def plain(address: str = "") -> Callable[[F], F]:
    return mark(Plain(protocol="plain", address=address))


def by_document(operation: Operation, signature: Signature, binding: Plain) -> Codec[PlainCall]:
    return Codec(document=lambda call: call.document)


def by_text(operation: Operation, signature: Signature, binding: Plain) -> Codec[PlainCall]:
    def find(name: str) -> Callable[[PlainCall], Any]:
        return lambda call: call.given.get(name)

    return Codec(text={each.name: find(each.name) for each in signature.inputs})


Coded = Callable[[Operation, Signature, Plain], Codec[PlainCall]]


class Service:
    """Functions served without a transport."""

    def __init__(
        self,
        *handlers: Callable[..., Any],
        provided: Mapping[Any, Any] | None = None,
        codec: Coded = by_document,
        config: OperationsConfig | None = None,
        **declared: Sequence[Any],
    ) -> None:
        operations: list[Operation] = []
        for each in handlers:
            operations += operations_of(_Holder(each))
        self.pipeline = Pipeline(config)
        self.serving = serving_of(operations, dict(provided or {}), **declared)
        self.pipeline.assemble(self.serving)
        self.endpoints = self.pipeline.compile(self.serving, Plain, codec)

    def call(self, number: int = 0, **options: Any) -> tuple[Endpoint[Plain], PlainCall]:
        endpoint = self.endpoints[number]
        return endpoint, PlainCall(endpoint, **options)

    async def run(self, number: int = 0, *, document: Any = b"{}", **options: Any) -> Any:
        endpoint, call = self.call(number, **options)
        call.document = document
        return await endpoint.run(call)


def _Holder(handler: Callable[..., Any]) -> object:  # noqa: N802
    """An instance with the handler as its one (static) method."""
    return type("Holder", (), {handler.__name__: staticmethod(handler)})()
