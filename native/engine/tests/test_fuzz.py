"""Every fuzz target for a while, beginning with its corpus; `fuzz/run.py` goes on for longer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.once, pytest.mark.timeout(400)]

FUZZ = Path(__file__).parent / "fuzz"
TARGETS = sorted(file.stem.removeprefix("fuzz_") for file in FUZZ.glob("fuzz_*.c"))
SECONDS = 16 // len(TARGETS) if os.environ.get("CI") else 2


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which what the targets share is compiled once."""
    return tmp_path_factory.mktemp("built")


@pytest.mark.parametrize("target", TARGETS)
def test_the_target_keeps_its_promises(target: str, built: Path) -> None:
    # bad input 25: under sanitizers, however the bytes are split
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    ran = subprocess.run(
        [
            sys.executable,
            FUZZ / "run.py",
            "--check",
            "--build",
            built,
            "--seconds",
            str(SECONDS),
            target,
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "all well" in ran.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_stays_small(target: str) -> None:
    files = list((FUZZ / "corpus" / target).iterdir())
    assert 10 < len(files) <= 200
    assert sum(file.stat().st_size for file in files) < 100_000
