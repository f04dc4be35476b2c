"""Where an operation is found among the methods that are called over WebSocket."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, TypeVar

from covet_kernel.contracts import Call, Effect, Operation
from covet_operations import Kind, TransportBinding, mark
from covet_websocket._rpc._call import MethodCall

F = TypeVar("F", bound=Callable[..., Any])

_NAME: Final = re.compile(r"[A-Za-z_][\w-]*(?:[./][A-Za-z_][\w-]*)*\Z", re.ASCII)
_LONGEST: Final = 256


class MethodBinding(TransportBinding):
    """One method; its address is its name."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"unary", "server_stream"})
    call_type: ClassVar[type[Call]] = MethodCall

    def check(self, operation: Operation) -> Iterable[str]:
        if not _NAME.match(self.address) or len(self.address) > _LONGEST:
            yield f"{self.address!r} is no name of a method: write one like 'books.search'"


def method(
    name: str, *, deadline: float | None = None, effect: Effect | None = None
) -> Callable[[F], F]:
    """Bind to a method that clients call over a WebSocket; a stream out answers with many results.

    Args:
        name: What clients call it, such as ``"books.search"``.
        deadline: Seconds a call may take; the caller's own counts if it is tighter.
        effect: What repeating a call does, if `operation` does not say.
    """
    binding = MethodBinding(protocol="websocket-rpc", address=name, deadline=deadline)
    return mark(binding, effect=effect)
