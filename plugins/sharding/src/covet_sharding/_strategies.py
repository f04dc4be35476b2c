"""From a key to its bucket, which is what a shard holds and what is moved."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from hashlib import sha256
from typing import Protocol

from covet_sharding._config import ShardingConfig
from covet_sharding._errors import ShardKeyError
from covet_sharding._keys import text_of
from covet_sharding._ranges import Bound

NUMBER = re.compile("-?[0-9]+")


class Strategy(Protocol):
    """How keys are spread.

    Attributes:
        description: What a map is for; a map of another one cannot be used.
        complete: Whether all buckets are known from the start.
    """

    @property
    def description(self) -> str: ...
    @property
    def complete(self) -> bool: ...

    def bucket(self, key: object) -> str:
        """The bucket of a key.

        Raises:
            ShardKeyError: It can be no key.
        """

    def first_map(self) -> dict[str, str]:
        """The shard of each bucket when nothing has been moved yet."""

    def narrowed(self, bucket: str, column: str) -> tuple[str, tuple[Bound, ...]]:
        """A condition that every row of the bucket meets, with its parameters; ``""`` if there is none."""


def hash_of(key: object) -> int:
    """The first four bytes of the SHA-256 of a key's text in UTF-8, as one number.

    Any language, and most databases, can do the same.
    """
    return int.from_bytes(sha256(text_of(key).encode()).digest()[:4])


class Hash:
    """Keys by their hash, modulo the number of buckets."""

    complete = True

    def __init__(self, buckets: int, shards: Sequence[str]) -> None:
        self._buckets = buckets
        self._shards = shards
        self._names = [str(number) for number in range(buckets)]
        self.description = f"hash {buckets}"

    def bucket(self, key: object) -> str:
        return self._names[hash_of(key) % self._buckets]

    def first_map(self) -> dict[str, str]:
        # Runs of neighbours: what is moved together then mostly comes from one shard.
        count = len(self._shards)
        return {
            name: self._shards[number * count // self._buckets]
            for number, name in enumerate(self._names)
        }

    def narrowed(self, bucket: str, column: str) -> tuple[str, tuple[Bound, ...]]:
        return "", ()


class Ranges:
    """Keys by the range they are in: numbers, or texts by their code points."""

    complete = True

    def __init__(
        self, ends: Sequence[tuple[Bound | None, Bound | None]], shards: Sequence[str]
    ) -> None:
        self._ends = ends
        self._shards = shards
        self._starts = [start for start, _ in ends if start is not None]
        self._numbers = not self._starts or isinstance(self._starts[0], int)
        self.description = f"range {self._starts!r}"

    def bucket(self, key: object) -> str:
        text = text_of(key)
        if not self._numbers:
            return str(bisect_right(self._starts, text))
        if not NUMBER.fullmatch(text):
            raise ShardKeyError("keys of these ranges are whole numbers")
        return str(bisect_right(self._starts, int(text)))

    def first_map(self) -> dict[str, str]:
        return {str(number): shard for number, shard in enumerate(self._shards)}

    def narrowed(self, bucket: str, column: str) -> tuple[str, tuple[Bound, ...]]:
        # Databases order texts each in their own way, numbers all in one.
        if not self._numbers:
            return "", ()
        start, end = self._ends[int(bucket)]
        found = [(f"{column} >= ?", start), (f"{column} < ?", end)]
        there = [(text, bound) for text, bound in found if bound is not None]
        return " AND ".join(text for text, _ in there), tuple(bound for _, bound in there)


class Directory:
    """Keys by an entry for each: a key is a bucket of its own."""

    complete = False
    description = "directory"

    def bucket(self, key: object) -> str:
        return text_of(key)

    def first_map(self) -> dict[str, str]:
        return {}

    def narrowed(self, bucket: str, column: str) -> tuple[str, tuple[Bound, ...]]:
        return "", ()


def strategy_of(config: ShardingConfig) -> Strategy:
    """The strategy that is configured."""
    match config.strategy:
        case "hash":
            return Hash(config.buckets, config.shards)
        case "range":
            return Ranges(
                [(each.start, each.end) for each in config.ranges],
                [each.shard for each in config.ranges],
            )
        case _:
            return Directory()
