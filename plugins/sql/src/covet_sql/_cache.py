"""Compiled statements, the least recently used of which leave first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class LruCache(Generic[T]):
    """At most ``limit`` entries.

    Attributes:
        limit: How many there may be; a smaller one counts from the next entry on.
        hits: Lookups that found something.
        misses: Lookups that did not.
        evicted: Entries that left to make room.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.hits = self.misses = self.evicted = 0
        self._entries: OrderedDict[Hashable, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> T | None:
        """What is kept under a key, which is the last to leave from now on."""
        entry = self._entries.get(key)
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        try:
            self._entries.move_to_end(key)
        except KeyError:  # another thread's entry has pushed it out meanwhile
            self._entries[key] = entry
        return entry

    def put(self, key: Hashable, entry: T) -> None:
        """Keep an entry."""
        self._entries[key] = entry
        while len(self._entries) > self.limit:
            self._entries.popitem(last=False)
            self.evicted += 1

    def clear(self) -> None:
        """Forget every entry; the counts stay."""
        self._entries.clear()


STATEMENTS: LruCache[object] = LruCache(1000)
"""The compiled statements of this process: what a statement compiles to depends on nothing else."""
