"""A phase that is over is forgotten, with everything that was compiled for it."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from weakref import ref

from covet_kernel import Plugin, Serving
from covet_kernel.contracts import Operation
from covet_kernel.testing import assembly_of, run_kernel
from covet_operations import Operations, operation, operations_of


class Greeter(Plugin[None]):
    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)

    @operation()
    async def greet(self, name: str) -> str:
        return name


async def test_a_reload_keeps_nothing_of_the_phase_before() -> None:
    classes = {"operations": Operations, "greeter": Greeter}
    phases: list[ref[Serving]] = []
    async with run_kernel(classes) as kernel:
        for seconds in (1.5, 2.5, 3.5):
            assert kernel.phase is not None
            phases.append(ref(kernel.phase))
            table = {"greeter": {"stop_timeout": seconds}, "operations": {}}
            assert await kernel.reload(assembly_of(classes, table)) == ["greeter"]
        gc.collect()
        assert [phase() for phase in phases] == [None, None, None]
