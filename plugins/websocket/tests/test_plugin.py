"""The plugin as every plugin."""

from __future__ import annotations

from covet_http import Http
from covet_hypercorn import Hypercorn
from covet_kernel.testing import PluginContract
from covet_operations import Operations
from covet_websocket import WebSockets


class TestWebSockets(PluginContract):
    plugin = WebSockets
    with_plugins = {"operations": Operations, "http": Http, "hypercorn": Hypercorn}
    with_config = {"http": {"port": 0, "server": "hypercorn", "linger": 0}}
