"""The example of the how-to page prints what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from services import mariadb
from services.pair import Pair

pytestmark = pytest.mark.once

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "commit-to-several-databases.md"


def test_the_example_prints_what_the_page_says(pair: Pair, tmp_path: Path) -> None:
    with psycopg.connect(pair.shop, autocommit=True) as client:
        client.execute(b"DROP TABLE IF EXISTS books")
    mariadb.run(pair.bank, "DROP TABLE accounts")
    try:
        text = PAGE.read_text("utf-8")
        program = re.search(r"```python\n(# file: sale.py\n.*?)```", text, re.DOTALL)
        expected = re.search(r"```text\n(.*?)```", text, re.DOTALL)
        assert program is not None
        assert expected is not None
        ran = subprocess.run(
            [sys.executable, "-c", program[1]],
            env={**os.environ, "SHOP_URL": pair.shop, "BANK_URL": pair.bank},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.stdout, ran.stderr) == (expected[1], "")
    finally:
        mariadb.run(pair.bank, "DROP TABLE IF EXISTS accounts")
        pair.fill(shop=False)
