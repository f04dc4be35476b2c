#!/usr/bin/env python3
"""What a checkout can do with Python 3.11, pip and nothing else.

python3 dev.py bookshop [ARGS]  serve docs/examples/bookshop; ARGS go to `covet run`
python3 dev.py test [ARGS]      run every test; ARGS go to pytest
python3 dev.py install          every distribution, editable, into the environment of this python

The first two keep environments of their own, `.venv-bookshop` and `.venv`, and rebuild them when
the checkout has changed. The last two compile the native engine, which takes Linux, a C compiler and
the headers of this Python; elsewhere than on Linux they leave it out. The bookshop does without.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
PIP = ("-m", "pip", "--disable-pip-version-check")
UV = "uv>=0.9,<1; sys_platform == 'darwin' or platform_machine in 'x86_64 aarch64'"
"""It installs in half the time that pip takes; elsewhere somebody would have to compile it."""
LEFT_OUT = ("__pycache__", "tests", "build", "dist")


def read(directory: Path) -> dict[str, Any]:
    """The ``pyproject.toml`` of a directory."""
    return tomllib.loads((directory / "pyproject.toml").read_text("utf-8"))


def distributions() -> dict[str, Path]:
    """Every distribution of the workspace by name, as ``[tool.uv.workspace]`` lists them."""
    members = read(ROOT)["tool"]["uv"]["workspace"]["members"]
    found = (path for member in members for path in sorted(ROOT.glob(f"{member}/pyproject.toml")))
    return {read(path.parent)["project"]["name"]: path.parent for path in found}


def closure(name: str) -> list[Path]:
    """A distribution and, from the checkout, everything it needs."""
    known, wanted, needed = distributions(), [name], {}
    while wanted:
        name = wanted.pop()
        if name in known and name not in needed:
            needed[name] = known[name]
            lines = read(known[name])["project"].get("dependencies", [])
            wanted += [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines]
    return sorted(needed.values())


def group(name: str) -> list[str]:
    """The requirements of a dependency group of the workspace."""
    items = read(ROOT)["dependency-groups"][name]
    nested = (group(item["include-group"]) if isinstance(item, dict) else [item] for item in items)
    return [requirement for items in nested for requirement in items]


def digest(paths: Iterator[Path]) -> str:
    """What the files say, so that a change is noticed whatever the clock of the checkout says."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def sources(directories: Sequence[Path]) -> Iterator[Path]:
    """The files that a build of these distributions reads."""
    for directory in directories:
        for folder, folders, files in os.walk(directory):
            folders[:] = [f for f in folders if f not in LEFT_OUT and not f.endswith(".egg-info")]
            yield from (Path(folder, file) for file in files if not file.endswith((".pyc", ".so")))


def natives() -> list[Path]:
    """The distributions with a library to compile, which only Linux can."""
    return [each for each in distributions().values() if (each / "setup.py").is_file()]


