"""The hooks this plugin adds to the kernel's."""

from __future__ import annotations

from collections.abc import Iterable

from covet_http._fixed import Fixed
from covet_kernel import hookspec


class Specs:
    """Asked when a serving phase begins."""

    @hookspec
    def covet_http_fixed(self) -> Iterable[Fixed]:  # type: ignore[empty-body]
        """Answers that need no handler: `fixed` bodies and `redirect`s."""
