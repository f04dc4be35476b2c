"""The pipeline: everything a phase declared, checked together, compiled per operation and binding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar

from pydantic import ConfigDict, Field, SecretStr

from covet_kernel import ConfigurationError, PluginConfig, Serving
from covet_kernel.contracts import Binding, Capability, Operation
from covet_operations._codec import Codec
from covet_operations._endpoint import Endpoint
from covet_operations._errors import OperationError
from covet_operations._plan import Plan
from covet_operations._providers import Provider, ProviderScope
from covet_operations._signature import Signature
from covet_operations._threads import Threads

B = TypeVar("B", bound=Binding)


class OperationsConfig(PluginConfig):
    """Options of the pipeline."""

    model_config = ConfigDict(defer_build=True)

    deadline: float = Field(
        30.0,
        ge=0,
        description="Seconds a call may take where neither operation nor binding says; 0: no limit.",
    )
    commit_grace: float = Field(
        5.0, gt=0, description="Seconds COMMIT or ROLLBACK may take once the call itself is over."
    )
    cursor_secret: SecretStr = Field(
        SecretStr(""),
        description="Signs the cursors of pages, the same in every process; empty: a checksum only.",
    )
    max_bulk_items: int = Field(
        1000, ge=1, description="The most items of one bulk call, whatever its operation allows."
    )
    max_page_size: int = Field(
        1000, ge=1, description="The most items on one page, whatever an operation allows."
    )
    max_threads: int = Field(
        40,
        ge=1,
        description="Worker threads of handlers at once, those whose calls are over included.",
    )
    refuse_extra: bool = Field(
        True, description="Refuse a message with inputs the operation does not have."
    )


class Pipeline:
    """Compiles the operations of each serving phase; provided as `OPERATIONS`.

    Args:
        config: Options; defaults unless given.
        providers: Providers besides those of ``covet_providers``.

    Attributes:
        config: The same.
        providers: The same.
        threads: Where handlers run that ask for a worker thread.
    """

    def __init__(
        self, config: OperationsConfig | None = None, providers: tuple[Provider, ...] = ()
    ) -> None:
        self.config = config or OperationsConfig()
        self.providers = providers
        self.threads = Threads(self.config.max_threads)
        self._plans: dict[Serving, Plan] = {}

    def assemble(self, serving: Serving) -> None:
        """Check everything a phase declared and make ready to compile it.

        Raises:
            ConfigurationError: Something is wrong.
            ExceptionGroup: Of all of them, if several things are.
        """
        config = self.config
        plan = Plan(
            serving,
            self.providers,
            config.deadline,
            config.commit_grace,
            config.refuse_extra,
            self.threads,
        )
        # Phases before this one are over. Weak keys would keep them all: a plan knows its phase.
        number = serving.number
        self._plans = {each: old for each, old in self._plans.items() if each.number >= number}
        self._plans[serving] = plan
        fail(plan.errors)

    def compile(
        self,
        serving: Serving,
        binding: type[B],
        codec: Callable[[Operation, Signature, B], Codec[Any]],
        variants: Callable[[Operation, B], Iterable[B]] | None = None,
    ) -> tuple[Endpoint[B], ...]:
        """Compile every operation bound to one transport.

        Args:
            serving: The phase, from ``ctx.compile``.
            binding: The transport's class of bindings.
            codec: Says how one operation is decoded and encoded there.
            variants: The addresses one binding stands for, such as one for each version; unless
                given, the binding itself. Each gets an endpoint of its own.

        Returns:
            An endpoint per binding or variant, in the order of declaration; none for a phase that does not
            assemble, whose errors are reported already.

        Raises:
            ConfigurationError: A codec leaves a required input without a source, or it or
                ``variants`` raised itself.
        """
        plan = self._plans[serving]
        if plan.errors:
            return ()
        endpoints, errors = plan.compile(binding, codec, variants)
        fail(errors)
        return endpoints

    def signature(self, serving: Serving, operation: Operation) -> Signature:
        """An operation's compiled signature, for schemas."""
        return self._plans[serving].signatures[operation.name]

    def errors(self, serving: Serving, operation: Operation) -> tuple[type[OperationError], ...]:
        """The typed errors an operation may answer with, for schemas: declared and implied ones."""
        return self._plans[serving].answers(operation)

    def is_anonymous(self, serving: Serving, operation: Operation) -> bool:
        """Whether a call of an operation without credentials is let in, for schemas."""
        return self._plans[serving].is_anonymous(operation)

    def failed(self, serving: Serving) -> bool:
        """Whether a phase does not assemble; why is reported already."""
        return bool(self._plans[serving].errors)

    @property
    def newest(self) -> Serving:
        """The newest phase. Whoever is asked by another plugin, and not told which, compiles this one."""
        return max(self._plans, key=lambda serving: serving.number)

    def translate(self, error: Exception) -> OperationError | None:
        """The typed error for an exception in the newest phase; ``None`` if it is unexpected."""
        return self._plans[self.newest].translate(error)

    def phase(self, serving: Serving) -> AbstractAsyncContextManager[None]:
        """Keep a phase's app-scoped providers open while the block runs.

        The plugin does it; tests without a kernel do it themselves. Leaving waits for the calls
        that use them.
        """
        return self._plans[serving].open()

    def connection(self, serving: Serving) -> AbstractAsyncContextManager[ProviderScope]:
        """Open the connection-scoped providers; what it gives goes to ``endpoint.run(connection=...)``.

        Also keeps the app-scoped providers open, so the phase cannot end before it is left: a
        connection that outlives its phase leaves it once ``serving.draining`` is set and its calls
        are answered, and enters the next phase's. Enter and leave it in one task.
        """
        return self._plans[serving].connect()

    def unserved(self, serving: Serving) -> tuple[tuple[Operation, Binding], ...]:
        """Bindings no transport has compiled: their plugin is not enabled."""
        return self._plans[serving].unserved()


OPERATIONS: Final = Capability[Pipeline]("operations.pipeline", plugins=("operations",))
"""What transports require: the pipeline they compile their endpoints with."""


def fail(errors: list[ConfigurationError]) -> None:
    """Raise what was collected: nothing, one error, or all of them as a group."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup("the operations cannot be served", errors)
