"""Ids of version 7: their form, their order, clocks that stand still or go back, forks, threads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_sql import Uuid7Generator, uuid7

MS = 1_000_000


class Clock:
    def __init__(self, now: int = 0) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def moment(id: UUID) -> int:
    return id.int >> 80


def is_version_7(id: UUID) -> bool:
    return id.version == 7 and id.variant == RFC_4122


def test_the_example_of_the_rfc() -> None:
    # RFC 9562, A.6: 2022-02-22T19:22:22.000Z, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F.
    tail = 0xCC3 << 62 | 0x18C4DC0C0C07398F
    # Its highest random bit is set, which a first id's never is: one step leads there.
    first = tail - 1
    clock = Clock(0x017F22E279B0 * MS)
    generator = Uuid7Generator(clock=clock, entropy=bytes)
    generator()
    generator._tail = first
    assert generator() == UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")


@given(st.lists(st.integers(0, ((1 << 48) - 2) * MS), min_size=1, max_size=50), st.randoms())
def test_ids_grow_whatever_the_clock_does(times, random) -> None:
    clock = Clock()
    generator = Uuid7Generator(clock=clock, entropy=random.randbytes)
    ids = []
    for clock.now in times:
        ids.append(generator())
        assert is_version_7(ids[-1])
        assert moment(ids[-1]) == max(times[: len(ids)]) // MS
    assert ids == sorted(set(ids))


def test_a_moment_that_is_full_borrows_from_the_next() -> None:
    clock = Clock(5 * MS)
    generator = Uuid7Generator(clock=clock, entropy=lambda size: b"\xff" * size)
    ids = [generator()]
    generator._tail = (1 << 74) - 2
    ids += [generator(), generator()]
    assert ids == sorted(set(ids))
    assert [moment(each) for each in ids] == [5, 6, 6]
    clock.now = 6 * MS
    assert moment(generator()) == 6
    clock.now = 7 * MS
    assert moment(generator()) == 7


@pytest.mark.parametrize("now", [-1, (1 << 48) * MS])
def test_a_time_that_does_not_fit_is_an_error_and_no_id(now) -> None:
    clock = Clock(now)
    generator = Uuid7Generator(clock=clock)
    with pytest.raises(OverflowError, match="no room for the time"):
        generator()
    clock.now = 3 * MS
    assert moment(generator()) == 3


def test_ids_of_a_process_grow_and_tell_the_time() -> None:
    before = time.time_ns() // MS
    ids = [uuid7() for _ in range(2000)]
    assert all(map(is_version_7, ids))
    assert ids == sorted(set(ids))
    assert before <= moment(ids[0])


def test_threads_share_a_generator() -> None:
    generator = Uuid7Generator(clock=Clock(MS))
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: [generator() for _ in range(500)], range(8)))
    assert all(each == sorted(each) for each in made)
    assert len({one for each in made for one in each}) == 4000


FORKS = """
import os
import subprocess
import sys
import time
from covet_sql import uuid7

uuid7()
if os.fork():
    os.wait()
print(*(uuid7() for _ in range(3)), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_process_that_is_forked_goes_on_with_other_random_bits() -> None:
    ran = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, check=True, text=True)
    child, parent = ([UUID(each) for each in line.split()] for line in ran.stdout.splitlines())
    # From one place they would be at most 6 * 2^32 apart.
    assert abs((child[0].int ^ parent[0].int) & ((1 << 62) - 1)) > 1 << 40
    assert not {*child} & {*parent}
