"""The example of the reference page prints what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "plugins" / "mysql.md"


def test_the_example_prints_what_the_page_says(url: str, tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    program = re.search(r"```python\n(# file: stock.py\n.*?)```", text, re.DOTALL)
    expected = re.search(r"```text\n(.*?)```", text, re.DOTALL)
    assert program is not None
    assert expected is not None
    ran = subprocess.run(
        [sys.executable, "-c", program[1]],
        env={**os.environ, "DATABASE_URL": url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == (expected[1], "")
