"""What can be wrong with a key, or with a shard at this moment."""

from __future__ import annotations

from collections.abc import Mapping

from covet_kernel.contracts import SqlError


class ShardKeyError(SqlError):
    """There is no key to tell the shard by, or what is given can be none."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sqlstate="42000")


class ShardUnknownError(SqlError):
    """The directory has no entry for the key, or no range holds it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sqlstate="02000")


class CrossShardError(SqlError):
    """A transaction on one shard is open in this task, and a write on another was asked for."""

    def __init__(self, open: str, asked: str) -> None:
        super().__init__(
            f"a transaction on shard {open!r} is open in this task, and one commit cannot cover shard"
            f" {asked!r} as well: end it first, or do with eventual consistency",
            sqlstate="25000",
        )
        self.open = open
        self.asked = asked


class ShardMovingError(SqlError):
    """The key's rows are being moved, and stayed closed for longer than a write waits."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sqlstate="55006")


class GatherError(SqlError):
    """A query over all shards has no complete answer.

    Attributes:
        failed: What went wrong, by shard.
    """

    def __init__(self, message: str, failed: Mapping[str, Exception] | None = None) -> None:
        super().__init__(message)
        self.failed = dict(failed or {})


class GatherLimitError(GatherError):
    """The shards have more rows than a query over all of them may hold."""
