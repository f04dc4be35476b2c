"""Opening files by names that come from outside, without ever leaving a folder."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

# A name that leads nowhere, or to what is no file of the folder. Anything else is the system's trouble.
_MISSING: Final = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EACCES, errno.EPERM,
     errno.ENAMETOOLONG, errno.ENXIO, errno.ENODEV, errno.EINVAL, errno.EMLINK)
)  # fmt: skip
# Names that Windows takes for devices, whatever follows the first dot.
_DEVICE = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3]) *(?:\.|\Z)",
    re.IGNORECASE,
)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
# A pipe without a writer would keep whoever opens it.
_READ = os.O_RDONLY | _CLOEXEC | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
# Whoever only walks through a folder need not be allowed to read it.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | _CLOEXEC | getattr(os, "O_DIRECTORY", 0)


def safe_segments(
    name: str, *, hidden: bool = False, windows: bool = os.name == "nt"
) -> tuple[str, ...] | None:
    """The segments of a relative name with slashes; ``None`` if it is none that could be served.

    Args:
        name: Decoded.
        hidden: Whether names that begin with a dot are served.
        windows: Whether to refuse what Windows takes for a drive, a device or another name.
    """
    segments = tuple(name.split("/"))
    for segment in segments:
        if segment in ("", ".", "..") or "\\" in segment or "\0" in segment:
            return None
        if segment.startswith(".") and not hidden:
            return None
        if windows and (
            ":" in segment or segment[-1] in ". " or _DEVICE.match(segment) is not None
        ):
            return None
    return segments


def open_path(path: Path | str) -> BinaryIO | None:
    """Open a file the application names; ``None`` if there is no such file."""
    return _guarded(lambda: os.open(path, _READ))


class Folder:
    """A folder, and the files in it that may be opened.

    Links are never followed within it: a link is a file of another place. The folder itself may be
    reached by one, so that a deployment can switch it.

    Args:
        path: Where it is.
        by_steps: Walk down from the open folder, so that nobody who changes a name meanwhile can
            lead elsewhere; where the system cannot do that, names are resolved and compared.
    """

    __slots__ = ("_by_steps", "path")

    def __init__(self, path: Path | str, *, by_steps: bool | None = None) -> None:
        self.path = Path(path)
        self._by_steps = bool(_NOFOLLOW) and os.open in os.supports_dir_fd
        if by_steps is not None:
            self._by_steps = by_steps

    def open(self, segments: Sequence[str]) -> BinaryIO | None:
        """Open a regular file; ``None`` if there is none.

        Args:
            segments: From `safe_segments`.

        Raises:
            OSError: The system can open no file at all now.
        """
        return _guarded(lambda: (self._step if self._by_steps else self._resolve)(segments))

    def has_folder(self, segments: Sequence[str]) -> bool:
        """Whether these lead to a folder in it."""
        try:
            descriptor = self._descend(segments) if self._by_steps else None
        except (OSError, ValueError):
            return False
        if descriptor is None:
            return os.path.isdir(self._real(segments) or "")
        os.close(descriptor)
        return True

    def _step(self, segments: Sequence[str]) -> int:
        here = self._descend(segments[:-1])
        try:
            return os.open(segments[-1], _READ | _NOFOLLOW, dir_fd=here)
        finally:
            os.close(here)

    def _descend(self, segments: Sequence[str]) -> int:
        here = os.open(self.path, _FOLDER)
        for segment in segments:
            try:
                there = os.open(segment, _FOLDER | _NOFOLLOW, dir_fd=here)
            finally:
                os.close(here)
            here = there
        return here

    def _resolve(self, segments: Sequence[str]) -> int:
        real = self._real(segments)
        if real is None:
            raise FileNotFoundError(errno.ENOENT, "it is not in the folder")
        return os.open(real, _READ)

    def _real(self, segments: Sequence[str]) -> str | None:
        wanted = os.path.join(os.path.realpath(self.path), *segments)
        try:
            real = os.path.realpath(wanted)
        except (OSError, ValueError):
            return None
        return real if os.path.normcase(real) == os.path.normcase(wanted) else None


def _guarded(opens: Callable[[], int]) -> BinaryIO | None:
    try:
        descriptor = opens()
    except ValueError:
        return None  # a NUL, or what no file system can have in a name
    except OSError as error:
        if error.errno in _MISSING:
            return None
        raise
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        with suppress(OSError):
            os.close(descriptor)
        raise
    os.close(descriptor)
    return None
