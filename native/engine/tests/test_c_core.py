"""Builds and runs the C tests of connections and of the engine, under the sanitizers and valgrind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ENGINE = Path(__file__).parent.parent
CSRC = ENGINE / "csrc"
TESTS = ENGINE / "tests" / "c"
PROGRAMS = ["test_connection", "test_engine", "test_random"]
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def build(compiler: str, name: str, folder: Path, *options: str) -> Path:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    program = folder / name
    sources = [TESTS / f"{name}.c", *sorted(CSRC.glob("*.c"))]
    command = [compiler, *WARNINGS, *options, f"-I{CSRC}", *map(str, sources)]
    built = subprocess.run(
        [*command, "-o", str(program)], check=False, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    return program


def run(*command: str) -> None:
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_they_pass_under_the_sanitizers(compiler: str, name: str, tmp_path: Path) -> None:
    run(str(build(compiler, name, tmp_path, *SANITIZED)))


@pytest.mark.parametrize("name", PROGRAMS)
def test_they_pass_under_valgrind(name: str, tmp_path: Path) -> None:
    program = build("gcc", name, tmp_path, "-g", "-O2")
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    run("valgrind", "-q", "--error-exitcode=9", "--leak-check=full", str(program), "quick")


def test_an_idle_connection_costs_little(tmp_path: Path) -> None:
    source = tmp_path / "size.c"
    source.write_text(
        '#include "core.h"\n'
        '_Static_assert(sizeof(cv_connection) <= 400, "an idle connection is one of these");\n'
        "int main(void) { return 0; }\n"
    )
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    command = ["gcc", "-std=c11", f"-I{CSRC}", str(source), "-o", str(tmp_path / "size")]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
