"""Bounded in-process providers of the `KeyValueStore` and `Broker` contracts."""

from covet_memory._broker import MemoryBroker
from covet_memory._config import BrokerConfig, MemoryConfig, StoreConfig
from covet_memory._plugin import Memory
from covet_memory._store import MemoryStore

__all__ = ["BrokerConfig", "Memory", "MemoryBroker", "MemoryConfig", "MemoryStore", "StoreConfig"]
