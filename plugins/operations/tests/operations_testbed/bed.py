"""Puts the shop, its database and one transport together, without a kernel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
from operations_testbed import shop
from operations_testbed.asgi import Asgi
from operations_testbed.client import AbandoningClient
from operations_testbed.database import Database
from operations_testbed.flights import Flights
from operations_testbed.framed import Framed, FramedClient, codec, serve_frames
from operations_testbed.topic import Topics

from covet_kernel import Serving
from covet_kernel.contracts import (
    SQL,
    Binding,
    Call,
    Credentials,
    Layer,
    Operation,
    Phase,
    Principal,
)
from covet_operations import (
    OperationsConfig,
    Pipeline,
    RateLimited,
    Unauthenticated,
    operations_of,
)

TRANSPORTS = ("asgi", "topic", "framed")
TOKENS = {
    "ann": Principal(id="ann", permissions=frozenset({"orders:write", "books:write"})),
    "bob": Principal(id="bob"),
}


class Tokens:
    """Authenticates by a table of bearer tokens."""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        if credentials.scheme != "bearer":
            return None
        if credentials.value not in TOKENS:
            raise Unauthenticated("no such token")
        return TOKENS[credentials.value]


class Observe:
    """Writes down how every call ended."""

    name, phase = "observe", Phase.OBSERVE
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def __init__(self, log: list[str]) -> None:
        self._log = log

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        def begin(call: Call) -> None:
            self._log.append(f"begin {operation.name}")

        def end(call: Call, result: Any, error: BaseException | None) -> None:
            if isinstance(error, anyio.get_cancelled_exc_class()):
                self._log.append("end Cancelled")
            else:
                self._log.append(f"end {type(error).__name__}")

        return Layer(before=begin, after=end)


class Limit:
    """Refuses everything while it is closed."""

    name, phase = "limit", Phase.LIMIT
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    closed = False

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        def admit(call: Call) -> None:
            if self.closed:
                raise RateLimited("closed", retry_after=1.5)

        return Layer(before=admit)


def serving_of(
    operations: Iterable[Operation],
    provided: dict[Any, Any] | None = None,
    **declared: Sequence[Any],
) -> Serving:
    """A phase as the kernel makes it; ``declared`` is keyed by hook without ``covet_``."""
    declared = {"operations": tuple(operations), **declared}
    hooks = {
        f"covet_{name}": [("test", item) for item in items] for name, items in declared.items()
    }
    return Serving(1, lambda hook: hooks.get(hook, []), provided or {})


class Bed:
    def __init__(self, config: OperationsConfig) -> None:
        self.db = Database()
        self.probe = shop.Probe()
        self.limit = Limit()
        self.log = self.probe.log
        self.pipeline = Pipeline(config)
        self.serving = serving_of(
            operations_of(shop),
            {SQL: self.db, shop.PROBE: self.probe},
            authenticators=[Tokens()],
            interceptors=[Observe(self.log), self.limit],
            permissions=["orders:write", "books:write"],
        )
        self.pipeline.assemble(self.serving)
        self.client: AbandoningClient

    async def stock(self, book: int) -> int:
        return int(await self.db.fetch_value("select stock from books where id = ?", [book]))


@asynccontextmanager
async def bed(transport: str, **options: Any) -> AsyncIterator[Bed]:
    """The shop behind one transport; ``options`` go to `OperationsConfig`."""
    made = Bed(OperationsConfig(**options))
    try:
        async with made.pipeline.phase(made.serving), anyio.create_task_group() as tasks:
            async with _client(transport, made, tasks) as made.client:
                yield made
            tasks.cancel_scope.cancel()
    finally:
        made.db.close()


@asynccontextmanager
async def _client(transport: str, made: Bed, tasks: Any) -> AsyncIterator[AbandoningClient]:
    if transport == "asgi":
        yield Asgi(made.pipeline, made.serving)
    elif transport == "topic":
        topics = Topics(made.pipeline, made.serving, tasks)
        yield topics
        tasks.cancel_scope.cancel()
        topics.close()
    else:
        endpoints = made.pipeline.compile(made.serving, Framed, codec)
        flights = Flights()
        flights.begin({each.binding.address: each for each in endpoints})
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener:
            tasks.start_soon(listener.serve, partial(serve_frames, flights))
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                client = FramedClient(stream)
                tasks.start_soon(client.read)
                yield client
                tasks.cancel_scope.cancel()
