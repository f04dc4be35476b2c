"""The plugin ``operations``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from covet_kernel import Context, Plugin
from covet_kernel.contracts import Operation
from covet_operations._marks import operations_of
from covet_operations._pipeline import OPERATIONS, OperationsConfig, Pipeline


class Operations(Plugin[OperationsConfig]):
    """Provides the call pipeline and declares the operations of the application's plain modules."""

    provides = (OPERATIONS,)

    def __init__(self, config: OperationsConfig) -> None:
        super().__init__(config)
        self._declared: tuple[Operation, ...] = ()

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        pipeline = Pipeline(self.config)
        self._declared = tuple(each for module in ctx.modules for each in operations_of(module))
        ctx.provide(OPERATIONS, pipeline)
        ctx.compile(pipeline.assemble)
        yield

    def covet_operations(self) -> Iterable[Operation]:
        return self._declared
