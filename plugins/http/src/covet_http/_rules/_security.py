"""Headers that tell browsers to be careful: the same in every answer, so they cost nothing."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from covet_http._response import header_line
from covet_http._rules._table import RuleConfig

_YEAR = 365 * 24 * 3600

Lines = tuple[tuple[bytes, bytes], ...]


class SecurityHeaders(RuleConfig):
    """``[plugins.http.security]``. An empty text leaves a header out."""

    content_type_options: bool = Field(
        default=True, description="Send 'X-Content-Type-Options: nosniff'."
    )
    frame_options: Literal["DENY", "SAMEORIGIN", ""] = Field(
        default="DENY", description="'X-Frame-Options': which pages may show an answer in a frame."
    )
    referrer_policy: str = Field(default="no-referrer", description="'Referrer-Policy'.")
    content_security_policy: str = Field(default="", description="'Content-Security-Policy'.")
    permissions_policy: str = Field(default="", description="'Permissions-Policy'.")
    resource_policy: Literal["same-origin", "same-site", "cross-origin", ""] = Field(
        default="", description="'Cross-Origin-Resource-Policy'."
    )
    opener_policy: Literal[
        "same-origin", "same-origin-allow-popups", "noopener-allow-popups", "unsafe-none", ""
    ] = Field(default="", description="'Cross-Origin-Opener-Policy'.")
    hsts_max_age: int = Field(
        default=0,
        ge=0,
        description="'Strict-Transport-Security': seconds browsers use HTTPS only; 0: not sent.",
    )
    hsts_subdomains: bool = Field(default=False, description="Say so for all subdomains too.")
    hsts_preload: bool = Field(
        default=False, description="Ask browsers to ship it; needs a year and all subdomains."
    )
    headers: dict[str, str] = Field(
        default_factory=dict, description="More headers for every answer, by name."
    )

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        if self.hsts_preload and not (self.hsts_subdomains and self.hsts_max_age >= _YEAR):
            raise ValueError(
                f"hsts_preload needs hsts_subdomains = true and hsts_max_age of {_YEAR} or more"
            )
        names = [name for name, _ in self.lines]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name.decode()!r} is given twice")
        return self

    @property
    def lines(self) -> Lines:
        """The headers, names in lower case."""
        hsts = ""
        if self.hsts_max_age:
            hsts = f"max-age={self.hsts_max_age}"
            hsts += "; includeSubDomains" if self.hsts_subdomains else ""
            hsts += "; preload" if self.hsts_preload else ""
        wanted = {
            "x-content-type-options": "nosniff" if self.content_type_options else "",
            "x-frame-options": self.frame_options,
            "referrer-policy": self.referrer_policy,
            "content-security-policy": self.content_security_policy,
            "permissions-policy": self.permissions_policy,
            "cross-origin-resource-policy": self.resource_policy,
            "cross-origin-opener-policy": self.opener_policy,
            "strict-transport-security": hsts,
        }
        lines = [header_line(name, value) for name, value in wanted.items() if value]
        return (*lines, *(header_line(name, value) for name, value in self.headers.items()))
