"""Both contracts, as every other provider of them has to keep them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from covet_conformance import BrokerSuite, KeyValueStoreSuite
from covet_kernel.contracts import Broker, KeyValueStore
from covet_memory import BrokerConfig, MemoryBroker, MemoryStore, StoreConfig


class TestMemoryStore(KeyValueStoreSuite):
    value_bytes = 2000

    @asynccontextmanager
    async def open(self) -> AsyncIterator[KeyValueStore]:
        yield MemoryStore(StoreConfig(value_bytes=2000))


class TestEvictingStore(TestMemoryStore):
    @asynccontextmanager
    async def open(self) -> AsyncIterator[KeyValueStore]:
        yield MemoryStore(StoreConfig(value_bytes=2000, when_full="evict"))


class TestMemoryBroker(BrokerSuite):
    @asynccontextmanager
    async def open(self) -> AsyncIterator[Broker]:
        broker = MemoryBroker(
            BrokerConfig(
                messages=self.capacity,
                message_bytes=self.message_bytes,
                attempts=self.attempts,
            )
        )
        yield broker
        broker.close()
