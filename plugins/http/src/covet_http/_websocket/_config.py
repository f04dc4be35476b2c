"""``[plugins.http.websocket]``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from covet_http._rules._cors import OriginPattern
from covet_http._rules._table import RuleConfig
from covet_http._websocket._channel import ChannelLimits


class WebSocketConfig(RuleConfig):
    """``[plugins.http.websocket]``: what WebSockets may cost, and whose pages may open them."""

    origins: tuple[OriginPattern, ...] = Field(
        default=(),
        description="Origins whose pages may open one besides the service's own and those of"
        " [plugins.http.cors]; '*': all.",
    )
    max_connections: int = Field(
        default=5_000, ge=1, description="WebSockets at once; a further handshake is answered 503."
    )
    max_message_bytes: int = Field(
        default=1024 * 1024, ge=1, description="Of a message that comes, decompressed."
    )
    max_fragments: int = Field(
        default=1024, ge=1, description="Frames that one message may come in."
    )
    message_timeout: float = Field(
        default=30.0, gt=0, description="For a message to arrive whole, once it has begun."
    )
    max_control_frames: int = Field(
        default=200, ge=1, description="Pings, pongs and empty frames of a client in ten seconds."
    )
    max_queue_bytes: int = Field(
        default=1024 * 1024, ge=1, description="Of messages that wait to be sent to one client."
    )
    max_queue_messages: int = Field(
        default=1024, ge=1, description="How many may wait to be sent to one client."
    )
    when_full: Literal["wait", "close"] = Field(
        default="wait",
        description="Beyond that 'wait' has the sender wait, 'close' closes the WebSocket 1013.",
    )
    ping_interval: float = Field(
        default=20.0, ge=0, description="The longest silence before a client is pinged; 0: endless."
    )
    ping_timeout: float = Field(
        default=20.0, gt=0, description="For the pong to come; then the client is given up."
    )
    close_timeout: float = Field(
        default=10.0,
        gt=0,
        description="For a client to answer a close, and for a handler to end behind it.",
    )
    compression: bool = Field(
        default=False, description="Compress messages where a client offers it (RFC 7692)."
    )
    compress_from: int = Field(
        default=1024, ge=0, description="The size from which messages are compressed."
    )

    @property
    def channel_limits(self) -> ChannelLimits:
        """What a server keeps."""
        names = ChannelLimits._fields
        return ChannelLimits(**{name: getattr(self, name) for name in names})
