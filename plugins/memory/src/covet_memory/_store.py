"""The key-value store."""

from __future__ import annotations

import re
from collections import OrderedDict
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

import anyio

from covet_kernel.contracts import StoreLimitError
from covet_memory._config import StoreConfig

KEY_BYTES = 512
OVERHEAD = 128
"""About what an entry costs beyond its key and value, in bytes."""
COUNTER = re.compile(rb"-?[0-9]{1,19}")
COUNTER_MAX = (1 << 63) - 1
PURGE = 8
"""Expired entries removed along with each write: more than a write adds, so they never pile up."""


class Entry:
    """A value, until when (``inf`` for ever), and what it weighs."""

    __slots__ = ("expires", "size", "value")

    def __init__(self, value: bytes, expires: float, size: int) -> None:
        self.value = value
        self.expires = expires
        self.size = size


class MemoryStore:
    """A `KeyValueStore` in this process.

    Methods never suspend, which makes each atomic. Times to live run on the event loop's clock:
    an expired entry is gone for every reader at once, and is removed when met, or a few with each
    write; there is no timer.

    Attributes:
        evicted: Entries dropped to make room.
        expired: Entries removed after their time to live.
        refused: Writes refused for a limit.
    """

    def __init__(self, config: StoreConfig | None = None) -> None:
        self._config = config or StoreConfig()
        self._entries: OrderedDict[str, Entry] = OrderedDict()  # least recently used first
        self._expiries: list[tuple[float, int, str]] = []  # a heap; stale where the entry differs
        self._tie = count()
        self._bytes = 0
        self.evicted = 0
        self.expired = 0
        self.refused = 0

    @property
    def entries(self) -> int:
        """How many there are, with expired ones nobody has met yet."""
        return len(self._entries)

    @property
    def size(self) -> int:
        """What they weigh, in bytes."""
        return self._bytes

    async def get(self, key: str) -> bytes | None:
        self._key_size(key)
        entry = self._live(key)
        return entry.value if entry else None

    async def set(
        self, key: str, value: bytes, *, ttl: float | None = None, only_if_absent: bool = False
    ) -> bool:
        expires = _expiry(ttl)
        size = self._size(key, value)
        if only_if_absent and self._live(key):
            return False
        self._put(key, value, expires, size)
        return True

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes, *, ttl: float | None = None
    ) -> bool:
        expires = _expiry(ttl)
        size = self._size(key, value)
        entry = self._live(key)
        if (entry.value if entry else None) != expected:
            return False
        self._put(key, value, expires, size)
        return True

    async def increment(self, key: str, by: int = 1, *, ttl: float | None = None) -> int:
        expires = _expiry(ttl)
        self._key_size(key)
        entry = self._live(key)
        if entry is None:
            number = by
        elif COUNTER.fullmatch(entry.value):
            number, expires = int(entry.value) + by, entry.expires
        else:
            raise ValueError(f"the value of {key!r} is not a decimal counter")
        if abs(number) > COUNTER_MAX:
            raise self._refusal(f"the counter {key!r} would leave 64 bits")
        value = b"%d" % number
        self._put(key, value, expires, self._size(key, value))
        return number

    async def delete(self, key: str) -> bool:
        self._key_size(key)
        if self._live(key) is None:
            return False
        self._drop(key)
        return True

    async def expire(self, key: str, ttl: float | None) -> bool:
        expires = _expiry(ttl)
        self._key_size(key)
        entry = self._live(key)
        if entry is None:
            return False
        self._expire_at(key, entry, expires)
        return True

    def _refusal(self, problem: str) -> StoreLimitError:
        self.refused += 1
        return StoreLimitError(problem)

    def _key_size(self, key: str) -> int:
        # UTF-8 never takes more than three bytes for one of Python's two-byte characters.
        size = len(key) if key.isascii() else len(key.encode())
        if size > KEY_BYTES:
            raise self._refusal(f"a key has at most {KEY_BYTES} bytes, this one {size}")
        return size

    def _size(self, key: str, value: bytes) -> int:
        if not isinstance(value, bytes):
            raise TypeError(f"a value is bytes, not {type(value).__name__}")
        if len(value) > self._config.value_bytes:
            raise self._refusal(
                f"a value has at most {self._config.value_bytes} bytes, this one {len(value)}"
            )
        size = self._key_size(key) + len(value) + OVERHEAD
        if size > self._config.bytes:
            raise self._refusal("the entry is larger than the whole store may be")
        return size

    def _live(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires <= anyio.current_time():
            self._drop(key)
            self.expired += 1
            return None
        self._entries.move_to_end(key)
        return entry

    def _drop(self, key: str) -> None:
        self._bytes -= self._entries.pop(key).size

    def _purge(self, most: int | None = None) -> None:
        now, removed = anyio.current_time(), 0
        while self._expiries and self._expiries[0][0] <= now and removed != most:
            expires, _, key = heappop(self._expiries)
            entry = self._entries.get(key)
            if entry is not None and entry.expires == expires:
                self._drop(key)
                self.expired += 1
            removed += 1

    def _put(self, key: str, value: bytes, expires: float, size: int) -> None:
        self._purge(PURGE)
        old = self._entries.get(key)
        if not self._fits(old, size):
            self._purge()
            old = self._entries.get(key)
            self._make_room(key, old, size)
        if old is None:
            old = self._entries[key] = Entry(value, inf, 0)
        self._bytes += size - old.size
        old.value, old.size = value, size
        self._entries.move_to_end(key)
        self._expire_at(key, old, expires)

    def _fits(self, old: Entry | None, size: int) -> bool:
        return (
            self._bytes - (old.size if old else 0) + size <= self._config.bytes
            and len(self._entries) + (old is None) <= self._config.entries
        )

    def _make_room(self, key: str, old: Entry | None, size: int) -> None:
        if old is not None:
            self._entries.move_to_end(key)  # it is not evicted for its own sake
        while not self._fits(old, size):
            if self._config.when_full == "refuse":
                raise self._refusal(
                    f"the store is full: {len(self._entries)} entries, {self._bytes} bytes"
                )
            self._drop(next(iter(self._entries)))
            self.evicted += 1

    def _expire_at(self, key: str, entry: Entry, expires: float) -> None:
        if entry.expires == expires:
            return
        entry.expires = expires
        if expires == inf:
            return
        heappush(self._expiries, (expires, next(self._tie), key))
        if len(self._expiries) > 2 * len(self._entries) + 64:
            self._expiries = [
                (entry.expires, next(self._tie), key)
                for key, entry in self._entries.items()
                if entry.expires != inf
            ]
            heapify(self._expiries)


def _expiry(ttl: float | None) -> float:
    if ttl is None:
        return inf
    if not ttl > 0:
        raise ValueError(f"a time to live is a positive number of seconds, not {ttl}")
    return anyio.current_time() + ttl
