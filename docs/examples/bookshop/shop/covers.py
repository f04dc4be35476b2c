"""Covers of books: images in a folder, each under the number of its book."""

from __future__ import annotations

import os
import re
import shutil
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Final

from anyio import to_thread

import covet_http as http
from covet_kernel import ConfigurationError
from covet_kernel.contracts import Capability, SqlDatabase
from covet_operations import operation
from shop.books import get_book
from shop.errors import NoCover, NoSuchBook, NotAnImage
from shop.models import Id

MAX_BYTES = 2_000_000
# How the images begin that browsers show; what a client calls them says nothing.
KINDS = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}


class Covers:
    """A folder of covers. Its methods block on the disk: they belong in worker threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, book_id: int) -> Path:
        return self.folder / str(book_id)

    def kind(self, book_id: int) -> str | None:
        """The media type of a cover, `None` if there is none."""
        try:
            with self.path(book_id).open("rb") as file:
                return kind_of(file)
        except FileNotFoundError:
            return None

    def keep(self, book_id: int, content: BinaryIO) -> None:
        """Put a cover in the place of the one before; whoever looks sees one or the other whole."""
        part = self.folder / f".{book_id}-{token_hex(8)}"
        try:
            with part.open("xb") as file:
                shutil.copyfileobj(content, file)
                file.flush()
                os.fsync(file.fileno())  # else a power failure could leave the name without bytes
            part.replace(self.path(book_id))
        except BaseException:
            part.unlink(missing_ok=True)
            raise


COVERS: Final = Capability[Covers]("shop.covers")


async def open_covers(folder: Path) -> Covers:
    """The covers of a folder, which is created if it is missing.

    Raises:
        ConfigurationError: It cannot be.
    """
    try:
        await to_thread.run_sync(partial(folder.mkdir, exist_ok=True))
    except OSError as error:
        raise ConfigurationError(
            "SHOP-COVERS",
            f"the folder of covers cannot be used: {error.strerror}.",
            place=str(folder),
            fix="Let plugins.shop.covers name a folder, or one that can be created.",
        ) from error
    return Covers(folder)


def kind_of(file: BinaryIO) -> str | None:
    """The media type of an image, told from its first bytes."""
    start = file.read(12)
    file.seek(0)
    return next((kind for kind, begins in KINDS.items() if begins.match(start)), None)


@operation(errors=(NoSuchBook, NotAnImage))
@http.put("/books/{id}/cover", max_body=MAX_BYTES)
async def set_cover(db: SqlDatabase, covers: Covers, id: Id, cover: http.Upload) -> None:
    """Give a book a cover, in place of the one it may have."""
    await get_book(db, id)
    content = cover.open()
    if await to_thread.run_sync(kind_of, content) is None:
        raise NotAnImage("its first bytes are not those of a PNG, JPEG or WebP image")
    await to_thread.run_sync(covers.keep, id, content)


@operation(errors=(NoCover,))
@http.get("/books/{id}/cover")
async def get_cover(covers: Covers, id: Id) -> http.File:
    """The cover of a book; clients that have it already, or want a part, are served as such."""
    kind = await to_thread.run_sync(covers.kind, id)
    if kind is None:
        raise NoCover(f"there is no cover of book {id}", book_id=id)
    return http.File(covers.path(id), media_type=kind, cache="no-cache")
