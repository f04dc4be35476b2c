"""Services without versions, which need nothing else of all this."""

from __future__ import annotations

from collections.abc import Iterator

from covet_http._binding import HttpBinding
from covet_kernel import ConfigurationError
from covet_kernel.contracts import Operation


def unversioned(operation: Operation, binding: HttpBinding) -> Iterator[HttpBinding]:
    """`Versions.variants` where none are declared.

    Raises:
        ConfigurationError: The binding names some.
    """
    if binding.versions:
        raise ConfigurationError(
            "COVET-HTTP-VERSION-UNKNOWN",
            f"{operation.name} is bound to {binding.method} {binding.path} in the versions"
            f" {binding.versions!r}, but none are declared.",
            place="plugins.http.versions",
            fix="Declare them: known = [{name = '1'}, {name = '2'}] in [plugins.http.versions].",
        )
    yield binding
