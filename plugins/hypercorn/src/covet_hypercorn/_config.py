"""The configuration of ``[plugins.hypercorn]``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from covet_kernel import PluginConfig


class TlsConfig(PluginConfig):
    """``[plugins.hypercorn.tls]``: the server's certificate, and whether clients need one too."""

    certificate: Path = Field(
        description="PEM file of the certificate, with those between it and the root behind it."
    )
    key: Path | None = Field(
        default=None,
        description="PEM file of its key; in the file of the certificate unless given.",
    )
    password: SecretStr | None = Field(
        default=None,
        description="Of the key; from the environment: COVET_PLUGINS__HYPERCORN__TLS__PASSWORD.",
    )
    password_file: Path | None = Field(
        default=None, description="A file whose first line is the password, in place of 'password'."
    )
    client_ca: Path | None = Field(
        default=None,
        description="PEM file of those whose certificates are taken from clients (mutual TLS).",
    )
    clients: Literal["required", "optional"] = Field(
        default="required", description="With 'client_ca': whether every client has to show one."
    )
    minimum: Literal["1.2", "1.3"] = Field(default="1.2", description="The oldest version of TLS.")

    @model_validator(mode="after")
    def _has_one_password(self) -> TlsConfig:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file are both given")
        return self


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
        return self
