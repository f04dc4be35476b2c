"""How a caller proves who it is, in AsyncAPI's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from covet_contract._json._spots import Json

_BEARER: Final[Json] = {"type": "http", "scheme": "bearer"}
_SCHEMES: Final[Mapping[str, Json]] = {
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": _BEARER,
    "mtls": {"type": "X509"},
}
"""By the scheme of the credentials that an authenticator takes."""


def security_schemes(authenticators: Sequence[Any]) -> Json:
    """Security Scheme Objects by name; a bearer token where no authenticator says anything."""
    found: Json = {}
    for each in authenticators:
        for name, scheme in getattr(each, "security_schemes", {}).items():
            # OpenAPI's word for it; here that is a key of a broker.
            kind = "httpApiKey" if scheme.get("type") == "apiKey" else scheme.get("type")
            found[name] = {**scheme, "type": "X509" if kind == "mutualTLS" else kind}
        for name in getattr(each, "schemes", ()):
            found[name] = _SCHEMES.get(name, {"type": "http", "scheme": name})
    return found or {"bearer": _BEARER}
