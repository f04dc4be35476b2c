"""The examples of the pages print what the pages say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(
    ("page", "file"),
    [
        ("reference/plugins/postgres.md", "stock.py"),
        ("how-to/use-postgresql.md", "catalogue.py"),
        ("how-to/use-postgresql.md", "prices.py"),
    ],
)
def test_an_example_prints_what_its_page_says(
    url: str, tmp_path: Path, page: str, file: str
) -> None:
    text = (DOCS / page).read_text("utf-8")
    program = re.search(rf"```python\n(# file: {file}\n.*?)```", text, re.DOTALL)
    assert program is not None
    expected = re.compile(r"```text\n(.*?)```", re.DOTALL).search(text, program.end())
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
