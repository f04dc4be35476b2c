"""The built-in validate step, where decoding happens."""

from __future__ import annotations

from covet_kernel.contracts import Binding, Layer, Operation, Phase


class Validate:
    """Decodes the input, behind authentication and authorization.

    Its layer needs the transport's codec, which interceptors do not see, so the plan writes it. An
    interceptor that looks at arguments is of this phase with ``after = ("validate",)``.
    """

    name = "validate"
    phase = Phase.VALIDATE
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        return None
