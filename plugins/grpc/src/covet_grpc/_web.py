"""What gRPC-Web is allowed: which origins' pages may call, and with what (the CORS protocol)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from covet_grpc._config import WebConfig
    from covet_grpc._metadata import Lines

_ANY: Final = "*"
_OWN: Final = (
    "content-type", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "x-grpc-web",
    "x-user-agent",
)  # fmt: skip
_EXPOSED: Final = (
    b"access-control-expose-headers",
    b"grpc-status,grpc-message,grpc-status-details-bin",
)
_VARY: Final = (b"vary", b"origin")


class Web:
    """The rules of one service.

    Args:
        config: Of the plugin.
    """

    def __init__(self, config: WebConfig) -> None:
        self._any = _ANY in config.origins
        self._origins = frozenset(origin.encode("latin-1", "replace") for origin in config.origins)
        headers = ",".join(dict.fromkeys([*_OWN, *(each.lower() for each in config.headers)]))
        self._preflight: Lines = [
            (b"access-control-allow-methods", b"POST"),
            (b"access-control-allow-headers", headers.encode("latin-1", "replace")),
            (b"access-control-max-age", b"%d" % config.max_age),
        ]

    def allowed(self, origin: bytes) -> Lines:
        """The headers of an answer to a page of this origin."""
        if self._any:
            return [(b"access-control-allow-origin", b"*"), _EXPOSED]
        if origin in self._origins:
            return [(b"access-control-allow-origin", origin), _EXPOSED, _VARY]
        return [_VARY]

    def preflight(self, origin: bytes) -> Lines:
        """The headers of the answer to whether such a page may call."""
        if not self._any and origin not in self._origins:
            return [_VARY]
        return [line for line in self.allowed(origin) if line is not _EXPOSED] + self._preflight