def lacking() -> str:
    """What this machine lacks to compile them, or ``""``."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if not shutil.which(compiler):
        return f"there is no C compiler {compiler!r}: install gcc or clang, or name one in CC"
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        return f"there is no {header}: install the headers of this Python (python3-dev)"
    return ""


def run(*command: str) -> None:
    """Run a command; when it fails, its own words are the message and its code is ours."""
    if code := subprocess.run(command, check=False).returncode:
        sys.exit(code)


def environment(name: str, state: str, *command: str, first: Sequence[str] = ("pip",)) -> Path:
    """The python of an environment that ``command`` fills, built anew if ``state`` has changed.

    Args:
        name: Of its folder.
        state: Of what it is made of.
        command: For its python.
        first: What is installed before.
    """
    folder = ROOT / name
    python, stamp = folder / "bin" / "python", folder / "covet-stamp"
    state = f"{sys.version}\n{command}\n{state}\n"
    if python.exists() and stamp.exists() and stamp.read_text("utf-8") == state:
        return python
    print(f"Preparing {name}, which takes a minute ...", flush=True)
    # Without ensurepip, which a system may package apart: pip installs pip.
    run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
    run(sys.executable, *PIP, "--python", str(python), "install", "--quiet", *first)
    run(str(python), *command)
    stamp.write_text(state, "utf-8")
    return python


def install() -> None:
    """Every distribution, editable, with what the tests need."""
    directories = list(distributions().values())
    if not sys.platform.startswith("linux"):
        print("Without the native engine, which needs Linux.", flush=True)
        directories = [each for each in directories if each not in natives()]
    elif natives() and (reason := lacking()):
        sys.exit(f"The native engine cannot be compiled here: {reason}.")
    # Their build requirements once, instead of one isolated environment for each of them.
    builds = {line for each in directories for line in read(each)["build-system"]["requires"]}
    quiet = installer(*sorted(builds), "editables")
    editable = [part for each in directories for part in ("-e", str(each))]
    run(*quiet, "--no-build-isolation", *editable, *group("test"))


def installer(*first: str) -> tuple[str, ...]:
    """Install the first with uv where this environment has it, which is quicker; else with pip.

    Returns:
        What installs more.
    """
    uv = Path(sys.executable).with_name("uv")
    # The distributions find each other among what is installed, as they do with pip.
    quick = (str(uv), "pip", "install", "--quiet", "--no-sources", "--python", sys.executable)
    if uv.is_file() and not subprocess.run([*quick, *first], check=False).returncode:
        return quick
    # It may know no index or certificate that pip was told of. No bytecode: it is made of what is imported,
    # when it is, and a third of the time went into the rest.
    quiet = (sys.executable, *PIP, "install", "--quiet", "--no-compile")
    run(*quiet, *first)
    return quiet


def compile_anew(python: Path) -> None:
    """Compile the libraries of an environment again if what they are made of has changed."""
    made_of = (path for path in sources(natives()) if "src" not in path.relative_to(ROOT).parts)
    state, stamp = digest(made_of), python.parent.parent / "covet-native-stamp"
    if not stamp.exists() or stamp.read_text("utf-8") != state:
        for each in natives():
            script = str(each / "setup.py")
            run(str(python), script, "--quiet", "build_ext", "--inplace", "--force")
        stamp.write_text(state, "utf-8")


def bookshop(arguments: Sequence[str]) -> None:
    """Serve the bookshop; ends as ``covet run`` ends."""
    protocols = ("covet-graphql", "covet-grpc", "covet-websocket")
    needed = sorted({*closure("covet"), *(path for name in protocols for path in closure(name))})
    if sys.platform.startswith("linux") and not lacking():
        # Served by the native engine where it can be compiled, by the portable server elsewhere.
        needed = sorted({*needed, *natives()})
    command = [*PIP, "install", "--quiet", *map(str, needed), "trio>=0.35,<1"]
    python = environment(".venv-bookshop", digest(sources(needed)), *command)
    port = re.search(r"plugins\.http\.port=(\d+)", " ".join(arguments))
    url = f"http://127.0.0.1:{port[1] if port else 8000}"
    print(f"Open  {url}")
    print(f"API   {url}/docs")
    print(f"""Try   curl -i {url}/orders --json '{{"lines": [{{"book_id": 1, "quantity": 2}}]}}'""")
    print("Stop  Ctrl-C", flush=True)
    config = ROOT / "docs" / "examples" / "bookshop" / "covet.toml"
    os.execv(python.with_name("covet"), ["covet", "run", "-c", str(config), *arguments])  # noqa: S606


def test(arguments: Sequence[str]) -> None:
    """Run every test, or those that the arguments choose; ends as pytest ends."""
    state = digest(each / "pyproject.toml" for each in [ROOT, *distributions().values()])
    filled = str(ROOT / "dev.py"), "install"
    python = environment(".venv", state, *filled, first=("pip", UV))
    # As in tox.ini: one more than CI has cores, each file's tests in one of them.
    arguments = arguments or ["-n", "3", "--dist", "loadfile"]
    if sys.platform.startswith("linux"):
        compile_anew(python)
    else:
        arguments = ["--ignore=native", *arguments]
    os.chdir(ROOT)
    os.execv(python, [str(python), "-m", "pytest", *arguments])  # noqa: S606


def main(arguments: Sequence[str]) -> None:
    """Dispatch on the first word."""
    match arguments:
        case ["bookshop", *rest]:
            bookshop(rest)
        case ["test", *rest]:
            test(rest)
        case ["install"]:
            install()
        case ["-h" | "--help"]:
            print(__doc__)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
