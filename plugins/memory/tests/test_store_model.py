"""The store against the simplest model of it: a dict with expiry times."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from covet_kernel.contracts import StoreLimitError
from covet_memory import MemoryStore, StoreConfig
from covet_memory._store import OVERHEAD

T = TypeVar("T")
KEYS = st.sampled_from(["a", "b", "c", "d", "e", "é", "k" * 30])
VALUES = st.one_of(st.binary(max_size=30), st.integers(-5, 5).map(lambda n: b"%d" % n))
TTLS = st.one_of(st.none(), st.integers(1, 20).map(float))
CLOCK = {"now": 0.0}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anyio.current_time", lambda: CLOCK["now"])


def done(call: Coroutine[Any, Any, T]) -> T:
    """Its result; it must not suspend."""
    try:
        call.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    raise AssertionError("it suspended")


class StoreMachine(RuleBasedStateMachine):
    @initialize(entries=st.integers(1, 6), room=st.integers(200, 1200), evict=st.booleans())
    def make(self, entries: int, room: int, evict: bool) -> None:
        self.config = StoreConfig(
            entries=entries,
            bytes=room,
            value_bytes=25,
            when_full="evict" if evict else "refuse",
        )
        self.store = MemoryStore(self.config)
        self.model: dict[str, tuple[bytes, float]] = {}  # least recently used first

    def live(self) -> dict[str, tuple[bytes, float]]:
        for key in [key for key, (_, end) in self.model.items() if end <= CLOCK["now"]]:
            del self.model[key]
        return self.model

    def touch(self, key: str) -> bytes | None:
        if key not in self.live():
            return None
        self.model[key] = self.model.pop(key)
        return self.model[key][0]

    def weight(self, model: dict[str, tuple[bytes, float]]) -> int:
        return sum(len(key.encode()) + len(value) + OVERHEAD for key, (value, _) in model.items())

    def put(self, key: str, value: bytes, end: float) -> bool:
        """Whether the model has room for it; makes it, if that is the policy."""
        after = {**self.live()}
        after.pop(key, None)
        after[key] = (value, end)
        if len(value) > 25 or self.weight({key: (value, end)}) > self.config.bytes:
            return False
        while len(after) > self.config.entries or self.weight(after) > self.config.bytes:
            if self.config.when_full == "refuse":
                return False
            del after[next(iter(after))]
        self.model = after
        return True

    def end(self, ttl: float | None) -> float:
        return float("inf") if ttl is None else CLOCK["now"] + ttl

    @rule(seconds=st.integers(0, 15))
    def wait(self, seconds: int) -> None:
        CLOCK["now"] += seconds

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        assert done(self.store.get(key)) == self.touch(key)

    @rule(key=KEYS, value=VALUES, ttl=TTLS)
    def set(self, key: str, value: bytes, ttl: float | None) -> None:
        if self.put(key, value, self.end(ttl)):
            assert done(self.store.set(key, value, ttl=ttl)) is True
        else:
            with pytest.raises(StoreLimitError):
                done(self.store.set(key, value, ttl=ttl))

    @rule(key=KEYS, value=VALUES, ttl=TTLS)
    def set_if_absent(self, key: str, value: bytes, ttl: float | None) -> None:
        fits = len(value) <= 25 and self.weight({key: (value, 0)}) <= self.config.bytes
        if fits and self.touch(key) is not None:
            assert done(self.store.set(key, value, ttl=ttl, only_if_absent=True)) is False
        elif self.put(key, value, self.end(ttl)):
            assert done(self.store.set(key, value, ttl=ttl, only_if_absent=True)) is True
        else:
            with pytest.raises(StoreLimitError):
                done(self.store.set(key, value, ttl=ttl, only_if_absent=True))

    @rule(key=KEYS, value=VALUES, ttl=TTLS, right=st.booleans())
    def compare_and_set(self, key: str, value: bytes, ttl: float | None, right: bool) -> None:
        if len(value) > 25 or self.weight({key: (value, 0)}) > self.config.bytes:
            return
        present = self.touch(key)
        expected = present if right else b"something else"
        call = self.store.compare_and_set(key, expected, value, ttl=ttl)
        if not right:
            assert done(call) is False
        elif self.put(key, value, self.end(ttl)):
            assert done(call) is True
        else:
            with pytest.raises(StoreLimitError):
                done(call)

    @rule(key=KEYS, by=st.integers(-20, 20), ttl=TTLS)
    def increment(self, key: str, by: int, ttl: float | None) -> None:
        present = self.touch(key)
        end = self.model[key][1] if present is not None else self.end(ttl)
        call = self.store.increment(key, by, ttl=ttl)
        try:
            if present is not None and not present.removeprefix(b"-").isdigit():
                raise ValueError
            number = int(present or b"0") + by
        except ValueError:
            with pytest.raises(ValueError, match="not a decimal counter"):
                done(call)
            return
        if self.put(key, b"%d" % number, end):
            assert done(call) == number
        else:
            with pytest.raises(StoreLimitError):
                done(call)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        assert done(self.store.delete(key)) is (self.live().pop(key, None) is not None)

    @rule(key=KEYS, ttl=TTLS)
    def expire(self, key: str, ttl: float | None) -> None:
        present = self.touch(key)
        if present is not None:
            self.model[key] = (present, self.end(ttl))
        assert done(self.store.expire(key, ttl)) is (present is not None)

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def is_bounded(self) -> None:
        assert self.store.entries <= self.config.entries
        assert self.store.size <= self.config.bytes
        assert len(self.store._expiries) <= 2 * self.config.entries + 64
        held = {key: (entry.value, 0.0) for key, entry in self.store._entries.items()}
        assert self.store.size == self.weight(held)
        assert set(self.live()) <= set(held)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
