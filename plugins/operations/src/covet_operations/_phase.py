"""The life of one serving phase: app-scoped providers, open while calls may come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from covet_operations._providers import Provider, ProviderGraph, ProviderScope, Value


class Phase:
    """Opens app-scoped providers, counts who uses them, and closes them when nobody does.

    Attributes:
        values: What app-scoped providers made.
    """

    def __init__(self) -> None:
        self.values: dict[Provider, Any] = {}
        self._users = 0
        self._opened = anyio.Event()
        self._free = anyio.Event()
        self._scope: ProviderScope | None = None

    @asynccontextmanager
    async def open(
        self, providers: Sequence[Provider], graph: ProviderGraph, value: Value
    ) -> AsyncIterator[None]:
        """Open the providers; on leaving wait until nobody uses them, and close them in reverse."""
        async with ProviderScope(providers, graph, value) as scope:
            self._scope = scope
            self.values |= scope.values
            self._opened.set()
            yield
            while self._users:
                self._free = anyio.Event()
                await self._free.wait()

    @asynccontextmanager
    async def using(self) -> AsyncIterator[ProviderScope]:
        """Keep the providers open; waits until they are."""
        self._users += 1
        try:
            if self._scope is None:
                await self._opened.wait()
            assert self._scope is not None
            yield self._scope
        finally:
            self._users -= 1
            if not self._users:
                self._free.set()
