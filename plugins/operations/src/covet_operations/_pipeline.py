"""The pipeline: everything a phase declared, checked together, compiled per operation and binding."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from covet_kernel import ConfigurationError, PluginConfig, Serving
from covet_kernel.contracts import SQL, Binding, Call, Capability, Interceptor, Layer, Operation, Phase
from covet_operations._auth import Authenticate, Authorize
from covet_operations._chain import compose
from covet_operations._codec import Codec, TransportBinding
from covet_operations._endpoint import Endpoint
from covet_operations._inner import innermost
from covet_operations._inputs import Decode, compile_decode
from covet_operations._order import order
from covet_operations._providers import Opening
from covet_operations._signature import Resolver, Signature, compile_signature, place_of
from covet_operations._transact import Transact
from covet_operations._translate import Translator

B = TypeVar("B", bound=Binding)


class OperationsConfig(PluginConfig):
    """Options of the pipeline.

    Attributes:
        deadline: Seconds a call may take where neither operation nor binding says; 0 for no limit.
        commit_grace: Seconds COMMIT or ROLLBACK may take once a call is over.
        refuse_extra: Whether a message with inputs the operation does not have is refused.
    """

    deadline: float = 30.0
    commit_grace: float = 5.0
    refuse_extra: bool = True


class Pipeline:
    """Compiles the operations of each serving phase; provided as `OPERATIONS`."""

    def __init__(self, config: OperationsConfig | None = None) -> None:
        self.config = config or OperationsConfig()
        self._plans: WeakKeyDictionary[Serving, Plan] = WeakKeyDictionary()

    def assemble(self, serving: Serving) -> None:
        """Check everything a phase declared and make ready to compile it.

        Raises:
            ConfigurationError: Something is wrong; several such errors come as one group.
        """
        plan = Plan(serving, self.config)
        fail(plan.errors)
        self._plans[serving] = plan

    def compile(
        self, serving: Serving, binding: type[B], codec: Callable[[Operation, Signature, B], Codec[Any]]
    ) -> tuple[Endpoint[B], ...]:
        """Compile every operation bound to one transport.

        Args:
            serving: The phase, from ``ctx.compile``.
            binding: The transport's class of bindings.
            codec: Says how one operation is decoded and encoded there.

        Returns:
            An endpoint per binding, in the order of declaration.

        Raises:
            ConfigurationError: A codec leaves a required input without a source, or raised itself.
        """
        return self._plans[serving].compile(binding, codec)

    def signature(self, serving: Serving, operation: Operation) -> Signature:
        """An operation's compiled signature, for schemas."""
        return self._plans[serving].signatures[operation.name]


OPERATIONS: Final = Capability[Pipeline]("operations.pipeline", plugins=("operations",))


def fail(errors: list[ConfigurationError]) -> None:
    """Raise what was collected: nothing, one error, or all of them as a group."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup("the operations cannot be served", errors)


class Plan:
    """One phase's operations, checked."""

    def __init__(self, serving: Serving, config: OperationsConfig) -> None:
        self.serving = serving
        self.config = config
        self.errors: list[ConfigurationError] = []
        self.signatures: dict[str, Signature] = {}
        self.translator = Translator()
        resolver = Resolver(tuple(serving.provided))
        for operation in serving.operations:
            signature, errors = compile_signature(operation, resolver)
            self.errors += errors
            if signature is not None:
                self.signatures[operation.name] = signature
                for binding in operation.bindings:
                    self.errors += _check(operation, binding, signature)
        targets = {name: each.session or SQL for name, each in self.signatures.items()}
        self.interceptors, errors = order(
            [
                Authenticate(serving.authenticators),
                Authorize(serving.authorizers),
                Transact(serving.provided, targets, config.commit_grace),
                *serving.interceptors,
            ]
        )
        self.errors += errors

    def compile(
        self, kind: type[B], codec: Callable[[Operation, Signature, B], Codec[Any]]
    ) -> tuple[Endpoint[B], ...]:
        endpoints: list[Endpoint[B]] = []
        errors: list[ConfigurationError] = []
        for operation in self.serving.operations:
            for binding in operation.bindings:
                if isinstance(binding, kind):
                    try:
                        endpoints.append(self._endpoint(operation, binding, codec))
                    except ConfigurationError as error:
                        errors.append(error)
        fail(errors)
        return tuple(endpoints)

    def _endpoint(
        self, operation: Operation, binding: B, codec: Callable[[Operation, Signature, B], Codec[Any]]
    ) -> Endpoint[B]:
        signature = self.signatures[operation.name]
        found = codec(operation, signature, binding)
        layers = []
        decode = compile_decode(signature, found, refuse_extra=self.config.refuse_extra)
        placed = False
        for interceptor in self.interceptors:
            if not placed and interceptor.phase >= Phase.VALIDATE and decode is not None:
                layers.append(Layer(before=decode))
                placed = True
            layer = interceptor.bind(operation, binding)
            if layer is not None:
                layers.append(layer)
        chain = compose(layers, innermost(operation, signature, found, self.serving.provided.__getitem__, Opening()))
        limits = (binding.deadline, operation.deadline, self.config.deadline or None)
        if binding.deadline is not None or operation.deadline is not None:
            limits = limits[:2] + (None,)
        timeout = min((each for each in limits if each is not None), default=math.inf)
        return Endpoint(operation, binding, signature, chain, self.translator, timeout)


def _check(operation: Operation, binding: Binding, signature: Signature) -> Iterator[ConfigurationError]:
    reasons = list(binding.check(operation))
    if isinstance(binding, TransportBinding):
        reasons += binding.check_signature(signature)
    for reason in reasons:
        yield ConfigurationError(
            "COVET-OPERATION-BINDING",
            f"{operation.name} cannot be reached at {binding.protocol} {binding.address!r}: {reason}",
            place=place_of(operation),
            fix="Change the binding or the operation.",
        )
