"""Every distribution as its users get it: an sdist, the wheel of that sdist, installed, imported.

Run by `tox -e pkg`, with every interpreter that is present; the same wheel has to serve them all,
also where it holds a compiled library, which is then made to do something.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("python3.11", "python3.12", "python3.13")

IMPORT_ALL = """
import importlib, importlib.metadata, importlib.resources, sys
for name in sys.argv[1:]:
    distribution = importlib.metadata.distribution(name)
    for entry in distribution.entry_points:
        entry.load()
    module = name.replace("-", "_")
    if name != "covet":
        folder = importlib.import_module(module).__path__[0]
        assert "site-packages" in folder, folder
        assert importlib.resources.files(module).joinpath("py.typed").is_file(), module
if "covet-engine" in sys.argv:
    from covet_engine._native import ffi, lib
    options = ffi.new("cv_options *")
    lib.cv_options_default(options)
    engine = lib.cv_engine_new(options)
    assert engine and lib.cv_engine_fd(engine) >= 0 and lib.cv_engine_poll(engine) == 0
    lib.cv_engine_free(engine)
"""


def run(*command: str | Path) -> None:
    """Run a command, which has to succeed."""
    print("$", *(str(part).partition("\n")[0] for part in command), flush=True)
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT)


def builders(folders: Sequence[Path], directory: Path) -> dict[tuple[str, ...], Path]:
    """A python with what a distribution says its build takes and no more, one for all that say the same."""
    wanted = {requirements(folder) for folder in folders}
    made = {}
    for number, each in enumerate(sorted(wanted)):
        environment = directory / str(number)
        run(sys.executable, "-m", "venv", "--without-pip", environment)
        made[each] = environment / "bin" / "python"
        pip = (sys.executable, "-m", "pip", "--python", made[each], "install", "--quiet")
        run(*pip, *each, *package_group())
    return made


def requirements(folder: Path) -> tuple[str, ...]:
    """What a distribution says its build takes."""
    lines = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["build-system"][
        "requires"
    ]
    return tuple(sorted(lines))


def package_group() -> list[str]:
    """What drives a build."""
    group: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[
        "dependency-groups"
    ]["package"]
    return group


def build(python: Path, folder: Path, directory: Path) -> Path:
    """The wheel of a distribution, made from its sdist alone."""
    source = folder
    if (folder / "setup.py").is_file():
        # setuptools writes into what it builds, where an editable installation may do so as well.
        source = directory.parent / f"{folder.name}-source"
        made = ("*.egg-info", "*.so", "__pycache__", "build", "dist")
        shutil.copytree(folder, source, ignore=shutil.ignore_patterns(*made))
    run(python, "-m", "build", "--no-isolation", "--outdir", directory, source)
    (sdist,) = directory.glob("*.tar.gz")
    (wheel,) = directory.glob("*.whl")
    assert sdist.stat().st_size
    assert wheel.stat().st_size
    # One file for all interpreters: without a library for every machine, with one for this kind.
    expected = "-cp311-abi3-linux_" if (folder / "setup.py").is_file() else "-py3-none-any.whl"
    assert expected in wheel.name, wheel.name
    return wheel


def works(python: str) -> bool:
    """Whether an interpreter is there; a shim of a version manager may be there in name only."""
    if not (path := shutil.which(python)):
        return False
    return subprocess.run([path, "-V"], check=False, capture_output=True).returncode == 0


def main(names: Sequence[str]) -> None:
    """Build and import the distributions below the named folders, or all of them."""
    folders = [ROOT / name for name in names] or [
        path.parent
        for pattern in ("kernel", "plugins/*", "native/*", "contrib/*")
        for path in sorted(ROOT.glob(f"{pattern}/pyproject.toml"))
    ]
    with tempfile.TemporaryDirectory() as temporary:
        pythons = builders(folders, Path(temporary, "builders"))
        with ThreadPool(2) as pool:
            wheels = pool.map(
                lambda each: build(
                    pythons[requirements(each)], each, Path(temporary, "wheels", each.name)
                ),
                folders,
            )
        projects = [re.sub("_", "-", wheel.name.split("-")[0]) for wheel in wheels]
        for python in filter(works, PYTHONS):
            environment = Path(temporary, python)
            run(python, "-m", "venv", "--without-pip", environment)
            inside = environment / "bin" / "python"
            run(
                sys.executable,
                "-m",
                "pip",
                "--python",
                inside,
                "install",
                "--quiet",
                *wheels,
                "trio",
                "pytest",
            )
            run(inside, "-W", "error", "-c", IMPORT_ALL, *projects)
    print(f"{len(wheels)} distributions")


if __name__ == "__main__":
    main(sys.argv[1:])
