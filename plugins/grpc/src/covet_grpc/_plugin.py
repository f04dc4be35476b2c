"""The plugin: services compiled each phase, and mounted in covet-http by their names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from covet_grpc._config import GrpcConfig
from covet_http import Mount, mount
from covet_kernel import Command, Context, Plugin, Serving
from covet_kernel.contracts import Operation
from covet_operations import OPERATIONS, Pipeline

if TYPE_CHECKING:
    import logging

    from covet_grpc._application import Service
    from covet_grpc._services._health import Health
    from covet_grpc._services._reflection import Reflection
    from covet_operations import ContractDocument, ContractView


class Grpc(Plugin[GrpcConfig]):
    """gRPC and gRPC-Web: serves every operation that has a `GrpcBinding`, on the port of covet-http."""

    requires = (OPERATIONS,)
    implies = ("operations", "http")

    def __init__(self, config: GrpcConfig) -> None:
        super().__init__(config)
        self._pipeline: Pipeline | None = None
        self._log: logging.Logger
        self._directory = Path()
        self._begun: Serving | None = None
        self._services: tuple[Service, ...] = ()
        self._health: Health | None = None
        self._reflection: Reflection | None = None

    def covet_operations(self) -> Iterable[Operation]:
        found: tuple[Operation, ...] = ()
        if self.config.health:
            from covet_grpc._services._health import Health

            self._health = self._health or Health(self.config.health_interval)
            found += self._health.operations()
        if self.config.reflection:
            from covet_grpc._services._reflection import Reflection

            self._reflection = self._reflection or Reflection()
            found += self._reflection.operations()
        return found

    def covet_commands(self) -> Iterable[Command]:
        from covet_grpc._command import grpc_command

        return (grpc_command(self.config),)

    def covet_contract_documents(self) -> Iterable[ContractDocument]:
        """The ``.proto`` of each package."""
        from covet_operations import ContractDocument

        yield ContractDocument(kind="proto", render=self._protos)

    def _protos(self, view: ContractView) -> Mapping[str, str]:
        from covet_grpc._command import proto_texts, schema_in

        return proto_texts(schema_in(view.assembly, view.pipeline, view.serving, self.config))

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._pipeline, self._log = ctx.require(OPERATIONS), ctx.log
        self._directory = ctx.directory
        ctx.compile(self._begin)
        yield

    def covet_http_mounts(self) -> Iterable[Mount]:
        if self._pipeline is None:
            return ()
        # covet-http may compile before this plugin does, and has to know where services are. What is
        # wrong with them is said when it is this plugin's turn.
        with suppress(Exception):
            self._begin(self._pipeline.newest)
        return [mount(f"/{each.name}", each) for each in self._services]

    def _begin(self, serving: Serving) -> None:
        """Compile a phase's services, once."""
        if self._begun is serving:
            return
        from covet_grpc._compile import Messages, compile_services

        assert self._pipeline is not None
        path = self._directory / self.config.lock
        messages = Messages(serving, self._pipeline, path, self._log)
        self._services = ()
        self._services = compile_services(serving, self._pipeline, self.config, messages)
        self._begun = serving
        names = [each.name for each in self._services]
        if self._health is not None:
            self._health.begin(serving, names)
        if self._reflection is not None and names:
            self._reflection.begin(messages.schema.all_files(), names)
