"""Keys, and the bucket that each is in."""

from __future__ import annotations

import subprocess
import sys
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from covet_sharding import ShardingConfig, ShardKeyError, hash_of
from covet_sharding._keys import text_of
from covet_sharding._strategies import Hash, Ranges, strategy_of

KEYS = st.one_of(
    st.integers(-(10**60), 10**60),
    st.uuids(),
    st.text(st.characters(min_codepoint=33, max_codepoint=0x24F), min_size=1, max_size=60).filter(
        lambda text: text.isprintable() and text == text.strip()
    ),
)


@pytest.mark.parametrize(
    ("key", "number"),
    [
        # The first eight digits of what `printf 42 | sha256sum` says, and so on.
        (42, 0x73475CB4),
        ("42", 0x73475CB4),
        ("acme", 0x822B33AD),
        (UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), 0x57A6EBC8),
    ],
)
def test_hashes_are_what_they_always_were(key, number) -> None:
    assert hash_of(key) == number


def test_hashes_do_not_depend_on_the_process() -> None:
    code = "from covet_sharding import hash_of; print(hash_of('acme'))"
    for seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(ran.stdout) == hash_of("acme")


@given(KEYS, st.integers(1, 65536))
def test_a_key_and_its_text_are_in_one_bucket(key, buckets) -> None:
    strategy = Hash(buckets, ["a", "b"])
    bucket = strategy.bucket(key)
    assert bucket == strategy.bucket(text_of(key))
    assert 0 <= int(bucket) < buckets


@given(st.integers(1, 2000), st.integers(1, 9))
def test_buckets_are_spread_evenly_at_first(buckets, shards) -> None:
    names = [f"s{number}" for number in range(shards)]
    first = Hash(buckets, names).first_map()
    counts = [list(first.values()).count(name) for name in names]
    assert len(first) == buckets
    assert max(counts) - min(counts) <= 1


def test_keys_are_spread_evenly() -> None:
    strategy = Hash(16, ["a"])
    counts = [0] * 16
    for key in range(2000):
        counts[int(strategy.bucket(key))] += 1
    # 125 each, and the same at each run; a good hash is within four standard deviations of that.
    assert all(82 < each < 168 for each in counts)


@pytest.mark.parametrize(
    "key", [None, "", True, 1.5, b"a", "a ", " a", "a\n", "a\0b", "x" * 191, 10**200, [], "\u200b"]
)
def test_what_is_no_key(key) -> None:
    with pytest.raises(ShardKeyError, match="key of a shard"):
        text_of(key)


@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=20, unique=True).map(sorted), st.data()
)
def test_a_number_is_in_the_range_that_holds_it(starts, data) -> None:
    ends = list(zip([None, *starts], [*starts, None], strict=True))
    strategy = Ranges(ends, ["a"] * len(ends))
    key = data.draw(st.integers(-2000, 2000))
    start, end = ends[int(strategy.bucket(key))]
    assert start is None or start <= key
    assert end is None or key < end
    condition, bounds = strategy.narrowed(strategy.bucket(key), "k")
    assert condition.count("?") == len(bounds) == (start is not None) + (end is not None)


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=9, unique=True).map(sorted))
def test_texts_are_in_ranges_by_code_point(starts) -> None:
    ends = list(zip([None, *starts], [*starts, None], strict=True))
    strategy = Ranges(ends, ["a"] * len(ends))
    for number, start in enumerate(starts, 1):
        if start.isprintable() and start == start.strip():
            assert strategy.bucket(start) == str(number)


@pytest.mark.parametrize("key", ["x", "1_0", "１", "1.0", "+1", ""])
def test_what_is_no_number_is_in_no_range_of_numbers(key) -> None:
    with pytest.raises(ShardKeyError):
        Ranges([(None, 5), (5, None)], ["a", "b"]).bucket(key)


def ranges(*ends: tuple[object, object]) -> ShardingConfig:
    return ShardingConfig.model_validate(
        {
            "shards": ["a"],
            "strategy": "range",
            "ranges": [
                {"shard": "a", **{k: v for k, v in (("start", s), ("end", e)) if v is not None}}
                for s, e in ends
            ],
        }
    )


@pytest.mark.parametrize(
    ("ends", "problem"),
    [
        ([], "needs ranges"),
        ([(0, None)], "gap below 0"),
        ([(None, 9)], "gap from 9"),
        ([(None, 5), (7, None)], "gap from 5 to 7"),
        ([(None, 7), (5, None)], "overlap from 5 to 7"),
        ([(None, None), (5, None)], "overlap"),
        ([(None, 5), (5, 5), (5, None)], "empty"),
        ([(None, 5), (5, 3), (3, None)], "empty"),
        ([(None, 5), ("m", None)], "all numbers, or all texts"),
    ],
)
def test_ranges_that_leave_a_gap_or_overlap_are_refused(ends, problem) -> None:
    with pytest.raises(ValidationError, match=problem):
        ranges(*ends)


def test_ranges_that_cover_every_key_once() -> None:
    strategy = strategy_of(ranges((None, "g"), ("g", "p"), ("p", None)))
    assert [strategy.bucket(each) for each in ("", "a", "g", "o", "p", "é")[1:]] == list("01122")


@pytest.mark.parametrize(
    "config",
    [
        {"shards": []},
        {"shards": ["a", "a"]},
        {"shards": ["a"], "ranges": [{"shard": "a"}]},
        {"shards": ["a"], "strategy": "range", "ranges": [{"shard": "b"}]},
        {"shards": ["a"], "key": "cookie:x"},
        {"shards": ["a"], "tables": [{"name": "t", "key": "k"}, {"name": "t", "key": "k"}]},
    ],
)
def test_configurations_that_make_no_sense(config) -> None:
    with pytest.raises(ValidationError):
        ShardingConfig.model_validate(config)
