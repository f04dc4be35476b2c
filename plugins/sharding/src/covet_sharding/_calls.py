"""How an operation says where its key is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from covet_operations import mark
from covet_sql.routing import KeyMark, KeySource

F = TypeVar("F", bound=Callable[..., Any])

EXTRA = "sharding"


class ShardKey(KeyMark):
    """Marks the parameter of a handler that tells the shard: ``customer: Annotated[int, ShardKey()]``."""


def shard_by(place: str) -> Callable[[F], F]:
    """Say where in its calls the key of an operation is; the function itself is returned.

    Args:
        place: ``"header:x-customer"``, ``"claim:customer"`` or ``"principal"`` of who calls,
            ``"host:*.shop.example"``, ``"input:customer"``.

    Raises:
        ValueError: It is none of these.
    """
    return mark(extra={EXTRA: KeySource.parse(place)})
