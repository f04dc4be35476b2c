"""The engine as it is on BSD and macOS, over a shim for their kqueue: compiled, and it serves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.once, pytest.mark.timeout(400)]

TESTS = Path(__file__).parent
ENGINE = TESTS.parent
SHIM = TESTS / "c" / "kqueue"
# Sockets, timers, waking up and stopping; not what bytes mean, which is decided elsewhere.
SELECTION = (
    "test_asyncio.py",
    "test_trio.py",
    "test_drain.py",
    "test_streams.py",
)
PROPERTIES = "not however_they_are_split"


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=ENGINE,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_serves(tmp_path: Path) -> None:
    shim = tmp_path / "kqueue.o"
    run("cc", "-std=c11", "-O2", "-fPIC", f"-I{SHIM}", "-c", SHIM / "kqueue.c", "-o", shim)
    flags = f"-DCV_KQUEUE -I{SHIM}"
    built = ("--build-lib", tmp_path, "--build-temp", tmp_path / "objects")
    run(
        *(sys.executable, "setup.py", "--quiet", "build_ext", *built),
        CFLAGS=flags,
        LDFLAGS=str(shim),
    )
    for source in (ENGINE / "src" / "covet_engine").glob("*.py"):
        shutil.copy(source, tmp_path / "covet_engine")
    there = run(
        *(sys.executable, "-c", "import covet_engine._native as n; print(n.__file__)"),
        PYTHONPATH=str(tmp_path),
    )
    assert there.startswith(str(tmp_path))
    symbols = (tmp_path / "covet_engine" / "_native.abi3.so").read_bytes()
    assert b"kqueue" in symbols
    said = run(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *("-k", PROPERTIES),
        *(TESTS / name for name in SELECTION),
        PYTHONPATH=str(tmp_path),
    )
    assert " passed" in said
