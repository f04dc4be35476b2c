"""The configuration of ``[plugins.websocket]``."""

from __future__ import annotations

from pydantic import Field

from covet_kernel import PluginConfig
from covet_websocket._rooms import RoomsConfig


class WebSocketsConfig(PluginConfig):
    """``[plugins.websocket]``."""

    rooms: RoomsConfig = Field(RoomsConfig(), description="Rooms, and their limits.")
