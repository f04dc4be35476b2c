"""The property-based tests with many more examples, from another seed each time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from layout.checkout import ROOT

ARGUMENTS = [
    *("-p", "soak.profile", "--hypothesis-profile", "soak", "--hypothesis-show-statistics"),
    *("-m", "hypothesis", "-o", "timeout=0", "-p", "no:cacheprovider"),
    *("kernel", "plugins", "native", "contrib"),
]
COUNT = re.compile(r"^ +- (\d+) passing", re.MULTILINE)


def test_properties_hold(
    unfinished: Callable[[], bool], record_property: Callable[[str, Any], None]
) -> None:
    rounds = tests = examples = 0
    while unfinished() or not rounds:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *ARGUMENTS],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = COUNT.findall(done.stdout)
        rounds, tests, examples = rounds + 1, len(found), examples + sum(map(int, found))
    record_property("rounds", rounds)
    record_property("properties", tests)
    record_property("examples", f"{examples:,}")
    assert examples > 1000 * rounds
