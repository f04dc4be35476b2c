"""Builds and runs the C tests of routes and answers, under the sanitizers and under valgrind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ENGINE = Path(__file__).parent.parent
CSRC = ENGINE / "csrc"
SOURCES = [
    ENGINE / "tests/c/test_routes.c",
    *(
        CSRC / f"{name}.c"
        for name in ("routes", "tree", "names", "escape", "answers", "etags", "file_folder")
    ),
    # Names and values of fields are judged where heads are read.
    CSRC / "head.c",
    CSRC / "scan.c",
    CSRC / "status.c",
]
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
# The tests let every single allocation fail.
WRAPPED = [f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "realloc")]
SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def build(compiler: str, folder: Path, *options: str) -> Path:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    program = folder / "test_routes"
    command = [compiler, *WARNINGS, *options, f"-I{CSRC}", *map(str, SOURCES), *WRAPPED]
    built = subprocess.run(
        [*command, "-o", str(program)], check=False, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    return program


def run(*command: str) -> None:
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_c_tests_pass_under_the_sanitizers(compiler: str, tmp_path: Path) -> None:
    run(str(build(compiler, tmp_path, *SANITIZED)))


@pytest.mark.long
def test_the_c_tests_pass_under_valgrind(tmp_path: Path) -> None:
    program = build("gcc", tmp_path, "-g", "-O2")
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    run("valgrind", "-q", "--error-exitcode=9", "--leak-check=full", str(program))
