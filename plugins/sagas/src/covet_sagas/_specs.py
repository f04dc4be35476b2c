"""The hook by which plugins bring their sagas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from covet_kernel import hookspec
from covet_sagas._saga import Saga


# mypy: disable-error-code="empty-body"
class Specs:
    """What this plugin asks of others."""

    @hookspec
    def covet_saga_types(self) -> Iterable[Saga[Any]]:
        """The sagas that this plugin declares. Asked when a serving phase begins."""
