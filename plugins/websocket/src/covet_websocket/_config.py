"""The configuration of ``[plugins.websocket]``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from covet_kernel import PluginConfig
from covet_websocket._rooms import RoomsConfig


class RpcConfig(PluginConfig):
    """``[plugins.websocket.rpc]``: methods that clients call over one WebSocket."""

    path: str = Field(default="/rpc", pattern="^/", description="Where clients connect.")
    anonymous: bool = Field(
        default=True,
        description="Let clients connect without credentials; each method still asks for its own.",
    )
    max_calls: int = Field(
        default=32, ge=1, description="Calls of one connection that may be under way at once."
    )
    on_invalid: Literal["error", "close"] = Field(
        default="error",
        description="What becomes of a frame that is no call: an error, or the end.",
    )
    origins: tuple[str, ...] | None = Field(
        default=None,
        description="Whose pages may connect, in place of what [plugins.http.websocket] says.",
    )
    max_message_bytes: int | None = Field(
        default=None,
        ge=1,
        description="Of a frame that comes, in place of what [plugins.http.websocket] says.",
    )


class WebSocketsConfig(PluginConfig):
    """``[plugins.websocket]``."""

    ack_timeout: float = Field(
        default=10.0,
        gt=0,
        description="Seconds a client has to acknowledge a message that waits for that.",
    )
    max_unacknowledged: int = Field(
        default=64, ge=1, description="Messages to one client that may wait for that at once."
    )
    rpc: RpcConfig | None = Field(
        default=None, description="Have operations that are bound to methods called."
    )
    rooms: RoomsConfig = Field(default=RoomsConfig(), description="Rooms, and their limits.")
