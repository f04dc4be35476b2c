"""The configuration of ``[plugins.websocket]``."""

from __future__ import annotations

from covet_kernel import PluginConfig


class WebSocketsConfig(PluginConfig):
    """``[plugins.websocket]``."""
