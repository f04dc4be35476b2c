"""What every plugin passes."""

from covet_http import Http
from covet_hypercorn import Hypercorn
from covet_kernel.testing import PluginContract
from covet_operations import Operations


class TestHttp(PluginContract):
    plugin = Http
    config = {"port": 0, "server": "hypercorn", "linger": 0}
    with_plugins = {"operations": Operations, "hypercorn": Hypercorn}
