"""Test kernels made of given classes, on asyncio and trio; entry points are never read."""

from covet_kernel.testing._run import run_kernel

__all__ = ["run_kernel"]
