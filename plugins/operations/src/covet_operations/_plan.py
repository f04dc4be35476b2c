"""One serving phase's operations: checked when it is made, compiled when transports ask."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from covet_kernel import ConfigurationError, Serving
from covet_kernel.contracts import SQL, Binding, Call, Interceptor, Layer, Operation
from covet_operations._auth import Authenticate, Authorize, identified, is_anonymous
from covet_operations._carried import carried_by, check_carried
from covet_operations._chain import compose, compose_direct
from covet_operations._checks import check_binding, check_errors, check_names, check_operation
from covet_operations._codec import Codec
from covet_operations._endpoint import Endpoint
from covet_operations._errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    Internal,
    Invalid,
    OperationError,
    Unauthenticated,
    Unavailable,
)
from covet_operations._inner import innermost, reply
from covet_operations._inputs import decode_layer
from covet_operations._order import order
from covet_operations._phase import Phase
from covet_operations._providers import Provider, ProviderGraph, ProviderScope, by_type
from covet_operations._signature import Injected, Resolver, Signature, compile_signature, place_of
from covet_operations._threads import Threads
from covet_operations._transact import Transact
from covet_operations._translate import Translator
from covet_operations._validate import Validate

B = TypeVar("B", bound=Binding)


class Plan:
    """What a phase serves.

    Attributes:
        errors: Everything that is wrong; the phase must not begin unless it is empty.
        signatures: By operation name.
    """

    def __init__(
        self,
        serving: Serving,
        providers: tuple[Provider, ...],
        deadline: float,
        commit_grace: float,
        refuse_extra: bool,
        threads: Threads,
    ) -> None:
        self._serving = serving
        self._deadline = deadline or math.inf
        self._refuse_extra = refuse_extra
        self._threads = threads
        self._compiled: set[int] = set()
        self._phase = Phase()
        self.errors: list[ConfigurationError] = []
        self.signatures: dict[str, Signature] = {}
        self._injected: dict[str, tuple[Injected, ...]] = {}
        declared = [*providers, *(item for _, item in serving.collect("covet_providers"))]
        resolver = Resolver(tuple(serving.provided), by_type(declared, self.errors))
        self._graph = ProviderGraph(resolver, self.errors)
        self._translator = Translator(item for _, item in serving.collect("covet_error_mappings"))
        self.errors += check_names(serving.operations)
        self.errors += check_errors(serving.operations)
        for operation in serving.operations:
            self.errors += self._admit(operation, resolver)
        self._interceptors = self._order(commit_grace)

    def _admit(self, operation: Operation, resolver: Resolver) -> Iterator[ConfigurationError]:
        signature, errors = compile_signature(operation, resolver)
        yield from errors
        if signature is None:
            return
        injected = self._graph.everything(signature.injected)
        self.signatures[operation.name] = signature
        self._injected[operation.name] = injected
        yield from check_operation(
            operation,
            signature,
            injected,
            permissions=frozenset(self._serving.permissions),
            databases=self._serving.provided,
            translator=self._translator,
        )
        calls = [each.key for each in injected if each.source == "call" and each.key is not Call]
        carried = carried_by(signature)
        for binding in operation.bindings:
            yield from check_binding(operation, binding, signature, calls)
            yield from check_carried(operation, binding, carried)

    def _order(self, commit_grace: float) -> tuple[Interceptor, ...]:
        serving = self._serving
        targets = {
            name: next((each.key for each in injected if each.source == "session"), SQL)
            for name, injected in self._injected.items()
        }
        known = frozenset(name for name, injected in self._injected.items() if identified(injected))
        ordered, errors = order(
            [
                Authenticate(serving.authenticators, known),
                Authorize(serving.authorizers),
                Validate(),
                Transact(serving.provided, targets, commit_grace),
                *serving.interceptors,
            ]
        )
        self.errors += errors
        return ordered

    def compile(
        self,
        kind: type[B],
        codec: Callable[[Operation, Signature, B], Codec[Any]],
        variants: Callable[[Operation, B], Iterable[B]] | None = None,
    ) -> tuple[tuple[Endpoint[B], ...], list[ConfigurationError]]:
        """An endpoint for every binding of this class, and everything that is wrong with them."""
        endpoints: list[Endpoint[B]] = []
        errors: list[ConfigurationError] = []
        for operation in self._serving.operations:
            for binding in operation.bindings:
                if isinstance(binding, kind):
                    self._compiled.add(id(binding))
                    try:
                        found = (binding,) if variants is None else variants(operation, binding)
                        endpoints += [self._endpoint(operation, each, codec) for each in found]
                    except ConfigurationError as error:
                        errors.append(error)
        return tuple(endpoints), errors

    def _endpoint(
        self,
        operation: Operation,
        binding: B,
        codec: Callable[[Operation, Signature, B], Codec[Any]],
    ) -> Endpoint[B]:
        signature = self.signatures[operation.name]
        found = codec(operation, signature, binding)
        unfilled = [
            each.name
            for each in signature.inputs
            if each.required and each.name not in found.text and found.document is None
        ]
        if unfilled:
            raise ConfigurationError(
                "COVET-OPERATION-BINDING",
                f"{operation.name} cannot be reached at {binding.protocol} {binding.address!r}:"
                f" nothing there holds {', '.join(unfilled)}.",
                place=place_of(operation),
                fix="Name them in the address, give them defaults, or bind it where a message is sent.",
            )
        decode = decode_layer(signature, found, refuse_extra=self._refuse_extra)
        inner = innermost(
            operation,
            signature,
            found,
            value=self._serving.provided.__getitem__,
            graph=self._graph,
            app=self._phase.values,
            threads=self._threads,
        )
        again = reply(signature, found) if signature.kind in ("unary", "client_stream") else None
        needed = {each.scope for each in self._graph.needed(signature.injected)}
        layers = self._layers(operation, binding, decode)
        return Endpoint(
            operation,
            binding,
            signature,
            compose=partial(compose, layers, inner, again),
            translator=self._translator,
            timeout=self._timeout(operation, binding, signature),
            phase=self._phase.using if "app" in needed else None,
            connect=self.connect if "connection" in needed else None,
            compose_direct=(
                None
                if needed - {"call"} or found.deliver is not None
                else partial(compose_direct, layers, inner)
            ),
            deliver=found.deliver,
            alone=len(layers) == 1 and not signature.injected,
        )

    def _layers(self, operation: Operation, binding: Binding, decode: Layer) -> list[Layer]:
        layers = []
        for interceptor in self._interceptors:
            layer = (
                decode
                if isinstance(interceptor, Validate)
                else interceptor.bind(operation, binding)
            )
            if layer is not None:
                layers.append(layer)
        return layers

    def _timeout(self, operation: Operation, binding: Binding, signature: Signature) -> float:
        given = [each for each in (binding.deadline, operation.deadline) if each is not None]
        if given:
            return min(given)
        return self._deadline if signature.kind in ("unary", "client_stream") else math.inf

    def open(self) -> AbstractAsyncContextManager[None]:
        """The phase's app-scoped providers."""
        return self._phase.open(self._all("app"), self._graph, self._serving.provided.__getitem__)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[ProviderScope]:
        """One connection's providers."""
        async with (
            self._phase.using() as app,
            ProviderScope(
                self._all("connection"), self._graph, self._serving.provided.__getitem__, app
            ) as own,
        ):
            yield own

    def _all(self, scope: str) -> tuple[Provider, ...]:
        """The providers of this scope that some operation needs, each after those it needs."""
        everything = self._graph.needed(
            [each for injected in self._injected.values() for each in injected]
        )
        return tuple(each for each in everything if each.scope == scope)

    def translate(self, error: Exception) -> OperationError | None:
        return self._translator.error(error)

    def unserved(self) -> tuple[tuple[Operation, Binding], ...]:
        return tuple(
            (operation, binding)
            for operation in self._serving.operations
            for binding in operation.bindings
            if id(binding) not in self._compiled
        )

    def answers(self, operation: Operation) -> tuple[type[OperationError], ...]:
        """Declared errors, and those the pipeline itself may answer with."""
        found = [self._translator.typed(each) for each in operation.errors]
        if self.signatures[operation.name].inputs or self.signatures[operation.name].item:
            found.append(Invalid)
        if not self.is_anonymous(operation) or self._serving.authenticators:
            found.append(Unauthenticated)
        if operation.requires or self._serving.authorizers:
            found.append(Forbidden)
        if operation.transaction is not None:
            # What the database says when it is asked, or at the latest when it commits.
            found += [Conflict] if operation.transaction == "write" else []
            found.append(Unavailable)
        return tuple(dict.fromkeys([*found, DeadlineExceeded, Cancelled, Internal]))

    def is_anonymous(self, operation: Operation) -> bool:
        """Whether nobody need say who calls."""
        return is_anonymous(operation) and not identified(self._injected[operation.name])
