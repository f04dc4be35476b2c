"""The plugin: a schema made when a phase begins, or asked for, and served where HTTP is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import covet_http as http
from covet_graphql._binding import GraphqlBinding
from covet_graphql._codec import codec
from covet_graphql._config import GraphqlConfig
from covet_graphql._http import Endpoint
from covet_graphql._socket import SocketEndpoint
from covet_graphql._sse import EventEndpoint
from covet_graphql._subscriptions import Subscriptions
from covet_kernel import Context, Plugin, Serving
from covet_kernel.contracts import Operation
from covet_operations import OPERATIONS, ContractDocument, Pipeline
from covet_operations import Endpoint as Compiled

if TYPE_CHECKING:
    from covet_graphql._service import Service


class Graphql(Plugin[GraphqlConfig]):
    """Serves every operation that is a field of the schema."""

    requires = (OPERATIONS,)
    implies = ("http",)

    def __init__(self, config: GraphqlConfig) -> None:
        super().__init__(config)
        self._directory = Path()
        self._subscriptions = Subscriptions()
        self._endpoint = Endpoint(config)
        self._sockets = SocketEndpoint(config, self._endpoint)
        self._events = EventEndpoint(config, self._endpoint, self._subscriptions)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Have a schema for every phase."""
        pipeline = ctx.require(OPERATIONS)
        self._directory = ctx.directory
        trusted = None
        if self.config.trusted_documents:
            from covet_graphql._persisted import read_trusted

            trusted = read_trusted(ctx.directory / self.config.trusted_documents)
        ctx.compile(lambda serving: self._compile(serving, pipeline, trusted))
        ctx.serve(self._subscriptions.run)
        ctx.serve(self._events.run)
        yield
        self._events.close()

    def _compile(
        self, serving: Serving, pipeline: Pipeline, trusted: dict[str, str] | None
    ) -> None:
        endpoints = pipeline.compile(serving, GraphqlBinding, codec)
        if not endpoints and any(
            isinstance(each, GraphqlBinding)
            for operation in serving.operations
            for each in operation.bindings
        ):
            return  # what is wrong with the phase is said already
        self._endpoint.begin(partial(self._make, endpoints, pipeline, trusted))
        if self.config.build == "on start":
            self._endpoint.prepare()

    def _make(
        self,
        endpoints: tuple[Compiled[GraphqlBinding], ...],
        pipeline: Pipeline,
        trusted: dict[str, str] | None,
    ) -> Service:
        # The library takes longer to import than everything else in a small service.
        from covet_graphql._making import served
        from covet_graphql._service import Service

        made = served(endpoints, self.config, self._directory)
        return Service(made, pipeline, self.config, trusted)

    def covet_http_fixed(self) -> Iterable[http.Fixed]:
        """The files of the page."""
        if self.config.explorer:
            from covet_graphql._explorer import files

            yield from files(self.config)

    def covet_contract_documents(self) -> Iterable[ContractDocument]:
        """The schema, as ``schema.graphql``."""
        from covet_graphql._contract import render

        yield ContractDocument(kind="graphql", render=partial(render, config=self.config))

    def covet_operations(self) -> Iterable[Operation]:
        """What takes requests."""
        yield from self._endpoint.operations()
        if self.config.stream_path:
            yield from self._events.operations()
        if self.config.websocket:
            yield from self._sockets.operations()
