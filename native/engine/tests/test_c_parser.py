"""Builds and runs the C tests of heads and of the chunked coding, on every instruction set there is,
under the sanitizers and under valgrind.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ENGINE = Path(__file__).parent.parent
CSRC = ENGINE / "csrc"
SOURCES = [CSRC / f"{name}.c" for name in ("head", "scan", "chunked")]
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# What is left out: the processor chooses among the rest.
SETS = {"newest": [], "baseline": ["-DCV_NO_AVX2"], "portable": ["-DCV_NO_SIMD"]}


def build(compiler: str, test: str, folder: Path, *options: str) -> Path:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    program = folder / test
    files = [ENGINE / f"tests/c/{test}.c", *SOURCES]
    command = [compiler, *WARNINGS, *options, f"-I{CSRC}", *map(str, files), "-o", str(program)]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return program


def run(*command: str) -> None:
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("compiler", "test", "instructions"),
    [
        *(("gcc", "test_head", instructions) for instructions in SETS),
        ("clang", "test_head", "newest"),
        ("gcc", "test_chunked", "newest"),
        ("clang", "test_chunked", "newest"),
    ],
)
def test_the_c_tests_pass_under_the_sanitizers(
    compiler: str, test: str, instructions: str, tmp_path: Path
) -> None:
    run(str(build(compiler, test, tmp_path, *SANITIZED, *SETS[instructions])))


@pytest.mark.long
@pytest.mark.parametrize("test", ["test_head", "test_chunked"])
def test_the_c_tests_pass_under_valgrind(test: str, tmp_path: Path) -> None:
    program = build("gcc", test, tmp_path, "-g", "-O2")
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    run("valgrind", "-q", "--error-exitcode=9", "--leak-check=full", str(program))


def test_the_benchmark_of_heads_builds_and_reads_what_it_measures(tmp_path: Path) -> None:
    program = build("gcc", "bench_head", tmp_path, "-O2")
    ran = subprocess.run([program, "2"], check=True, capture_output=True, text=True, timeout=100)
    assert ran.stdout.count(" ns\n") == 4
    assert "refused" not in ran.stdout
