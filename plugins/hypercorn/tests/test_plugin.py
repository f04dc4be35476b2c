"""What every plugin passes."""

from covet_hypercorn import Hypercorn
from covet_kernel.testing import PluginContract


class TestHypercorn(PluginContract):
    plugin = Hypercorn
