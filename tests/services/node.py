"""Packages of npm's that tests are run against: fetched once, with checksums, and kept for all checkouts.

npm compares what it gets with the checksums in a folder's ``package-lock.json``; scripts of packages are not run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

from services.embedded_postgres import NotFetchedError, cache


def node() -> str:
    """The program that runs scripts.

    Raises:
        NotFetchedError: It is not installed.
    """
    found = shutil.which("node")
    if found is None:
        raise NotFetchedError("no node is installed")
    return found


def packages(folder: Path) -> Path:
    """The folder ``node_modules`` with what a folder's ``package-lock.json`` names.

    Raises:
        NotFetchedError: It is not there and cannot be fetched.
    """
    lock = (folder / "package-lock.json").read_bytes()
    kept = cache() / f"npm-{sha256(lock).hexdigest()[:16]}"
    if not kept.is_dir():
        _fetch(folder, kept)
    return kept / "node_modules"


def beside_packages(script: Path, folder: Path) -> Path:
    """A copy of a script, for `node`, in a folder with the packages of the script's own.

    Raises:
        NotFetchedError: They, or node, are not there and cannot be fetched.
    """
    node()
    found = packages(script.parent)
    (folder / "node_modules").symlink_to(found, target_is_directory=True)
    return Path(shutil.copy(script, folder))


def _fetch(folder: Path, kept: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NotFetchedError("no npm is installed to fetch packages with")
    with tempfile.TemporaryDirectory(dir=kept.parent) as place:
        made = Path(place, "made")
        made.mkdir(mode=0o755)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, made)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(
            command, cwd=made, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise NotFetchedError(f"npm fetched nothing: {done.stderr[-500:]}")
        try:
            os.rename(made, kept)
        except OSError:
            if not kept.is_dir():  # otherwise another process was faster
                raise
