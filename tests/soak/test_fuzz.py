"""The native engine's C code under fuzzers, whose corpus grows with what they find."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from layout.checkout import ROOT

FUZZ = ROOT / "native" / "engine" / "tests" / "fuzz"
TARGETS = sorted(file.stem.removeprefix("fuzz_") for file in FUZZ.glob("fuzz_*.c"))
INPUTS = re.compile(r": ([0-9]+) inputs in [0-9]+ s, all well")
KEPT = re.compile(r": ([0-9]+) files of")
REACHED = re.compile(r": ([0-9]+) of ([0-9]+) edges")


@pytest.mark.parametrize("target", TARGETS)
def test_promises_hold(
    target: str, share: float, record_property: Callable[[str, Any], None]
) -> None:
    ran = subprocess.run(
        [sys.executable, FUZZ / "run.py", "--seconds", str(max(1, round(share))), target],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    inputs, kept, reached = (each.search(ran.stdout) for each in (INPUTS, KEPT, REACHED))
    assert inputs is not None, ran.stdout
    assert kept is not None, ran.stdout
    assert reached is not None, ran.stdout
    record_property("inputs", f"{int(inputs[1]):,}")
    record_property("crashes", 0)
    record_property("corpus", f"{kept[1]} files")
    record_property("reached", f"{int(reached[1]):,} of {int(reached[2]):,} edges")
