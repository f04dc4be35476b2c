"""Builds the native library. Everything else about the distribution is in `pyproject.toml`.

Again after a change of the C sources: `python native/engine/setup.py build_ext --inplace`
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import PlatformError


def missing() -> str:
    """What this machine lacks to compile the library, or ``""``."""
    if sys.platform == "win32":
        return "it waits with epoll or kqueue, which Windows does not have"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if not shutil.which(compiler):
        return f"there is no C compiler {compiler!r}: install gcc or clang, or name one in CC"
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        return f"there is no {header}: install the headers of this Python (python3-dev)"
    return ""


class BuildLibrary(build_ext):
    """Says in one sentence why it cannot compile."""

    def run(self) -> None:
        if reason := missing():
            raise PlatformError(f"covet-engine cannot be built here: {reason}.")
        super().run()


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parent)
    setup(
        cffi_modules=["build_engine.py:ffibuilder"],
        cmdclass={"build_ext": BuildLibrary},
        options={"bdist_wheel": {"py_limited_api": "cp311"}},
    )
