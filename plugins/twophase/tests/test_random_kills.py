"""A few rounds of what `tests/soak` does for long: transfers from several tasks, killed at any moment."""

from __future__ import annotations

import pytest
from services.pair import Pair
from soak.transfers import Mover, prepare, soaked

pytestmark = pytest.mark.once


def test_killed_at_any_moment_every_transfer_is_whole(pair: Pair) -> None:
    prepare(pair)
    rounds = iter([True, True, False])

    def disturb(mover: Mover) -> None:
        for _ in range(5):
            mover.wait()

    found = soaked(pair, lambda: next(rounds), disturb)
    assert found["kills"] == 2
    assert found["kept"] >= found["promised"] >= 12
