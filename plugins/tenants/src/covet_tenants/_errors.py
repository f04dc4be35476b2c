"""Whose a call is, and why nobody's."""

from __future__ import annotations

from covet_kernel.contracts import SqlError


class TenantMissingError(SqlError):
    """Nothing in the call says whose it is."""

    def __init__(self) -> None:
        super().__init__(
            "the call does not say whose it is: name the place with [plugins.tenants] key or tenant_by()",
            sqlstate="42000",
        )


class TenantUnknownError(SqlError):
    """There is no such tenant, or nothing was made for it yet."""

    def __init__(self, problem: str = "there is no such tenant") -> None:
        super().__init__(problem, sqlstate="3F000")
