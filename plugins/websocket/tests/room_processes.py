"""Processes that share rooms over one broker, into which faults can be put."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from room_members import Connection, Plain, broadcast

from covet_kernel.contracts import Message
from covet_memory import MemoryBroker
from covet_websocket._rooms import Rooms, RoomsConfig

JSON = Plain()


class Faulty:
    """A broker that can be made to fail.

    Attributes:
        fails: What publishing and subscribing raise.
        twice: Whether everything is delivered twice.
        loses: Says of which bodies the acceptance gets lost, though they are delivered.
        stuck: Whether publishing never returns.
        subscriptions: How many there are.
    """

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self.fails: BaseException | None = None
        self.twice = False
        self.loses: Callable[[bytes], bool] = lambda body: False
        self.stuck = False
        self.subscriptions = 0
        self._scopes: list[anyio.CancelScope] = []

    async def publish(
        self,
        topic: str,
        body: bytes,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if self.stuck:
            await anyio.sleep_forever()
        if self.fails is not None:
            raise self.fails
        await self._broker.publish(topic, body, key=key, headers=headers)
        if self.twice:
            await self._broker.publish(topic, body, key=key, headers=headers)
        if self.loses(body):
            raise ConnectionError("no answer")

    @asynccontextmanager
    async def subscribe(
        self, topic: str, *, group: str | None = None
    ) -> AsyncIterator[AsyncIterator[Message]]:
        if self.fails is not None:
            raise self.fails
        async with self._broker.subscribe(topic, group=group) as messages:
            self.subscriptions += 1
            try:
                yield self._until_cut(messages)
            finally:
                self.subscriptions -= 1

    async def _until_cut(self, messages: AsyncIterator[Message]) -> Any:
        while True:
            with anyio.CancelScope() as scope:
                self._scopes.append(scope)
                message = await anext(messages)
            self._scopes.remove(scope)
            if scope.cancelled_caught:
                raise ConnectionError("cut")
            yield message

    def cut(self, error: BaseException) -> None:
        """Break all subscriptions, and what comes after."""
        self.fails = error
        for each in self._scopes:
            each.cancel()


@asynccontextmanager
async def hub(broker: Any, **config: Any) -> AsyncIterator[Rooms]:
    config = {
        "presence_interval": 0.001,
        "retry": 0.01,
        "retry_most": 0.02,
        "sync_timeout": 0.01,
        **config,
    }
    async with Rooms(RoomsConfig(**config), broker=broker, broadcast=broadcast).running() as rooms:
        yield rooms


# One that is not the first waits for the first, however long that takes.
PATIENT = {"sync_timeout": 60.0}


async def until(met: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not met():
            await anyio.sleep(0.002)


async def settle(rooms: Rooms, name: str = "lobby") -> None:
    """Until this process knows what was said before."""
    span = rooms._opened[name].span
    assert span is not None
    await until(lambda: span.settled.is_set() and span._held is None)


@asynccontextmanager
async def two(**config: Any) -> AsyncIterator[tuple[Faulty, Rooms, Connection, Rooms, Connection]]:
    """Two processes with a member each in one room."""
    one, other = Faulty(broker := MemoryBroker()), Faulty(broker)
    here, there = Connection(), Connection()
    async with (
        hub(one, **config) as first,
        hub(other, **PATIENT, **config) as second,
        first.join(here, "lobby", encoding=JSON, presence=True),
    ):
        await settle(first)
        async with second.join(there, "lobby", encoding=JSON, presence=True):
            await settle(second)
            yield one, first, here, second, there
