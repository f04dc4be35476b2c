"""The plugin ``operations``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pluggy

from covet_kernel import Context, Plugin, Serving, hookspec
from covet_kernel.contracts import Metric, Operation
from covet_operations._bulk._service import BULK, Bulk
from covet_operations._marks import operations_of
from covet_operations._paging._service import PAGING, Paging
from covet_operations._pipeline import OPERATIONS, OperationsConfig, Pipeline
from covet_operations._providers import Provider, providers_of
from covet_operations._translate import ErrorMapping

if TYPE_CHECKING:
    from covet_operations._contract._channel import ChannelSource, ContractChannel
    from covet_operations._contract._document import ContractDocument


class Specs:
    """Hooks this plugin adds to the kernel's."""

    @hookspec
    def covet_providers(self) -> Iterable[Provider]:  # type: ignore[empty-body]
        """What makes values for handlers' parameters; ``providers_of(self)`` for marked methods."""

    @hookspec
    def covet_error_mappings(self) -> Iterable[ErrorMapping]:  # type: ignore[empty-body]
        """How exceptions of libraries are shown to callers."""

    @hookspec
    def covet_contract_documents(self) -> Iterable[ContractDocument]:  # type: ignore[empty-body]
        """What describes the service on the plugin's protocol; asked by ``covet contract``."""

    @hookspec
    def covet_channels(self) -> Iterable[ContractChannel | ChannelSource]:  # type: ignore[empty-body]
        """Where messages are sent and received, or what finds that out."""


class Operations(Plugin[OperationsConfig]):
    """Provides the call pipeline, and declares what the application's plain modules are marked as."""

    provides = (OPERATIONS, PAGING, BULK)

    def __init__(self, config: OperationsConfig) -> None:
        super().__init__(config)
        self._pipeline = Pipeline(config)
        self._operations: tuple[Operation, ...] = ()
        self._providers: tuple[Provider, ...] = ()

    def covet_add_hookspecs(self, pm: pluggy.PluginManager) -> None:
        pm.add_hookspecs(Specs)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        pipeline = self._pipeline

        async def serve(serving: Serving) -> None:
            for operation, binding in pipeline.unserved(serving):
                ctx.log.warning(
                    "%s is not reachable at %s %r: no enabled plugin serves that",
                    operation.name,
                    binding.protocol,
                    binding.address,
                )
            async with pipeline.phase(serving):
                await serving.draining.wait()

        self._operations = tuple(each for module in ctx.modules for each in operations_of(module))
        self._providers = tuple(each for module in ctx.modules for each in providers_of(module))
        ctx.provide(OPERATIONS, pipeline)
        ctx.provide(
            PAGING,
            Paging(
                secret=self.config.cursor_secret.get_secret_value(),
                max_limit=self.config.max_page_size,
            ),
        )
        ctx.provide(BULK, Bulk(max_items=self.config.max_bulk_items, translate=pipeline.translate))
        ctx.compile(pipeline.assemble)
        ctx.serve(serve)
        yield
        if pipeline.threads.left:
            ctx.log.warning(
                "%d worker threads still run handlers whose calls are over; on asyncio the process"
                " ends when they have",
                pipeline.threads.left,
            )

    def covet_operations(self) -> Iterable[Operation]:
        return self._operations

    def covet_providers(self) -> Iterable[Provider]:
        return self._providers

    def covet_metrics(self) -> Iterable[Metric]:
        """How many worker threads have outlived their calls."""
        threads = self._pipeline.threads
        yield Metric(
            name="operations.threads.left",
            kind="gauge",
            read=lambda: [((), threads.left)],
            help="Worker threads that still run a handler whose call is over.",
        )
