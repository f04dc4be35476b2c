"""The file of a log: what blocks, and what makes it last."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from covet_twophase._records import Content, read, whole


class UnchangedError(OSError):
    """It could not be written to, and is what it was before."""


class LockedError(Exception):
    """Another process has it."""


class LogFile:
    """An open file that no other process has, and that nothing is read from after it was opened.

    Attributes:
        path: Where it is.
        size: Bytes of it that count.
    """

    def __init__(self, path: Path, descriptor: int, size: int) -> None:
        self.path = path
        self.size = size
        self._descriptor = descriptor

    @classmethod
    def create(cls, folder: Path, coordinator: str) -> LogFile:
        """A new one, with its first line.

        Raises:
            OSError: There cannot be one.
        """
        path, data = folder / f"{coordinator}.log", whole(coordinator, {})
        file = cls(path, _anew(path, data), len(data))
        try:
            sync_folder(folder)
        except BaseException:
            file.close()
            raise
        return file

    @classmethod
    def open(cls, path: Path) -> tuple[LogFile, Content]:
        """One that is there, and what is in it; what a crash has cut short is cut off.

        Raises:
            LockedError: Another process has it, or has just replaced it.
            DamagedError: It cannot be read.
            OSError: Nor opened.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LockedError from None
            if os.fstat(descriptor).st_ino != os.stat(path).st_ino:
                # It was replaced between the two calls, by who has the new one.
                raise LockedError
            content = read(_all(descriptor))
            if os.fstat(descriptor).st_size > content.size:
                os.ftruncate(descriptor, content.size)
                os.fsync(descriptor)
            os.lseek(descriptor, content.size, os.SEEK_SET)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, content.size), content

    def append(self, data: bytes) -> None:
        """Have it on the disk, behind what is there.

        Raises:
            UnchangedError: It is not there, for sure.
            OSError: It may be there, or not.
        """
        try:
            _write(self._descriptor, data)
        except OSError as error:
            # Nothing was promised of what is there by now, a part of a line at most.
            os.ftruncate(self._descriptor, self.size)
            os.lseek(self._descriptor, self.size, os.SEEK_SET)
            os.fsync(self._descriptor)
            raise UnchangedError(error.errno, error.strerror) from error
        os.fsync(self._descriptor)
        self.size += len(data)

    def replace(self, data: bytes) -> None:
        """Have this on the disk instead of all that is there.

        Raises:
            UnchangedError: What was there is there.
            OSError: It may be the one or the other.
        """
        try:
            descriptor = _anew(self.path, data)
        except OSError as error:
            raise UnchangedError(error.errno, error.strerror) from error
        os.close(self._descriptor)
        self._descriptor, self.size = descriptor, len(data)
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._descriptor)


def _anew(path: Path, data: bytes) -> int:
    """Put a file there that is locked and whole from the first moment on."""
    beside = path.with_suffix(".new")
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write(descriptor, data)
        os.fsync(descriptor)
        os.rename(beside, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _all(descriptor: int) -> bytes:
    parts = []
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def sync_folder(folder: Path) -> None:
    """Have the names in it on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def peek(path: Path) -> tuple[Content, bool]:
    """What is in a log, and whether a process has it. Nothing of it is changed.

    Raises:
        DamagedError: It cannot be read.
        OSError: Nor opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = read(_all(descriptor))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return content, True
        return content, False
    finally:
        os.close(descriptor)
