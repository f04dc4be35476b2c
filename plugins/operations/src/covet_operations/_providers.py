"""Providers: what a handler asks for by type and the application makes."""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_origin

from covet_operations._chain import Source, is_async
from covet_operations._signature import Injected

F = TypeVar("F", bound=Callable[..., Any])
Scope: TypeAlias = Literal["app", "connection", "call"]
_ATTRIBUTE = "__covet_provider__"


@dataclass(frozen=True, kw_only=True, eq=False)
class Provider:
    """Makes values of one type.

    Attributes:
        make: ``def``, ``async def``, or an async generator that yields once and then cleans up. Its
            parameters are filled like a handler's, and by other providers.
        scope: How long one value lives.
        type: What it makes; the return annotation unless given.
    """

    make: Callable[..., Any]
    scope: Scope = "call"
    type: Any = None

    @property
    def name(self) -> str:
        return f"{self.make.__module__}.{self.make.__qualname__}"


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
        found = [each for each in vars(source).values() if getattr(each, "__module__", None) == source.__name__]
    else:
        found = [getattr(source, key) for key in dir(type(source)) if callable(getattr(type(source), key, None))]
    return tuple(
        Provider(make=each, scope=getattr(each, _ATTRIBUTE)) for each in found if hasattr(each, _ATTRIBUTE)
    )


class Opening:
    """The call-scoped providers one operation opens."""

    def write(self, source: Source, value: Callable[[Any], Any]) -> dict[int, str]:
        return {}
