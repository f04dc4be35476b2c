"""Builds and runs the C tests of connections and of the engine, under the sanitizers and valgrind."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import trustme

pytestmark = [pytest.mark.once, pytest.mark.timeout(400)]

ENGINE = Path(__file__).parent.parent
CSRC = ENGINE / "csrc"
TESTS = ENGINE / "tests" / "c"
PROGRAMS = [
    "test_arguments", "test_connection", "test_engine", "test_files", "test_random", "test_websocket",
]  # fmt: skip
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
PLAIN = ("-g", "-O2")
SHIM = TESTS / "kqueue"
KQUEUE = (*SANITIZED, "-DCV_KQUEUE", f"-I{SHIM}")


def run(*command: str, folder: Path | None = None) -> None:
    ran = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=300, cwd=folder
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@cache
def library(compiler: str, options: tuple[str, ...], base: Path) -> list[str]:
    """The engine's objects, compiled once for all programs."""
    folder = base / f"{compiler}-{len(options)}"
    folder.mkdir()
    sources = [*CSRC.glob("*.c"), *(SHIM.glob("*.c") if options == KQUEUE else ())]
    run(compiler, *WARNINGS, *options, "-c", *map(str, sorted(sources)), folder=folder)
    return [str(found) for found in folder.glob("*.o")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("core")


def build(compiler: str, name: str, base: Path, options: tuple[str, ...]) -> str:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    program = base / f"{name}-{compiler}-{len(options)}"
    source = str(TESTS / f"{name}.c")
    objects = library(compiler, options, base)
    run(compiler, *WARNINGS, *options, f"-I{CSRC}", source, *objects, "-o", str(program))
    return str(program)


@pytest.fixture(scope="module")
def certificates(base: Path) -> str:
    """A folder with a certificate and its key."""
    issued = trustme.CA().issue_cert("localhost")
    (base / "shop.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(base / "shop.key"))
    return str(base)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_they_pass_under_the_sanitizers(compiler: str, name: str, base: Path) -> None:
    run(build(compiler, name, base, SANITIZED))


def test_tls_passes_under_the_sanitizers(base: Path, certificates: str) -> None:
    run(build("gcc", "test_tls", base, SANITIZED), certificates)


def test_the_engine_passes_with_kqueue(base: Path) -> None:
    """Over a shim: what BSD and macOS wait with is compiled and driven, and no more is known of it."""
    run(build("gcc", "test_engine", base, KQUEUE))


@pytest.mark.long
@pytest.mark.parametrize("name", PROGRAMS)
def test_they_pass_under_valgrind(name: str, base: Path) -> None:
    program = build("gcc", name, base, PLAIN)
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    run("valgrind", "-q", "--error-exitcode=9", "--leak-check=full", program, "quick")


def test_an_idle_connection_costs_little(base: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    source = base / "size.c"
    source.write_text(
        '#include "core.h"\n'
        '_Static_assert(sizeof(cv_connection) <= 400, "an idle connection is one of these");\n'
    )
    run("gcc", "-std=c11", f"-I{CSRC}", "-c", str(source), "-o", str(base / "size.o"))
