"""The portable HTTP server: h11, h2 and TLS inside the kernel's task tree."""

from covet_hypercorn._config import HypercornConfig
from covet_hypercorn._plugin import Hypercorn, HypercornServer

__all__ = ["Hypercorn", "HypercornConfig", "HypercornServer"]
