"""Who calls, and whether they may."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Protocol

from covet_kernel.contracts._record import Record
from covet_kernel.contracts.operation import Call, Operation


class Credentials(Record):
    """What a caller shows: a scheme (``"bearer"``, ``"basic"``, ``"mtls"``) and its value.

    The value never appears in ``repr``.
    """

    scheme: str
    value: str

    def __repr__(self) -> str:
        return f"Credentials(scheme={self.scheme!r})"


class Principal(Record):
    """An authenticated caller.

    Attributes:
        id: Stable, unique within ``issuer``.
        issuer: Which authenticator vouches for it.
        permissions: What it is known to be allowed, as declared by ``covet_permissions``.
        claims: Anything else the authenticator learned.
    """

    id: str
    issuer: str = ""
    permissions: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = MappingProxyType({})


class Authenticator(Protocol):
    """Turns credentials into a principal."""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """The principal, or ``None`` if these credentials are not this authenticator's business.

        Raises:
            Exception: An ``unauthenticated`` error of the caller's registry if they are, and wrong.
        """


class Vote(Enum):
    """One authorizer's opinion. Any deny wins; no allow means deny."""

    ALLOW = "allow"
    DENY = "deny"
    ABSTAIN = "abstain"


class Authorizer(Protocol):
    """Votes on whether a principal may call an operation."""

    async def authorize(self, principal: Principal, operation: Operation, call: Call) -> Vote: ...
