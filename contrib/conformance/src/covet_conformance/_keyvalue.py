"""What every `KeyValueStore` has to pass."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import anyio
import anyio.lowlevel
import pytest

from covet_conformance._waiting import cancelled_everywhere
from covet_kernel.contracts import KeyValueStore, StoreLimitError

LONG = 600.0
PATIENCE = 10.0


class KeyValueStoreSuite:
    """Subclass it as ``Test...`` and implement `open`.

    Attributes:
        value_bytes: The limit of one value that `open` configures.
        short: Seconds; a time to live short enough to wait for, long enough to be met before.
    """

    value_bytes: int = 1 << 20
    short: float = 0.05

    def open(self) -> AbstractAsyncContextManager[KeyValueStore]:
        """An empty store for one test, closed after the block."""
        raise NotImplementedError

    async def expired(self) -> None:
        """Wait until what was stored with the short time to live is gone."""
        await anyio.sleep(2 * self.short)

    async def test_what_was_stored_is_there(self) -> None:
        async with self.open() as store:
            assert await store.get("a") is None
            for value in (b"1", b"", b"\x00\xff\n", b"x" * 1000):
                assert await store.set("a", value) is True
                assert await store.get("a") == value
            assert await store.get("b") is None

    async def test_keys_are_any_text(self) -> None:
        keys = ["a", "A", "a b", "a\nb", "a:b*?[c]", "\u00e9", "e\u0301", "\U0001f4da", "-1", ""]
        async with self.open() as store:
            for number, key in enumerate(keys):
                await store.set(key, b"%d" % number)
            assert [await store.get(key) for key in keys] == [b"%d" % n for n in range(len(keys))]

    async def test_a_time_to_live_ends(self) -> None:
        async with self.open() as store:
            await store.set("short", b"1", ttl=self.short)
            await store.set("long", b"1", ttl=LONG)
            await store.set("ever", b"1")
            assert await store.get("long") == b"1"
            await self.expired()
            assert await store.get("short") is None
            assert await store.delete("short") is False
            assert await store.get("long") == b"1"
            assert await store.get("ever") == b"1"

    async def test_storing_again_replaces_the_time_to_live(self) -> None:
        async with self.open() as store:
            await store.set("a", b"1", ttl=self.short)
            await store.set("a", b"2")
            await store.set("b", b"1", ttl=LONG)
            await store.set("b", b"2", ttl=self.short)
            await self.expired()
            assert await store.get("a") == b"2"
            assert await store.get("b") is None

    async def test_only_if_absent(self) -> None:
        async with self.open() as store:
            assert await store.set("a", b"1", only_if_absent=True) is True
            assert await store.set("a", b"2", only_if_absent=True) is False
            assert await store.get("a") == b"1"

    async def test_an_expired_key_is_absent(self) -> None:
        async with self.open() as store:
            for key in ("set", "swap", "count"):
                await store.set(key, b"5", ttl=self.short)
            await self.expired()
            assert await store.set("set", b"2", only_if_absent=True) is True
            assert await store.compare_and_set("swap", None, b"2") is True
            assert await store.increment("count") == 1
            assert await store.expire("gone", LONG) is False

    async def test_refused_writes_leave_the_time_to_live(self) -> None:
        async with self.open() as store:
            await store.set("a", b"1", ttl=self.short)
            assert await store.set("a", b"2", ttl=LONG, only_if_absent=True) is False
            assert await store.compare_and_set("a", b"x", b"2", ttl=LONG) is False
            await self.expired()
            assert await store.get("a") is None

    async def test_compare_and_set(self) -> None:
        async with self.open() as store:
            assert await store.compare_and_set("a", b"1", b"2") is False
            assert await store.get("a") is None
            assert await store.compare_and_set("a", None, b"1") is True
            assert await store.compare_and_set("a", None, b"2") is False
            assert await store.compare_and_set("a", b"0", b"2") is False
            assert await store.get("a") == b"1"
            assert await store.compare_and_set("a", b"1", b"2", ttl=self.short) is True
            assert await store.get("a") == b"2"
            await self.expired()
            assert await store.get("a") is None

    async def test_an_empty_value_is_not_an_absent_one(self) -> None:
        async with self.open() as store:
            assert await store.compare_and_set("a", b"", b"1") is False
            await store.set("a", b"")
            assert await store.compare_and_set("a", None, b"1") is False
            assert await store.compare_and_set("a", b"", b"1") is True

    async def test_counters(self) -> None:
        async with self.open() as store:
            assert await store.increment("a") == 1
            assert await store.increment("a", 41) == 42
            assert await store.get("a") == b"42"
            assert await store.increment("a", -50) == -8
            assert await store.increment("b", 0) == 0
            await store.set("c", b"7")
            assert await store.increment("c") == 8

    async def test_a_counters_time_to_live_counts_from_its_creation(self) -> None:
        async with self.open() as store:
            await store.increment("a", ttl=self.short)
            await store.increment("a", ttl=LONG)
            await store.increment("b", ttl=LONG)
            await store.increment("b", ttl=self.short)
            await store.set("c", b"1")
            await store.increment("c", ttl=self.short)
            await self.expired()
            assert await store.get("a") is None
            assert await store.get("b") == b"2"
            assert await store.get("c") == b"2"

    async def test_delete(self) -> None:
        async with self.open() as store:
            assert await store.delete("a") is False
            await store.set("a", b"1")
            assert await store.delete("a") is True
            assert await store.get("a") is None
            assert await store.delete("a") is False

    async def test_expire_sets_and_clears(self) -> None:
        async with self.open() as store:
            assert await store.expire("a", LONG) is False
            await store.set("a", b"1")
            assert await store.expire("a", self.short) is True
            await store.set("b", b"1", ttl=self.short)
            assert await store.expire("b", None) is True
            assert await store.get("a") == b"1"
            await self.expired()
            assert await store.get("a") is None
            assert await store.get("b") == b"1"

    @pytest.mark.parametrize(
        "key", ["k" * 513, "\u20ac" * 171, "\U0001f4da" * 129], ids=["ascii", "three", "four"]
    )
    async def test_a_key_over_512_bytes_is_refused(self, key: str) -> None:
        async with self.open() as store:
            for use in (
                lambda: store.get(key),
                lambda: store.set(key, b"1"),
                lambda: store.compare_and_set(key, None, b"1"),
                lambda: store.increment(key),
                lambda: store.delete(key),
                lambda: store.expire(key, 1.0),
            ):
                with pytest.raises(StoreLimitError):
                    await use()

    async def test_a_key_of_512_bytes_is_not(self) -> None:
        async with self.open() as store:
            for key in ("k" * 512, "\u20ac" * 170 + "kk", "\U0001f4da" * 128):
                await store.set(key, key.encode())
                assert await store.get(key) == key.encode()

    async def test_a_value_over_the_limit_is_refused_and_changes_nothing(self) -> None:
        async with self.open() as store:
            assert await store.set("a", b"v" * self.value_bytes) is True
            assert len(await store.get("a") or b"") == self.value_bytes
            await store.set("a", b"1")
            with pytest.raises(StoreLimitError):
                await store.set("a", b"v" * (self.value_bytes + 1))
            with pytest.raises(StoreLimitError):
                await store.compare_and_set("a", b"1", b"v" * (self.value_bytes + 1))
            assert await store.get("a") == b"1"

    async def test_concurrent_increments_are_all_counted(self) -> None:
        async with self.open() as store:

            async def count() -> None:
                for _ in range(20):
                    await store.increment("a")
                    await anyio.lowlevel.checkpoint()

            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(count)
            assert await store.get("a") == b"400"

    async def test_one_of_many_wins(self) -> None:
        async with self.open() as store:
            absent: list[bool] = []
            swapped: list[bool] = []
            await store.set("swap", b"0")

            async def race(number: int) -> None:
                absent.append(await store.set("lock", b"%d" % number, only_if_absent=True))
                swapped.append(await store.compare_and_set("swap", b"0", b"%d" % number))

            async with anyio.create_task_group() as tasks:
                for number in range(1, 21):
                    tasks.start_soon(race, number)
            assert sum(absent) == 1
            assert sum(swapped) == 1

    async def test_a_cancelled_call_happened_or_did_not(self) -> None:
        async with self.open() as store:
            await store.set("pair", b"old")

            async def scenario() -> None:
                await store.set("pair", b"new", ttl=LONG)
                await store.increment("count")

            async def check() -> None:
                assert await store.get("pair") in (b"old", b"new")
                before = int(await store.get("count") or b"0")
                assert await store.increment("count") == before + 1
                await store.set("pair", b"old")
                assert await store.get("pair") == b"old"

            await cancelled_everywhere(scenario, check, PATIENCE)
