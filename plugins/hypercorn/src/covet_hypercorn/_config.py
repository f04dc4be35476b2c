"""The configuration of ``[plugins.hypercorn]``."""

from __future__ import annotations

from pydantic import Field, model_validator

from covet_http import TlsConfig
from covet_kernel import PluginConfig


class HypercornConfig(PluginConfig):
    """``[plugins.hypercorn]``. Limits that every server has are in ``[plugins.http]``."""

    http2: bool = Field(
        default=False,
        description="Speak HTTP/2: to clients that choose it over TLS, or begin with it without TLS.",
    )
    http3: bool = Field(
        default=False,
        description="Speak HTTP/3 too, by UDP on the same port; takes 'tls' and the extra [http3].",
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
    tls: TlsConfig | None = Field(default=None, description="Speak TLS, and nothing else.")
    access_log: bool = Field(
        default=False, description="One JSON line per request on the logger 'covet.http.access'."
    )

    @model_validator(mode="after")
    def _can_speak_http3(self) -> HypercornConfig:
        if not self.http3:
            return self
        if self.tls is None:
            raise ValueError("http3 needs tls: HTTP/3 is never spoken without")
        if self.tls.client_ca is not None:
            raise ValueError(
                "http3 cannot ask clients for certificates: leave it or tls.client_ca out"
            )
        if self.tls.sni:
            raise ValueError("http3 knows one certificate: leave it or tls.sni out")
        return self
