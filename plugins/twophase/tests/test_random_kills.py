"""A round of what `tests/soak` does for long: transfers from several tasks, killed at any moment."""

from __future__ import annotations

import pytest
from services.pair import Pair
from soak.movers import Mover, prepare, soaked

pytestmark = pytest.mark.once


def test_killed_at_any_moment_every_transfer_is_whole(pair: Pair) -> None:
    prepare(pair)

    def disturb(mover: Mover) -> None:
        for _ in range(5):
            mover.wait()

    found = soaked(pair, lambda: False, disturb)
    assert found["kills"] == 1
    assert found["kept"] >= found["promised"] >= 6
