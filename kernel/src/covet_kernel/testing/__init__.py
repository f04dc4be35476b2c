"""Test kernels made of given classes, on asyncio and trio; entry points are never read."""

from covet_kernel.testing._cancel import cancel_at_every_await, cancel_at_every_tick
from covet_kernel.testing._contract import PluginContract
from covet_kernel.testing._fake import fake_plugin
from covet_kernel.testing._leaks import LeakError
from covet_kernel.testing._run import assembly_of, run_kernel

__all__ = [
    "LeakError",
    "PluginContract",
    "assembly_of",
    "cancel_at_every_await",
    "cancel_at_every_tick",
    "fake_plugin",
    "run_kernel",
]
