"""How an operation says whose its calls are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from covet_operations import mark
from covet_sql.routing import KeyMark, KeySource

F = TypeVar("F", bound=Callable[..., Any])

EXTRA = "tenants"


class TenantKey(KeyMark):
    """Marks the parameter of a handler that names the tenant: ``shop: Annotated[str, TenantKey()]``."""


def tenant_by(place: str) -> Callable[[F], F]:
    """Say where in its calls the tenant of an operation is; the function itself is returned.

    Args:
        place: ``"claim:tenant"``, ``"principal"``, ``"host:*.shop.example"``, ``"header:x-tenant"`` or
            ``"input:tenant"``.

    Raises:
        ValueError: It is none of these.
    """
    return mark(extra={EXTRA: KeySource.parse(place)})
