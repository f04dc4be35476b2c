"""The relay is killed between every two of its steps; whoever comes next loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from services.crashes import killed_everywhere


@pytest.mark.once
def test_killed_between_every_two_steps(tmp_path: Path) -> None:
    script = Path(__file__).with_name("crashing.py")
    assert killed_everywhere(script, "sqlite", '{"path": "test.db"}', str(tmp_path)) > 9
