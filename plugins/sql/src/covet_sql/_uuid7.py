"""Ids that no database has to hand out: UUIDs of version 7, which sort by when they were made."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from uuid import UUID

_TAIL_BITS = 74
"""`rand_a` and `rand_b` of RFC 9562 together; here they are one number that counts up."""
_TAIL_LIMIT = 1 << _TAIL_BITS
_LOW_BITS = 62
_LAST_MOMENT = (1 << 48) - 1
_VERSION_AND_VARIANT = 7 << 76 | 2 << 62


class Uuid7Generator:
    """Makes UUIDs of version 7, RFC 9562 section 5.7, each greater than the one before.

    48 bits are the time in milliseconds. The other 74 are random when the time has moved, and grow by
    a random step of 1 to 2^32 while it has not (method 2 of section 6.2), so an id says nothing of the
    next one, and processes that share a millisecond do not meet. A clock that is set back does not
    take ids back: they go on from the last time that was seen. Threads may share a generator, and a
    process that is forked goes on with random bits of its own.

    Args:
        clock: Nanoseconds since 1970, as `time.time_ns` tells them.
        entropy: So many random bytes. With less than the system's randomness ids can be guessed,
            and processes may make the same ones; a test can make them reproducible.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], int] = time.time_ns,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._clock = clock
        self._entropy = entropy
        self._lock = threading.Lock()
        self._moment = -1
        self._tail = 0

    def __call__(self) -> UUID:
        """The next id.

        Raises:
            OverflowError: The clock stands outside of the years 1970 to 10889, which is what fits.
        """
        with self._lock:
            now = self._clock() // 1_000_000
            if now > self._moment:
                # The highest bit stays clear: that many ids of one moment always fit.
                moment, tail = now, int.from_bytes(self._entropy(10)) >> 7
            else:
                moment = self._moment
                tail = self._tail + 1 + int.from_bytes(self._entropy(4))
                if tail >= _TAIL_LIMIT:
                    moment, tail = moment + 1, tail - _TAIL_LIMIT
            if not 0 <= moment <= _LAST_MOMENT:
                raise OverflowError(f"a UUID of version 7 has no room for the time {now} ms")
            self._moment, self._tail = moment, tail
        high, low = tail >> _LOW_BITS, tail & ((1 << _LOW_BITS) - 1)
        return UUID(int=moment << 80 | _VERSION_AND_VARIANT | high << 64 | low)

    def forget(self) -> None:
        """Begin anew, with random bits that no copy of this generator has.

        The lock is a new one as well: in a process that is forked, a thread that is not there any
        more may have held it.
        """
        self._lock = threading.Lock()
        self._moment = -1


_PROCESS = Uuid7Generator()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_PROCESS.forget)


def uuid7() -> UUID:
    """A new id, greater than every one that this process has made before.

    Nobody has to be asked for it, so shards, processes and clients make ids by themselves, and rows
    that are made one after the other lie beside each other in an index. It tells when it was made,
    to a millisecond: where that is a secret, use `uuid.uuid4`.
    """
    # Not the standard library's, which came with Python 3.14: on every version that covet supports ids
    # are made in the same way, with steps that cannot be guessed.
    return _PROCESS()
