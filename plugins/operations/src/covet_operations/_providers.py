"""Providers: what a handler asks for by type and the application makes."""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from graphlib import CycleError, TopologicalSorter
from types import ModuleType, TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar, get_args, get_origin

from covet_kernel import ConfigurationError
from covet_kernel.contracts import Capability, Record
from covet_operations._annotations import show
from covet_operations._signature import Injected, Input, Resolver, parameters_of

F = TypeVar("F", bound=Callable[..., Any])
Scope: TypeAlias = Literal["app", "connection", "call"]
Value: TypeAlias = Callable[[Capability[Any]], Any]
_WIDTH: Mapping[str, int] = {"app": 0, "connection": 1, "call": 2}
_CALL_ONLY = ("session", "principal", "call", "stream")
_ATTRIBUTE = "__covet_provider__"


class Provider(Record):
    """Makes values of one type.

    Attributes:
        make: ``def``, ``async def``, or an async generator that yields once and then cleans up. Its
            parameters are filled like a handler's, and by other providers.
        scope: How long one value lives.
    """

    make: Callable[..., Any]
    scope: Scope = "call"

    @property
    def name(self) -> str:
        return f"{self.make.__module__}.{self.make.__qualname__}"

    @property
    def place(self) -> str:
        code = self.make.__code__
        return f"{code.co_filename}:{code.co_firstlineno}"

    @property
    def type(self) -> Any:
        """What it makes: the return annotation, or what the generator yields; ``None`` if unknown."""
        returned = typing.get_type_hints(self.make).get("return")
        if get_origin(returned) in (AsyncIterator, AsyncGenerator):
            return get_args(returned)[0]
        return returned


def provider(*, scope: Scope = "call") -> Callable[[F], F]:
    """Mark a function as the provider of what it returns; the function itself is returned.

    Args:
        scope: ``"call"``: made for each call that asks; ``"connection"``: once per connection of a
            transport that has them; ``"app"``: once per serving phase.
    """

    def decorate(function: F) -> F:
        setattr(function, _ATTRIBUTE, scope)
        return function

    return decorate


def providers_of(source: object) -> tuple[Provider, ...]:
    """The providers a module's functions, or an instance's methods, are marked as."""
    if isinstance(source, ModuleType):
        values = vars(source).values()
        found = [
            each
            for each in values
            if inspect.isfunction(each) and each.__module__ == source.__name__
        ]
    else:
        kind = type(source)
        found = [
            getattr(source, key)
            for key in dir(kind)
            if inspect.isfunction(getattr(kind, key, None))
        ]
    return tuple(
        Provider(make=each, scope=getattr(each, _ATTRIBUTE))
        for each in found
        if hasattr(each, _ATTRIBUTE)
    )


def by_type(providers: Iterable[Provider], errors: list[ConfigurationError]) -> dict[Any, Provider]:
    """Providers by the type they make."""
    found: dict[Any, Provider] = {}
    for each in providers:
        try:
            made = each.type
        except Exception as error:
            errors.append(
                _wrong(f"the annotations of {each.name} cannot be evaluated: {error}", each)
            )
            continue
        if made is None:
            errors.append(
                _wrong(f"{each.name} does not say what it makes", each, "Annotate what it returns.")
            )
        elif made in found:
            errors.append(
                _wrong(
                    f"{found[made].name} and {each.name} both make {show(made)}",
                    each,
                    "Remove one of them.",
                )
            )
        else:
            found[made] = each
    return found


