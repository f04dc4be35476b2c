"""How the value of one field is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from covet_operations import Invalid

if TYPE_CHECKING:
    from covet_graphql._run import Run


class Resolver(Protocol):
    """Finds the value of one field."""

    def __call__(self, source: Any, arguments: Mapping[str, Any], run: Run) -> Any:
        """The value, or what is to be awaited for it.

        Args:
            source: The object it is a field of.
            arguments: By the names that resolvers know them by.
            run: The request.
        """
        raise NotImplementedError


class Read:
    """A field that is simply there.

    Attributes:
        name: The attribute's, or the key's.
        is_key: Whether objects are mappings.
    """

    __slots__ = ("is_key", "name")

    def __init__(self, name: str, is_key: bool = False) -> None:
        self.name = name
        self.is_key = is_key

    def __call__(self, source: Any, arguments: Mapping[str, Any], run: Run) -> Any:
        if self.is_key or source.__class__ is dict:
            return source.get(self.name)
        return getattr(source, self.name)


class MethodField:
    """A field that a method of the object computes.

    Args:
        function: The method.
        adapters: What reads its arguments.
        load: The parameter that takes the loaders of the request; empty if none does.
    """

    __slots__ = ("_adapters", "_function", "_load")

    def __init__(
        self, function: Callable[..., Any], adapters: Mapping[str, TypeAdapter[Any]], load: str
    ) -> None:
        self._function = function
        self._adapters = adapters
        self._load = load

    def __call__(self, source: Any, arguments: Mapping[str, Any], run: Run) -> Any:
        if not self._adapters:
            if self._load:
                return self._function(source, **{self._load: run.load})
            return self._function(source)
        values: dict[str, Any] = {}
        for name, value in arguments.items():
            try:
                values[name] = self._adapters[name].validate_json(to_json(value))
            except ValidationError as error:
                raise Invalid.from_validation(error, name) from None
        if self._load:
            values[self._load] = run.load
        return self._function(source, **values)


class Introspected:
    """A field of the schema's description of itself, as graphql-core resolves it."""

    __slots__ = ("_resolve",)

    def __init__(self, resolve: Callable[..., Any]) -> None:
        self._resolve = resolve

    def __call__(self, source: Any, arguments: Mapping[str, Any], run: Run) -> Any:
        return self._resolve(source, run, **arguments)
