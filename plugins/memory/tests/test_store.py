"""The store where it differs from others: its limits, its clock, its refusals."""

from __future__ import annotations

from typing import Any

import pytest

from covet_kernel import flatten
from covet_kernel.contracts import BROKER, KEY_VALUE, StoreLimitError
from covet_kernel.testing import run_kernel
from covet_memory import Memory, MemoryStore, StoreConfig


async def test_ten_million_keys_would_find_a_bound() -> None:
    # bad input 71: keys built from unbounded input
    store = MemoryStore(StoreConfig(entries=1000, when_full="evict"))
    for number in range(20_000):
        await store.increment(f"limit:{number}", ttl=60.0)
    assert store.entries == 1000
    assert store.evicted == 19_000
    assert len(store._expiries) <= 2064
    assert await store.get("limit:19999") == b"1"
    assert await store.get("limit:0") is None


async def test_a_full_store_refuses_and_keeps_what_it_has() -> None:
    store = MemoryStore(StoreConfig(entries=2))
    await store.set("a", b"1")
    await store.set("b", b"1")
    for use in (
        lambda: store.set("c", b"1"),
        lambda: store.increment("c"),
        lambda: store.compare_and_set("c", None, b"1"),
    ):
        with pytest.raises(StoreLimitError, match="full"):
            await use()
    assert store.refused == 3
    assert await store.set("a", b"2") is True
    assert await store.delete("b") is True
    assert await store.set("c", b"1") is True


async def test_what_has_expired_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("anyio.current_time", lambda: now)
    store = MemoryStore(StoreConfig(entries=100))
    for number in range(100):
        await store.set(f"{number}", b"1", ttl=1.0 + number)
    now = 50.0
    for number in range(50):
        await store.set(f"new {number}", b"1")
    assert store.expired == 50
    with pytest.raises(StoreLimitError):
        await store.set("one more", b"1")
    assert await store.get("50") == b"1"


async def test_the_least_recently_used_goes_first() -> None:
    store = MemoryStore(StoreConfig(entries=3, when_full="evict"))
    for key in "abc":
        await store.set(key, b"1")
    await store.get("a")
    await store.set("d", b"1")
    assert [await store.get(key) for key in "abcd"] == [b"1", None, b"1", b"1"]


@pytest.mark.parametrize("ttl", [0, -1.0, float("nan")])
async def test_a_time_to_live_is_positive(ttl: float) -> None:
    store = MemoryStore()
    for use in (
        lambda: store.set("a", b"1", ttl=ttl),
        lambda: store.compare_and_set("a", None, b"1", ttl=ttl),
        lambda: store.increment("a", ttl=ttl),
        lambda: store.expire("a", ttl),
    ):
        with pytest.raises(ValueError, match="time to live"):
            await use()
    assert store.entries == 0


@pytest.mark.parametrize("value", ["text", None, 1, bytearray(b"1")])
async def test_a_value_is_bytes(value: Any) -> None:
    store = MemoryStore()
    with pytest.raises(TypeError):
        await store.set("a", value)
    assert store.entries == 0


@pytest.mark.parametrize("value", [b"", b"x", b"1.5", b"+1", b" 1", b"1\n", b"9" * 30])
async def test_only_counters_are_counted(value: bytes) -> None:
    # bad input 41: a number of any length costs no more than any other value
    store = MemoryStore()
    await store.set("a", value)
    with pytest.raises(ValueError, match="counter"):
        await store.increment("a")
    assert await store.get("a") == value


async def test_a_counter_stays_within_64_bits() -> None:
    store = MemoryStore()
    await store.increment("a", 2**63 - 1)
    with pytest.raises(StoreLimitError):
        await store.increment("a")
    assert await store.get("a") == b"%d" % (2**63 - 1)
    with pytest.raises(StoreLimitError):
        await store.increment("b", 10**5000)
    assert await store.get("b") is None


async def test_in_a_kernel_it_provides_both_and_ends_with_it() -> None:
    config = {"memory": {"store": {"entries": 1}, "broker": {"attempts": 1}}}
    async with run_kernel({"memory": Memory}, config) as kernel:
        store, broker = kernel.require(KEY_VALUE), kernel.require(BROKER)
        await store.set("a", b"1")
        with pytest.raises(StoreLimitError):
            await store.set("b", b"1")
        await broker.publish("t", b"1")
    with pytest.raises(RuntimeError, match="closed"):
        await broker.publish("t", b"1")


async def test_wrong_limits_are_refused_together() -> None:
    wrong = {
        "store": {"entries": 0, "value_bytes": 100, "bytes": 50, "when_full": "grow"},
        "broker": {"attempts": -1, "retention": 0, "colour": 1},
    }
    with pytest.raises(BaseExceptionGroup) as caught:
        async with run_kernel({"memory": Memory}, {"memory": wrong}):
            pass
    errors = "\n".join(map(str, flatten(caught.value)))
    assert all(key in errors for key in ("entries", "when_full", "attempts", "retention", "colour"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"store": {"value_bytes": 100, "bytes": 50}},
        {"broker": {"message_bytes": 100, "bytes": 50}},
    ],
)
async def test_the_largest_one_has_to_fit(wrong: dict[str, Any]) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with run_kernel({"memory": Memory}, {"memory": wrong}):
            pass
    assert "cannot be larger than bytes" in str(flatten(caught.value)[0])
