"""Idempotency keys: which routes take them, and what their answers may cost.

What does it is in `covet_http._rules._idempotency`, imported when a route takes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from covet_http._binding import HttpBinding
from covet_http._rules._table import RuleConfig
from covet_kernel import ConfigurationError
from covet_kernel.contracts import Binding, KeyValueStore, Layer, Operation, Phase

if TYPE_CHECKING:
    from covet_http._openapi._description import Description


class IdempotencyConfig(RuleConfig):
    """``[plugins.http.idempotency]``, for routes with ``idempotency=``. Times in seconds."""

    ttl: float = Field(
        default=24 * 3600.0, gt=0, description="How long an answer is kept for repetitions."
    )
    lock: float = Field(
        default=120.0,
        gt=0,
        description="How long a key stays taken if the process dies; longer than any deadline.",
    )
    max_answer_bytes: int = Field(
        default=256 * 1024,
        ge=0,
        description="Larger answers are not kept, and repetitions refused.",
    )


class Idempotency:
    """Runs a request once for each key of each principal.

    Args:
        config: Times and sizes.

    Attributes:
        store: Where answers are kept; set before a phase binds its routes.
    """

    name = "http.idempotency"
    phase = Phase.VALIDATE
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ("validate",)

    def __init__(self, config: IdempotencyConfig) -> None:
        self._config = config
        self.store: KeyValueStore | None = None

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        if not isinstance(binding, HttpBinding) or not binding.idempotency:
            return None
        store = self.store
        if store is None:
            raise ConfigurationError(
                "COVET-HTTP-IDEMPOTENCY",
                f"{binding.address} of {operation.name} takes idempotency keys, and there is no"
                " key-value store to keep answers in.",
                place="plugins.http.idempotency",
                fix="Enable a plugin that provides one: [plugins.memory] for one process.",
            )
        from covet_http._rules._idempotency import once

        return once(binding, store, self._config)

    def describe(self, description: Description) -> None:
        """Say so in the OpenAPI document."""
        if description.binding.idempotency:
            from covet_http._rules._idempotency import describe

            describe(description)
