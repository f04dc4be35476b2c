"""Fuzzes the C code: `python run.py --seconds 60 [head] [chunked] ...`.

Every target `fuzz_<name>.c` is built with clang, libFuzzer and the sanitizers, and begins with what is
in `corpus/<name>`. What reached new code is added there, and the folder is made as small as it can
be without reaching less; `--check` leaves it alone. An input that breaks a promise is printed and
kept beside this file as `found-<name>-...`; the exit code is then 1. Without clang it is 3.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CSRC = HERE.parent.parent / "csrc"
FLAGS = ["-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]
SANITIZERS = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
SOURCES = {  # None: all of the engine
    "head": [HERE / "head_portable.c", HERE / "head_baseline.c", CSRC / "head.c", CSRC / "scan.c"],
    "chunked": [CSRC / "chunked.c", CSRC / "scan.c"],
    "engine": None,
    "splits": None,
    "files": None,
    "http2": None,
    "channels": None,
    "websocket": None,
    "tls": None,
}
LONGEST = {
    "head": 700,
    "chunked": 400,
    "engine": 500,
    "splits": 700,
    "files": 400,
    "http2": 500,
    "channels": 500,
    "websocket": 500,
    "tls": 700,
}  # bytes of one input
FEW = 200  # files of one corpus


def clang(*arguments: str, folder: Path) -> None:
    """Compile; raises CalledProcessError with clang's words on stderr."""
    subprocess.run(["clang", *FLAGS, *SANITIZERS, f"-I{CSRC}", *arguments], check=True, cwd=folder)


def build(target: str, folder: Path) -> Path:
    """Build one target; what all of them share is compiled once in a folder."""
    program = folder / f"fuzz_{target}"
    files = SOURCES[target]
    if files is None:
        objects = folder / "engine"
        if not objects.exists():
            objects.mkdir()
            clang("-c", *map(str, sorted(CSRC.glob("*.c"))), folder=objects)
        files = sorted(objects.glob("*.o"))
    clang(str(HERE / f"fuzz_{target}.c"), *map(str, files), "-o", str(program), folder=folder)
    return program


def certify(folder: Path) -> None:
    """Issue what the server of the target `tls` shows."""
    import trustme

    issued = trustme.CA().issue_cert("localhost")
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    (folder / "shop.pem").write_bytes(chain)
    issued.private_key_pem.write_to_path(str(folder / "shop.key"))


def fuzz(target: str, program: Path, corpus: Path, seconds: int) -> bool:
    """Run one target over a folder that it adds to; whether every promise was kept."""
    ran = subprocess.run(
        [
            str(program),
            f"-max_total_time={seconds}",
            f"-max_len={LONGEST[target]}",
            "-timeout=20",
            "-print_final_stats=1",
            "-verbosity=0",
            f"-dict={HERE / 'http.dict'}",
            f"-artifact_prefix={HERE}/found-{target}-",
            str(corpus),
        ],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "COVET_FUZZ_CERTIFICATES": str(program.parent)},
    )
    if ran.returncode != 0:
        print(ran.stderr[-8000:])
        return False
    units = [line for line in ran.stderr.splitlines() if "number_of_executed_units" in line]
    print(f"{target}: {' '.join(units).split(':')[-1].strip()} inputs in {seconds} s, all well")
    return True


def keep(program: Path, grown: Path, corpus: Path) -> None:
    """Replace a corpus by few files that reach as much code."""
    files: list[Path] = []
    with tempfile.TemporaryDirectory() as folder:
        # The second way is slower and reaches as much with fewer.
        for number, merge in enumerate(["-merge=1", "-set_cover_merge=1"]):
            few = Path(folder) / str(number)
            few.mkdir()
            subprocess.run(
                [str(program), merge, "-use_counters=0", str(few), str(grown)],
                check=True,
                capture_output=True,
                env={**os.environ, "COVET_FUZZ_CERTIFICATES": str(program.parent)},
            )
            files = sorted(few.iterdir(), key=lambda file: (file.stat().st_size, file.name))
            if len(files) <= FEW:
                break
        for file in corpus.iterdir():
            file.unlink()
        for file in files[:FEW]:
            shutil.copy(file, corpus / file.name[:16])
    print(f"{corpus.name}: {min(len(files), FEW)} files of {len(files)}")


def reach(program: Path, corpus: Path) -> None:
    """Say how many of the program's branches a corpus goes through: of its own and of the engine's."""
    ran = subprocess.run(
        [str(program), "-runs=0", str(corpus)],
        check=True,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "COVET_FUZZ_CERTIFICATES": str(program.parent)},
    )
    edges = re.search(r"\((\d+) inline 8-bit counters\)", ran.stderr)
    reached = re.findall(r"\bcov: (\d+)", ran.stderr)
    assert edges is not None
    print(f"{corpus.name}: {reached[-1]} of {edges[1]} edges")


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description="Fuzz the C code of the engine.")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--check", action="store_true", help="leave the corpus as it is")
    parser.add_argument("--build", type=Path, metavar="FOLDER", help="where to keep what is built")
    parser.add_argument("targets", nargs="*", metavar="target", help=" ".join(SOURCES))
    options = parser.parse_args()
    unknown = set(options.targets) - set(SOURCES)
    if unknown:
        parser.error(f"there is no target {unknown.pop()!r}; there are {', '.join(SOURCES)}")
    if shutil.which("clang") is None:
        print("clang is not installed", file=sys.stderr)
        return 3
    well = True
    with tempfile.TemporaryDirectory() as folder:
        built = options.build or Path(folder)
        certify(built)
        for target in options.targets or SOURCES:
            corpus = HERE / "corpus" / target
            program = build(target, built)
            grown = Path(folder) / target
            shutil.copytree(corpus, grown)
            if not fuzz(target, program, grown, options.seconds):
                well = False
            elif not options.check:
                keep(program, grown, corpus)
                reach(program, corpus)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
