"""A disk that fills up and empties on demand, for a server of the tests' own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


class FullDisk:
    """What a server's environment has to say, and whether its disk is full.

    Args:
        folder: Holds the library, and a file while the disk is full; a server of any user reads it.
    """

    def __init__(self, folder: Path) -> None:
        self._flag = folder / "full"
        library = folder / "full_disk.so"
        folder.chmod(0o755)
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"],
            check=True,
            capture_output=True,
        )
        library.chmod(0o755)
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": str(library),
            "COVET_FULL_DISK": str(self._flag),
        }

    @contextmanager
    def full(self) -> Iterator[None]:
        """For the block no file of the server grows."""
        self._flag.touch(0o644)
        try:
            yield
        finally:
            self._flag.unlink()


@contextmanager
def full_disk() -> Iterator[FullDisk]:
    """A disk for a server that is started in the block."""
    with tempfile.TemporaryDirectory(prefix="covet-disk-") as folder:
        yield FullDisk(Path(folder))