class ProviderGraph:
    """Which provider needs which; checked once per serving phase.

    Args:
        resolver: Fills the providers' parameters; it knows the providers themselves.
        errors: Where everything that is wrong is added.
    """

    def __init__(self, resolver: Resolver, errors: list[ConfigurationError]) -> None:
        self.parameters: dict[Provider, tuple[Injected, ...]] = {}
        for each in resolver.providers.values():
            self.parameters[each] = self._parameters(each, resolver, errors)
        self._sorted: dict[Provider, int] = {}
        sorter = TopologicalSorter({each: self._needs(each) for each in self.parameters})
        try:
            self._sorted = {each: index for index, each in enumerate(sorter.static_order())}
        except CycleError as error:
            cycle: list[Provider] = error.args[1]
            path = " -> ".join(each.name for each in cycle)
            errors.append(
                _wrong(f"providers need each other: {path}", cycle[0], "Break the circle.")
            )

    def _needs(self, provider: Provider) -> list[Provider]:
        return [each.key for each in self.parameters[provider] if each.source == "provider"]

    def _parameters(
        self, provider: Provider, resolver: Resolver, errors: list[ConfigurationError]
    ) -> tuple[Injected, ...]:
        found, wrong = parameters_of(provider.make, provider.name, provider.place, resolver)
        errors += wrong
        injected = []
        for each in found:
            if isinstance(each, Input) or each.source == "stream":
                errors.append(
                    _wrong(
                        f"{provider.name} takes {each.name!r}, which only a caller could fill",
                        provider,
                        "Take capabilities, providers, Principal, Call or SqlSession.",
                    )
                )
                continue
            scope = (
                each.key.scope
                if each.source == "provider"
                else "call"
                if each.source in _CALL_ONLY
                else "app"
            )
            if _WIDTH[scope] > _WIDTH[provider.scope]:
                narrower = (
                    each.key.name
                    if each.source == "provider"
                    else f"its {each.source} {each.name!r}"
                )
                errors.append(
                    ConfigurationError(
                        "COVET-OPERATION-SCOPE",
                        f"{provider.name} ({provider.scope}) -> {narrower} ({scope}): a value that lives"
                        f" longer would keep one that lives shorter.",
                        place=provider.place,
                        fix=f"Give {provider.name} the scope {scope!r}, or do not take it there.",
                    )
                )
            injected.append(each)
        return tuple(injected)

    def needed(self, injected: Iterable[Injected]) -> tuple[Provider, ...]:
        """All providers these parameters need, each after those it needs itself."""
        found: set[Provider] = set()
        pending = [each.key for each in injected if each.source == "provider"]
        while pending:
            each = pending.pop()
            if each not in found:
                found.add(each)
                pending += self._needs(each)
        return tuple(sorted(found, key=lambda each: self._sorted.get(each, 0)))

    def everything(self, injected: Sequence[Injected]) -> tuple[Injected, ...]:
        """These parameters and those of every provider they need."""
        return (
            *injected,
            *(each for maker in self.needed(injected) for each in self.parameters[maker]),
        )


class ProviderScope:
    """The open values of one scope wider than a call. Entered and left in one task.

    Args:
        providers: What to open, each after those it needs.
        graph: Their parameters.
        value: Gives the provider of a capability.
        outer: The next wider scope, already open.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        graph: ProviderGraph,
        value: Value,
        outer: ProviderScope | None = None,
    ) -> None:
        self.values: dict[Provider, Any] = {}
        self._providers = providers
        self._graph = graph
        self._value = value
        self._outer = outer
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        try:
            for each in self._providers:
                self.values[each] = await self._open(each)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What a scope holds belongs to many calls: the error of one must not be thrown into it.
        await self._stack.aclose()

    async def _open(self, provider: Provider) -> Any:
        given = {each.name: self._argument(each) for each in self._graph.parameters[provider]}
        if inspect.isasyncgenfunction(provider.make):
            return await self._stack.enter_async_context(
                asynccontextmanager(provider.make)(**given)
            )
        made = provider.make(**given)
        return await made if inspect.isawaitable(made) else made

    def _argument(self, each: Injected) -> Any:
        if each.source == "value":
            return self._value(each.key)
        if each.key in self.values or self._outer is None:
            return self.values[each.key]
        return self._outer.values[each.key]


def _wrong(problem: str, provider: Provider, fix: str = "") -> ConfigurationError:
    return ConfigurationError(
        "COVET-OPERATION-PROVIDER", f"{problem}.", place=provider.place, fix=fix
    )
