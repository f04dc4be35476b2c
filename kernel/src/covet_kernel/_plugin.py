"""What a plugin is, and what the kernel hands to it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_args

import anyio

from covet_kernel._errors import LifecycleError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from covet_kernel import contracts
    from covet_kernel._kernel import Kernel
    from covet_kernel._node import Node
    from covet_kernel.contracts import Capability

C = TypeVar("C")
T = TypeVar("T")
Collect = Callable[[str], list[tuple[str, Any]]]


class Plugin(Generic[C]):
    """Base of every plugin: ``class Postgres(Plugin[PostgresConfig])``.

    The kernel makes one instance per table in ``covet.toml`` with its validated configuration,
    registers its ``covet_*`` methods as hooks, and enters ``covet_lifespan`` when everything it
    requires is up. ``Plugin[None]`` takes no configuration. Constructing a plugin must do no I/O.

    What it requires, wants, provides and implies is a class attribute, or a property where it
    depends on ``self.config``.

    Attributes:
        config_type: The class of the configuration, from the base ``Plugin[Config]``.
    """

    config_type: ClassVar[Any] = None

    @property
    def requires(self) -> Sequence[Capability[Any]]:
        """Capabilities that are up before this plugin starts and stay up until it has stopped."""
        return ()

    @property
    def wants(self) -> Sequence[Capability[Any]]:
        """The same, but only if somebody provides them."""
        return ()

    @property
    def provides(self) -> Sequence[Capability[Any]]:
        """What it hands to ``ctx.provide``; of ``postgres/analytics`` under the name ``analytics``."""
        return ()

    @property
    def implies(self) -> Sequence[str]:
        """Ids of plugins that are enabled with defaults along with this one."""
        return ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for base in cls.__dict__.get("__orig_bases__", ()):
            derived = issubclass(getattr(base, "__origin__", object), Plugin)
            config_type = get_args(base)[0] if derived else None
            if isinstance(config_type, type) and config_type is not NoneType:
                cls.config_type = config_type

    def __init__(self, config: C) -> None:
        self.config = config


class Serving:
    """One serving phase: everything plugins declared, collected when the phase began.

    Attributes:
        number: 1 for the first phase; a reload begins the next.
        draining: Set when the phase is to end: finish the calls in flight, let no new one begin.
        stopping: Whether no other phase follows, so that listeners close too; decided before
            ``draining`` is set.
        provided: Every capability's provider, for injection.
    """

    def __init__(
        self, number: int, collect: Collect, provided: Mapping[Capability[Any], Any]
    ) -> None:
        self.number = number
        self.draining = anyio.Event()
        self.stopping = False
        self.provided = provided
        self.collect = collect
        self._owners: dict[int, str] = {}
        self.operations: tuple[contracts.Operation, ...] = self._all("covet_operations")
        self.interceptors: tuple[contracts.Interceptor, ...] = self._all("covet_interceptors")
        self.authenticators: tuple[contracts.Authenticator, ...] = self._all("covet_authenticators")
        self.authorizers: tuple[contracts.Authorizer, ...] = self._all("covet_authorizers")
        self.permissions: tuple[str, ...] = self._all("covet_permissions")
        self.health_checks: tuple[contracts.HealthCheck, ...] = self._all("covet_health_checks")
        self.metrics: tuple[contracts.Metric, ...] = self._all("covet_metrics")

    def _all(self, hook: str) -> tuple[Any, ...]:
        declared = self.collect(hook)
        self._owners.update((id(item), owner) for owner, item in declared)
        return tuple(item for _, item in declared)

    def owner(self, item: object) -> str:
        """Which plugin declared ``item``."""
        return self._owners.get(id(item), "")


class Context:
    """A plugin's view of the kernel, valid while its ``covet_lifespan`` is entered.

    Attributes:
        name: The instance's name, ``"postgres"`` or ``"postgres/analytics"``.
        directory: The folder of ``covet.toml``; relative paths in a configuration start here.
        modules: The plain modules of ``[app] modules``.
    """

    def __init__(self, kernel: Kernel, node: Node) -> None:
        self._kernel = kernel
        self._node = node
        self.name = node.name
        self.directory: Path = kernel.assembly.settings.directory
        self.modules: tuple[ModuleType, ...] = kernel.assembly.modules

    @property
    def log(self) -> logging.Logger:
        """A logger named ``covet.<name>``."""
        return logging.getLogger(f"covet.{self.name}")

    def provide(self, capability: Capability[T], value: T) -> None:
        """Hand ``value`` to whoever requires ``capability``; it must be in ``provides``."""
        token = capability.named(self._node.instance) if not capability.name else capability
        if token not in self._node.provides:
            known = [other.id for other in self._node.provides]
            fields = {"name": self.name, "capability": token.id}
            raise LifecycleError.of("COVET-PROVIDE-UNDECLARED", valid=known, **fields)
        self._kernel.provided[token] = value

    def require(self, capability: Capability[T]) -> T:
        """The provider of ``capability``, which must be in ``requires``."""
        self._check(capability, self._node.requires)
        value: T = self._kernel.provided[capability]
        return value

    def get(self, capability: Capability[T]) -> T | None:
        """The provider of ``capability`` if there is one; it must be in ``wants`` or ``requires``."""
        self._check(capability, (*self._node.wants, *self._node.requires))
        return self._kernel.provided.get(capability)

    def _check(self, capability: Capability[Any], declared: Sequence[Capability[Any]]) -> None:
        if capability not in declared:
            known = [other.id for other in declared]
            fields = {"name": self.name, "capability": capability.id}
            raise LifecycleError.of("COVET-NEED-UNDECLARED", valid=known, **fields)

    def compile(self, fn: Callable[[Serving], None]) -> None:
        """Have ``fn`` called when each serving phase begins, before anybody serves.

        It runs synchronously, in the order of the graph. Raising a `ConfigurationError` fails the
        start, or makes a reload restore what was; so ``fn`` keeps its result aside and the served
        state changes only when the phase's ``serve`` functions begin.
        """
        self._node.compilers.append(fn)

    def serve(self, fn: Callable[[Serving], Awaitable[None]], *, drain: bool = True) -> None:
        """Have ``fn`` run in a task of its own during each serving phase.

        It begins when every plugin is up. With ``drain`` it must return soon after
        ``serving.draining`` is set, when its calls in flight are answered; past the kernel's drain
        deadline, or at once without ``drain``, it is cancelled. Raising is a crash of the plugin.
        """
        self._node.servers.append((fn, drain))

    def emit(self, name: str, **data: Any) -> None:
        """Tell every ``covet_event`` hook; failures there are logged, never raised."""
        from covet_kernel.contracts import Event

        self._kernel.emit(Event(name=name, plugin=self.name, data=data))
