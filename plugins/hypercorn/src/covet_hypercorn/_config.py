"""The configuration of ``[plugins.hypercorn]``."""

from __future__ import annotations

from pydantic import Field

from covet_http import ServerConfig


class HypercornConfig(ServerConfig):
    """``[plugins.hypercorn]``. What every server is told is in ``[plugins.http]``."""

    http2: bool = Field(
        default=False,
        description="Speak HTTP/2: to clients that choose it over TLS, or begin with it without TLS.",
    )
    http3: bool = Field(
        default=False,
        description="Speak HTTP/3 too, by UDP on the same port; takes [plugins.http.tls] and the extra"
        " [http3].",
    )
    http3_port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="The UDP port clients are told, where it is mapped to another.",
    )
    max_streams: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Concurrent HTTP/2 or HTTP/3 streams a connection.",
    )
    access_log: bool = Field(
        default=False, description="One JSON line per request on the logger 'covet.http.access'."
    )
