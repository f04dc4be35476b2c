"""One field of a request that is an operation: the call as GraphQL sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from covet_kernel.contracts import Call, Credentials

if TYPE_CHECKING:
    from covet_graphql._run import Run
    from covet_kernel.contracts import Binding, Operation

T = TypeVar("T")


class FieldCall(Call):
    """A field that is an operation, while it is resolved.

    Attributes:
        arguments: As they were given, by the handler's names for them.
        source: The object the field belongs to; ``None`` for a field of a root type.
    """

    __slots__ = ("_emit", "_run", "arguments", "source")

    def __init__(
        self,
        operation: Operation,
        binding: Binding,
        run: Run,
        arguments: Mapping[str, Any],
        source: Any = None,
        emit: Callable[[Any], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(operation, binding)
        self._run = run
        self._emit = emit
        self.arguments = arguments
        self.source = source

    def source_as(self, kind: type[T]) -> T:
        """The object the field belongs to, as an instance of its class.

        Raises:
            TypeError: It is of another class.
        """
        if not isinstance(self.source, kind):
            raise TypeError(
                f"the field belongs to a {type(self.source).__name__}, no {kind.__name__}"
            )
        return self.source

    def credentials(self) -> Credentials | None:
        return self._run.caller.credentials()

    def metadata(self, name: str) -> str | None:
        return self._run.caller.metadata(name)

    async def send(self, item: Any) -> None:
        if self._emit is None:
            await super().send(item)
        else:
            await self._emit(item)
