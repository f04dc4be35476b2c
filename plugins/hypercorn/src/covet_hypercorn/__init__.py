"""The portable HTTP server: Hypercorn's protocols inside the kernel's task tree."""

from covet_hypercorn._plugin import Hypercorn, HypercornConfig, HypercornServer

__all__ = ["Hypercorn", "HypercornConfig", "HypercornServer"]
