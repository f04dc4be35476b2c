"""Which proxies are believed about clients: the table ``[plugins.http.proxies]``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from covet_http._rules._proxies import MOST
from covet_http._rules._table import RuleConfig


def _network(given: str) -> str:
    from ipaddress import ip_network

    return str(ip_network(given))


class TrustedProxies(RuleConfig):
    """``[plugins.http.proxies]``. At least one of ``hops`` and ``networks`` has to be given."""

    hops: int | None = Field(
        default=None,
        ge=1,
        le=MOST,
        description="How many proxies stand in a row before this service, at most.",
    )
    networks: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(
        default=(),
        description="Addresses of proxies, such as '10.0.0.0/8'; empty: whoever connects is one.",
    )
    header: Literal["x-forwarded", "forwarded"] = Field(
        default="x-forwarded",
        description="What they write: 'X-Forwarded-For', '-Proto' and '-Host', or 'Forwarded'.",
    )

    @model_validator(mode="after")
    def _says_whom(self) -> Self:
        if self.hops is None and not self.networks:
            raise ValueError("say whom to trust: hops = 1, or networks = ['10.0.0.0/8']")
        return self
