"""The test transport's frames survive any split, and refuse what is too long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from operations_testbed.framing import LIMIT, FrameError, Unpacker, pack


@given(st.lists(st.binary(max_size=40), max_size=8), st.data())
def test_frames_survive_any_split(payloads: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(map(pack, payloads))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=10)))
    unpacker, found = Unpacker(), []
    for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        found += unpacker.feed(wire[begin:end])
    assert found == payloads


def test_limits() -> None:
    with pytest.raises(FrameError):
        pack(b"x" * (LIMIT + 1))
    with pytest.raises(FrameError):
        Unpacker().feed((LIMIT + 1).to_bytes(4, "big"))
