"""A copy of a database while it is in use."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import apsw

from covet_kernel.contracts import SqlDatabase, SqlError
from covet_sqlite._errors import sql_error
from covet_sqlite._open import only_reads, open_raw, read_schema

PAGES = 1024
"""Copied at once, 4 MiB with pages of the usual size: so long a cancellation waits at most."""

Progress = Callable[[int, int], object]
"""Is told how many pages are copied, and of how many."""


async def backup(
    database: SqlDatabase,
    target: os.PathLike[str] | str,
    *,
    replace: bool = False,
    progress: Progress | None = None,
) -> None:
    """Copy a SQLite database to another file, as it is at one moment, while others read and write it.

    The copy comes to be under another name in the target's folder, is written to the disk, and has the
    target's name only when it is whole. A copy that is cancelled or fails leaves nothing behind. As long
    as it takes the write-ahead log grows, as with every transaction that reads.

    Args:
        database: Of covet-sqlite, in a file.
        target: The file to be made.
        replace: It may be there already.
        progress: Called on the event loop, after every 4 MiB or so.

    Raises:
        SqlError: 0A000 if it is no such database, 58P02 if the target is there already, and what the
            disk has to say.
    """
    source = getattr(getattr(database, "inner", database), "file", None)
    if source is None:
        raise SqlError(
            f"{type(database).__name__} cannot be copied: it takes a database of covet-sqlite, in a file",
            sqlstate="0A000",
        )
    steps = _copied(source, Path(target), replace=replace)
    try:
        # One after the other, though perhaps each in another thread.
        while (step := await anyio.to_thread.run_sync(next, steps, None)) is not None:
            done, pages = step
            if progress is not None:
                progress(done, pages)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(steps.close)


def _copied(source: Path, target: Path, *, replace: bool) -> Generator[tuple[int, int], None, None]:
    """Each step: the number of pages copied, and that of all. Closed before its end, it cleans up."""
    _check(source, target, replace=replace)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with _removed(partial):
            with (
                closing(open_raw(str(partial))) as copy,
                _snapshot(source) as raw,
                copy.backup("main", raw, "main") as run,
            ):
                while not run.done:
                    run.step(PAGES)
                    yield run.page_count - run.remaining, run.page_count
            partial.replace(target)
            _write_names(target.parent)
    except apsw.Error as error:
        raise sql_error(error) from error
    except OSError as error:
        raise SqlError(
            f"{str(target)!r} cannot be written: {error.strerror}", sqlstate="58030"
        ) from error


def _check(source: Path, target: Path, *, replace: bool) -> None:
    if target.exists():
        if target.samefile(source):
            raise SqlError("a database cannot be copied to itself", sqlstate="22023")
        if not replace:
            raise SqlError(f"{str(target)!r} is there already", sqlstate="58P02")
    # Its pages would be taken for the copy's.
    if (log := target.with_name(f"{target.name}-wal")).exists():
        raise SqlError(f"{str(target)!r} is in use: there is {log.name!r}", sqlstate="55006")


@contextmanager
def _snapshot(source: Path) -> Iterator[apsw.Connection]:
    """The database as it is now: without a transaction of its own, a copy begins anew at every change."""
    with closing(open_raw(str(source))) as raw:
        only_reads(raw)
        raw.execute("BEGIN")
        read_schema(raw)
        yield raw
        raw.execute("ROLLBACK")


@contextmanager
def _removed(path: Path) -> Iterator[None]:
    """Whatever happens, nothing of that name or for it is left."""
    try:
        yield
    finally:
        for end in ("", "-journal", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)


def _write_names(folder: Path) -> None:
    """Have the folder's names written to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
