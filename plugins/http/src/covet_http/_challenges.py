"""What a client that is not let in is told of credentials: ``WWW-Authenticate`` (RFC 9110, 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

Challenges = tuple[bytes, ...]

BEARER: Final[Challenges] = (b"Bearer",)
_QUOTABLE = re.compile(r"[ !#-\[\]-~]+\Z")
_SCHEME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


def challenges(authenticators: Iterable[Any], realm: str) -> Challenges:
    """One for each HTTP scheme that authenticators say they take, in their order; a bearer token's if none does.

    Keys in headers of their own and client certificates have no challenge.

    Args:
        authenticators: Those may have ``schemes`` or ``security_schemes``, as for the OpenAPI document.
        realm: What is protected, as a browser that asks for a password shows it.
    """
    shown = realm if _QUOTABLE.match(realm) else "API"
    found = dict.fromkeys(each.lower() for each in _schemes(authenticators))
    return tuple(_challenge(each, shown) for each in found if _SCHEME.match(each)) or BEARER


def _schemes(authenticators: Iterable[Any]) -> Iterator[str]:
    for each in authenticators:
        for name in getattr(each, "schemes", ()):
            if name != "mtls":
                yield name
        for scheme in getattr(each, "security_schemes", {}).values():
            kind = scheme.get("type")
            if kind == "http":
                yield scheme.get("scheme", "bearer")
            elif kind in ("oauth2", "openIdConnect"):
                yield "bearer"


def _challenge(scheme: str, realm: str) -> bytes:
    if scheme == "bearer":
        return b"Bearer"
    if scheme == "basic":
        return f'Basic realm="{realm}", charset="UTF-8"'.encode("ascii")
    return f'{scheme.capitalize()} realm="{realm}"'.encode("ascii")
