"""The configuration of ``[plugins.http]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field, field_validator

from covet_http._coding import codings_of
from covet_http._fixed import plain_path
from covet_http._forms._limits import FormLimits
from covet_http._openapi._config import OpenApiConfig
from covet_http._request import Limits
from covet_http._rules._hosts import HostPattern
from covet_http._rules._keys import IdempotencyConfig
from covet_http._rules._proxies import Proxies
from covet_http._rules._security import SecurityHeaders
from covet_http._server import ServerOptions
from covet_http._slash import SlashPolicy
from covet_http._tables import table
from covet_kernel import PluginConfig

if TYPE_CHECKING:
    from pathlib import Path

    from covet_http._rules._compression import CompressionConfig
    from covet_http._rules._cors import CorsConfig
    from covet_http._rules._request_id import RequestIdConfig
    from covet_http._rules._trust import TrustedProxies
    from covet_http._static import StaticFolder
    from covet_http._tls import TlsConfig
    from covet_http._versions._config import VersionsConfig
    from covet_http._websocket._config import WebSocketConfig
else:
    CompressionConfig = table("_rules._compression", "CompressionConfig")
    CorsConfig = table("_rules._cors", "CorsConfig")
    RequestIdConfig = table("_rules._request_id", "RequestIdConfig")
    StaticFolder = table("_static", "StaticFolder")
    TlsConfig = table("_tls", "TlsConfig")
    TrustedProxies = table("_rules._trust", "TrustedProxies")
    VersionsConfig = table("_versions._config", "VersionsConfig")
    WebSocketConfig = table("_websocket._config", "WebSocketConfig")


class HttpConfig(PluginConfig):
    """``[plugins.http]``. Times in seconds, sizes in bytes; every limit is on by default."""

    model_config = ConfigDict(defer_build=True)

    host: str = Field(default="127.0.0.1", description="Address or name to listen on.")
    port: int = Field(
        default=8000, ge=0, le=65535, description="0 lets the system choose a free port."
    )
    server: str = Field(
        default="auto",
        description="Which server: 'auto' takes the native engine if it is installed, else hypercorn.",
    )
    tls: TlsConfig | None = Field(
        default=None,
        description="Speak TLS and nothing else, whichever the server; not unless given.",
    )
    health_path: str = Field(
        default="",
        description="Where to answer 200 while requests are served, such as '/health'; empty: nowhere.",
    )
    trailing_slash: SlashPolicy = Field(
        default="strict",
        description="For a path that would lead somewhere with a slash more or less at its end:"
        " 'strict' is 404, 'redirect' is 308 to the other, 'ignore' answers as the other does.",
    )
    static: dict[str, StaticFolder] = Field(
        default_factory=dict,
        description='Folders of files by their path: \'"/assets" = "public"\', or a table of options.',
    )
    problem_base: str = Field(
        default="/problems/",
        pattern=r"^[!-~]*$",
        description="Prefix of 'type' in problem documents; the error's code follows.",
    )
    max_body_bytes: int = Field(
        default=1024 * 1024, ge=0, description="Of a request body, or of one line of a stream in."
    )
    max_query_params: int = Field(default=256, ge=1, description="Pairs in one query.")
    refuse_extra_query: bool = Field(
        default=False, description="Refuse query parameters that the operation does not have."
    )
    max_cookies: int = Field(default=128, ge=1, description="Cookies in one request.")
    message_pack: bool = Field(
        default=False,
        description="Read and write MessagePack besides JSON; needs the extra 'msgpack'.",
    )
    decompress: tuple[Literal["gzip", "br", "zstd"], ...] = Field(
        default=(),
        description="Content codings that request bodies may have; 'br' and 'zstd' need the extra"
        " 'compression'.",
    )
    max_expansion: int = Field(
        default=100,
        ge=1,
        description="How many times longer a compressed stream in may become once it is decoded.",
    )
    max_header_bytes: int = Field(
        default=32 * 1024, ge=1024, description="Request line and headers together."
    )
    max_connections: int = Field(
        default=10_000,
        ge=1,
        description="Connections at once; beyond it newcomers wait in the backlog.",
    )
    body_timeout: float = Field(
        default=30.0, gt=0, description="For a whole request body to arrive."
    )
    read_timeout: float = Field(default=20.0, gt=0, description="The longest pause within a body.")
    write_timeout: float = Field(
        default=30.0, gt=0, description="The longest wait for a client that does not read."
    )
    keep_alive_timeout: float = Field(
        default=15.0, gt=0, description="For the next whole request head on a connection."
    )
    event_keep_alive: float = Field(
        default=15.0,
        ge=0,
        description="The longest silence of a stream of events before a comment is sent; 0: endless.",
    )
    linger: float = Field(
        default=0.2,
        ge=0,
        description="On stop, how long idle connections may still send a request.",
    )

    versions: VersionsConfig | None = Field(
        default=None, description="The versions of the API; without this table it has none."
    )
    allowed_hosts: tuple[HostPattern, ...] = Field(
        default=(),
        description="Hosts to answer for, such as 'shop.example' or '*.shop.example'; empty: all.",
    )
    proxies: TrustedProxies | None = Field(
        default=None, description="Which proxies to believe about clients; none unless given."
    )
    security: SecurityHeaders = Field(
        default=SecurityHeaders.model_construct(),
        description="Headers that tell browsers to be careful.",
    )
    cors: CorsConfig | None = Field(
        default=None, description="Which other origins may use this service; none unless given."
    )
    compression: CompressionConfig | None = Field(
        default=None, description="Compress answers; not unless given."
    )
    etags: bool = Field(
        default=False,
        description="Send entity tags with answers to GET where a route does not say otherwise.",
    )
    idempotency: IdempotencyConfig = Field(
        default=IdempotencyConfig.model_construct(),
        description="For routes that take idempotency keys.",
    )
    request_id: RequestIdConfig | None = Field(
        default=None, description="Give each request an id; not unless given."
    )
    forms: FormLimits = Field(
        default=FormLimits.model_construct(), description="What a form may cost."
    )
    websocket: WebSocketConfig | None = Field(
        default=None,
        description="What WebSockets may cost, and whose pages may open them; its defaults unless given.",
    )
    openapi: OpenApiConfig = Field(
        default=OpenApiConfig.model_construct(),
        description="The OpenAPI document and the pages that show it.",
    )

    @field_validator("static")
    @classmethod
    def _are_paths(cls, static: dict[str, StaticFolder]) -> dict[str, StaticFolder]:
        for path in static:
            plain_path(path)
        return static

    @field_validator("static", mode="before")
    @classmethod
    def _are_folders(cls, static: Any) -> Any:
        if not isinstance(static, Mapping):
            return static
        return {
            path: {"folder": each} if isinstance(each, str) else each
            for path, each in static.items()
        }

    @field_validator("health_path")
    @classmethod
    def _is_plain(cls, path: str) -> str:
        return plain_path(path) if path else path

    def limits_for(self, proxies: Proxies) -> Limits:
        """What a request may cost, and whom to believe about it."""
        return Limits(
            max_body_bytes=self.max_body_bytes,
            max_query_params=self.max_query_params,
            body_timeout=self.body_timeout,
            max_cookies=self.max_cookies,
            max_expansion=self.max_expansion,
            codings=codings_of(self.decompress),
            proxies=proxies,
            forms=self.forms,
        )

    def server_options(self, directory: Path) -> ServerOptions:
        """What is told to the server; relative paths start at ``directory``."""
        return ServerOptions(
            max_connections=self.max_connections,
            max_header_bytes=self.max_header_bytes,
            keep_alive_timeout=self.keep_alive_timeout,
            read_timeout=self.read_timeout,
            write_timeout=self.write_timeout,
            linger=self.linger,
            tls=self.tls and self.tls.within(directory),
        )
