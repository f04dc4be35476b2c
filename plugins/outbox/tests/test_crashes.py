"""The relay is killed between every two of its steps; whoever comes next loses nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("crashing.py")


@pytest.mark.once
def test_killed_between_every_two_steps(tmp_path: Path) -> None:
    words = ["sqlite", '{"path": "test.db"}', str(tmp_path), "asyncio"]
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 9
