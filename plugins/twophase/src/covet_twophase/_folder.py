"""The folder of logs: one that is this process's to write, and those that others have left."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from covet_kernel import ConfigurationError
from covet_twophase._file import LockedError, LogFile, sync_folder
from covet_twophase._log import Log
from covet_twophase._names import new_id
from covet_twophase._records import Content, DamagedError


class Logs:
    """Every log of a folder that no other process has.

    One process writes one. What a process has left that is no more is taken over, so that its
    transactions are ended too.

    Args:
        folder: Where they are; made if it is not there.

    Attributes:
        held: By coordinator, the logs that are this process's now.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.held: dict[str, Log] = {}

    def open(self) -> Log:
        """Take what nobody has, and one to write. Blocks.

        Raises:
            ConfigurationError: The folder or a log of it cannot be used.
        """
        try:
            if not self._folder.is_dir():
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                sync_folder(self._folder.parent)
            taken = self.take_over()
            self.hold(taken)
            if taken:
                return taken[0]
            identity = new_id()
            log = Log(LogFile.create(self._folder, identity), Content(identity))
        except OSError as error:
            raise unusable(self._folder, error.strerror or str(error)) from error
        self.hold([log])
        return log

    def hold(self, logs: Iterable[Log]) -> None:
        """Have their transactions ended here from now on."""
        self.held.update((log.coordinator, log) for log in logs)

    def take_over(self) -> list[Log]:
        """The logs that no process has any more, for `hold`. Blocks.

        Raises:
            ConfigurationError: One of them cannot be used.
            OSError: The folder cannot.
        """
        taken: list[Log] = []
        try:
            for path in sorted(self._folder.glob("*.log")):
                taken += [] if path.stem in self.held else _open(path)
        except BaseException:
            for log in taken:
                log.release()
            raise
        return taken

    async def close(self) -> None:
        """Let other processes have them."""
        for log in self.held.values():
            await log.close()
        self.held.clear()


def _open(path: Path) -> list[Log]:
    """The log, unless another process has it."""
    try:
        file, content = LogFile.open(path)
    except (LockedError, FileNotFoundError):
        return []
    except DamagedError as error:
        raise unusable(path, str(error)) from error
    if content.coordinator != path.stem:
        file.close()
        raise unusable(path, f"it is a copy, or was renamed: it is {content.coordinator}'s")
    return [Log(file, content)]


def unusable(path: Path, reason: str) -> ConfigurationError:
    """That a log cannot be used."""
    return ConfigurationError(
        "COVET-TWOPHASE-LOG",
        f"the log of transactions cannot be used: {reason}.",
        place=str(path),
        fix="Name a folder that lasts and can be written to; of a damaged log, see 'covet twophase list'"
        " before it is put aside.",
    )
