"""A file that came with a form: in memory if it is small, else in a temporary file without a name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

import anyio
import anyio.to_thread
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from covet_http._request import Request
from covet_kernel.contracts import Call

if TYPE_CHECKING:
    from covet_http._forms._head import PartHead

_CHUNK = 64 * 1024
# What waits in memory while a file goes to disk: a worker thread costs as much as writing 64 KiB.
_BATCH = 512 * 1024


class Upload:
    """A file of a form, whole.

    As a parameter, a field of a model, or a list of either::

        @http.post("/covers")
        async def add(title: str, cover: http.Upload) -> int:
            return len(await cover.read())

    It lives as long as its call: then it is closed, and nothing is left of it on disk. What touches
    the disk runs in worker threads.

    Args:
        data: The content, for tests that call a handler.
        filename: See below.
        content_type: See below.
        name: See below.

    Attributes:
        name: Of the field.
        filename: The last segment of what the client calls it, safe as a name; may be empty. Two
            files may have one name, and an extension says nothing about the content.
        content_type: The media type the client says, without parameters; empty if it says none.
        headers: Of its part, by lower-case name.
        size: Bytes.
    """

    __slots__ = (
        "_batch", "_closed", "_data", "_file", "_position", "_waiting", "content_type", "filename",
        "headers", "name", "size",
    )  # fmt: skip

    __covet_call__: ClassVar[type[Call]] = Request

    headers: Mapping[str, str]

    def __init__(
        self, data: bytes = b"", *, filename: str = "", content_type: str = "", name: str = ""
    ) -> None:
        self.name = name
        self.filename = filename
        self.content_type = content_type
        self.headers = {}
        self.size = len(data)
        self._data = data
        self._file: BinaryIO | None = None
        self._position = 0
        self._closed = False
        self._batch: list[bytes] = []
        self._waiting = 0

    async def read(self, size: int = -1) -> bytes:
        """The next bytes, from where the last call stopped.

        Args:
            size: How many at most; all that are left unless given.

        Raises:
            ValueError: Its call is over.
        """
        if self._closed:
            raise ValueError("the upload is gone: its call is over")
        file = self._file
        if file is not None:
            return await anyio.to_thread.run_sync(file.read, size)
        start = self._position
        end = self.size if size < 0 else min(start + size, self.size)
        self._position = end
        return self._data[start:end]

    async def seek(self, position: int) -> None:
        """Go on reading from there.

        Args:
            position: Bytes from the beginning.

        Raises:
            ValueError: Its call is over, or that is not within the file.
        """
        if self._closed:
            raise ValueError("the upload is gone: its call is over")
        if not 0 <= position <= self.size:
            raise ValueError(f"{position} is not within {self.size} bytes")
        if self._file is None:
            self._position = position
        else:
            await anyio.to_thread.run_sync(self._file.seek, position)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read(_CHUNK):
            yield piece

    def open(self) -> BinaryIO:
        """The content as a plain file at its beginning, for libraries and for handlers in threads.

        Reading it may block on the disk, so not in the event loop. It is closed with the call.

        Raises:
            ValueError: Its call is over.
        """
        if self._closed:
            raise ValueError("the upload is gone: its call is over")
        if self._file is None:
            return BytesIO(self._data)
        self._file.seek(0)
        return self._file

    async def save(self, path: str | Path) -> None:
        """Write all of it to a new file; reading then goes on at the end.

        Args:
            path: Where. Make the name up yourself, or check ``filename``: others may send the same.

        Raises:
            FileExistsError: There is such a file; it is left as it is.
            ValueError: Its call is over.
        """
        await self.seek(0)
        try:
            await anyio.to_thread.run_sync(self._copy, Path(path))
        finally:
            self._position = self.size

    def _copy(self, path: Path) -> None:
        with path.open("xb") as target:
            try:
                if self._file is None:
                    target.write(self._data)
                    return
                while piece := self._file.read(_BATCH):
                    target.write(piece)
            except BaseException:
                path.unlink()
                raise

    def __repr__(self) -> str:
        return f"Upload(name={self.name!r}, filename={self.filename!r}, size={self.size})"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.is_instance_schema(cls, cls_repr="file")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "format": "binary",
            "contentMediaType": "application/octet-stream",
        }


class Spool:
    """The files of one form while they arrive, and until its call ends.

    Args:
        room: Bytes that all of them together may take in memory.
        directory: Of temporary files; empty: the system's.
    """

    __slots__ = ("_directory", "_room", "uploads")

    def __init__(self, room: int, directory: str) -> None:
        self._room = room
        self._directory = directory
        self.uploads: list[Upload] = []

    def open(self, head: PartHead) -> Upload:
        """A file begins."""
        upload = Upload(
            filename=head.filename or "", content_type=head.content_type, name=head.name
        )
        upload.headers = head.headers
        self.uploads.append(upload)
        return upload

    def take(self, upload: Upload, piece: bytes) -> bool:
        """More of a file; whether `write` has to be called before the next."""
        upload._batch.append(piece)
        upload.size += len(piece)
        if upload._file is None:
            self._room -= len(piece)
            return self._room < 0
        upload._waiting += len(piece)
        return upload._waiting >= _BATCH

    def end(self, upload: Upload) -> bool:
        """A file is complete; whether `write` has to be called with ``whole=True``."""
        if upload._file is not None or self._room < 0:
            return True
        upload._data = b"".join(upload._batch)
        upload._batch.clear()
        return False

    async def write(self, upload: Upload, *, whole: bool = False) -> None:
        """Write what waits, in a worker thread; in this form's memory it takes no room then.

        Args:
            upload: Whose.
            whole: It is complete, and will be read from its beginning.
        """
        if upload._file is None:
            self._room += upload.size
        batch, upload._batch, upload._waiting = upload._batch, [], 0
        await anyio.to_thread.run_sync(partial(self._store, upload, batch, whole=whole))

    def _store(self, upload: Upload, batch: list[bytes], *, whole: bool) -> None:
        if upload._file is None:
            # Slow to import, and most forms have no large file.
            from tempfile import TemporaryFile

            upload._file = TemporaryFile(dir=self._directory or None)  # noqa: SIM115 - see `close`
        upload._file.writelines(batch)
        if whole:
            upload._file.seek(0)

    async def close(self) -> None:
        """Let go of all of them, whatever happens meanwhile."""
        files = []
        for upload in self.uploads:
            upload._closed = True
            upload._data = b""
            upload._batch.clear()
            if upload._file is not None:
                files.append(upload._file)
        if files:
            # Giving back a large file's blocks takes a while.
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_close, files)


def _close(files: list[BinaryIO]) -> None:
    for file in files:
        try:
            file.close()
        except OSError:
            # What could not be written while closing is of no use to anybody.
            continue
