"""The calls of a transport that are in flight, and those that wait for the next phase."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import anyio

from covet_kernel import Serving
from covet_kernel.contracts import Call
from covet_operations import Endpoint

Endpoints: TypeAlias = Mapping[str, Endpoint[Any]]
LAST_WORDS = 1.0


class Flights:
    """Lets calls in while a phase serves and counts them; newcomers wait for the next phase."""

    def __init__(self) -> None:
        self._endpoints: Endpoints | None = None
        self._opened = anyio.Event()
        self._inside = 0
        self._landed = anyio.Event()
        self._calls: set[Call] = set()

    def begin(self, endpoints: Endpoints) -> None:
        """Let calls in; ``endpoints`` by address."""
        self._endpoints = endpoints
        self._opened.set()

    async def end(self) -> None:
        """Let nobody in any more; returns when everybody is answered."""
        self._endpoints, self._opened = None, anyio.Event()
        while self._inside:
            self._landed = anyio.Event()
            await self._landed.wait()

    async def serve(self, serving: Serving, endpoints: Endpoints) -> None:
        """One phase. Past the drain deadline calls are told to stop, and get to say so."""
        self.begin(endpoints)
        await serving.draining.wait()
        try:
            await self.end()
        except anyio.get_cancelled_exc_class():
            for call in self._calls:
                call.cancel("shutdown")
            with anyio.move_on_after(LAST_WORDS, shield=True):
                await self.end()
            raise

    @asynccontextmanager
    async def inside(self) -> AsyncIterator[Endpoints]:
        """Around a call and its answer: the endpoints of the phase it runs in."""
        while (endpoints := self._endpoints) is None:
            await self._opened.wait()
        self._inside += 1
        try:
            yield endpoints
        finally:
            self._inside -= 1
            if not self._inside:
                self._landed.set()

    async def run(self, endpoint: Endpoint[Any], call: Call) -> Any:
        """`Endpoint.run` of a call that is inside."""
        self._calls.add(call)
        try:
            return await endpoint.run(call)
        finally:
            self._calls.discard(call)
