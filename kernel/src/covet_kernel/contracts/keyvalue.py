"""The key-value contract."""

from __future__ import annotations

from typing import Final, Protocol

from covet_kernel.contracts._capability import Capability


class KeyValueStore(Protocol):
    """Bytes by key, each with an optional time to live. Every method is atomic.

    Keys are at most 512 UTF-8 bytes; a value's limit is the store's configuration. Past a limit
    the store raises `StoreLimitError`; it never grows without bound. What a full store does
    (refuse or evict) is its configuration too.

    A time to live is a positive number of seconds, anything else a `ValueError`. A value stored
    without one stays.
    """

    async def get(self, key: str) -> bytes | None: ...

    async def set(
        self, key: str, value: bytes, *, ttl: float | None = None, only_if_absent: bool = False
    ) -> bool:
        """Store it; ``ttl`` in seconds. False if ``only_if_absent`` and the key is there."""

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes, *, ttl: float | None = None
    ) -> bool:
        """Store it only if the present value is ``expected`` (``None``: absent); whether it did."""

    async def increment(self, key: str, by: int = 1, *, ttl: float | None = None) -> int:
        """Add to a decimal counter, starting at 0; ``ttl`` counts only when it is created.

        Raises:
            ValueError: The value is no counter.
            StoreLimitError: The sum has more than 64 bits.
        """

    async def delete(self, key: str) -> bool:
        """Whether there was something to delete."""

    async def expire(self, key: str, ttl: float | None) -> bool:
        """Set or clear the time to live; whether the key is there."""


class StoreLimitError(Exception):
    """A key, a value or the whole store is over its limit."""


KEY_VALUE: Final = Capability[KeyValueStore]("keyvalue.store", plugins=("memory", "redis"))
"""The default key-value store."""
