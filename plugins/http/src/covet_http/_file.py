"""Files as answers: `File`, with what clients may ask about one (RFC 9110, 13 and 14)."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping, Sequence
from mimetypes import MimeTypes
from pathlib import Path, PurePath
from secrets import token_hex
from time import time
from typing import BinaryIO, Final
from urllib.parse import quote

from anyio.to_thread import run_sync

from covet_http._conditional import Validators, evaluate, format_date, range_applies
from covet_http._folder import Folder, open_path, safe_segments
from covet_http._media import is_media_type, with_charset
from covet_http._problem import RangeNotSatisfiable
from covet_http._ranges import Span, parse_ranges
from covet_http._request import Request
from covet_http._results import LaterContent, LaterResult
from covet_operations import (
    Cancelled,
    ErrorKind,
    Internal,
    OperationError,
    PreconditionFailed,
    Unavailable,
)

BLOCK: Final = 128 * 1024
# Linux alone reads what is in memory and nothing else.
_NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)
_SHORTER: Final = "the file has become shorter"
"""Bytes that are read at once, by a worker thread."""
_SMALL: Final = 64 * 1024
# A file that changed this recently might change again without its time changing.
_SETTLED: Final = 2.0
_UNKNOWN = "application/octet-stream"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNQUOTED = re.compile(r"[^\x20-\x7e]|[\"\\%/]")

_TYPES: Final[Mapping[str, str]] = {
    ".avif": "image/avif",
    ".csv": "text/csv",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
_PACKED: Final[Mapping[str, str]] = {
    "br": "application/x-brotli",
    "bzip2": "application/x-bzip2",
    "compress": "application/x-compress",
    "gzip": "application/gzip",
    "xz": "application/x-xz",
}


class NoSuchPath(OperationError):
    """There is nothing at this path. The same answer as where there is no route."""

    kind = ErrorKind.NOT_FOUND
    title = "There is nothing at this path"


def changed() -> OperationError:
    """What a client is told that asks for a state of a file that it no longer has."""
    return PreconditionFailed("it is not as the request expects it to be")


def too_many() -> OperationError:
    """What a client is told when no file can be opened."""
    return Unavailable("too many files are open")


class Found:
    """An open file, and how it is to be sent.

    Attributes:
        file: Open for reading.
        name: What its media type is told from.
        encoding: The content coding it is stored in, such as ``"br"``; empty: none.
        vary: Whether another client would be sent another file.
        path: Where anybody else would find the same file; empty: that cannot be said.
    """

    __slots__ = ("encoding", "file", "name", "path", "vary")

    def __init__(
        self, file: BinaryIO, name: str, encoding: str = "", *, vary: bool = False, path: str = ""
    ) -> None:
        self.file = file
        self.name = name
        self.encoding = encoding
        self.vary = vary
        self.path = path


class File(LaterResult):
    """Send a file: ``return http.File("covers/7.png")``.

    Clients that have it already get 304, and those that ask for parts of it get these (206), be it one
    or several. It is read by worker threads, a block at a time, no faster than the client takes it.

    Args:
        path: The file.
        within: The folder it has to be in, for a path that somebody else has chosen: then it has
            plain segments, leads through no link and names nothing hidden.
        media_type: Unless given, told from the name.
        name: What browsers save it as; they then offer to save instead of showing it.
        inline: Whether they show it nevertheless.
        cache: The value of ``Cache-Control``; empty: none is sent.

    Raises:
        ValueError: Something in it cannot be sent.
        NoSuchPath: Once it is sent: there is no such file.
    """

    __slots__ = ("cache", "disposition", "folder", "media_type", "path")

    def __init__(
        self,
        path: Path | str,
        *,
        within: Path | str | None = None,
        media_type: str = "",
        name: str = "",
        inline: bool = False,
        cache: str = "",
    ) -> None:
        if media_type and not is_media_type(media_type):
            raise ValueError(f"{media_type!r} is no media type")
        self.path = path
        self.folder = None if within is None else Folder(within)
        self.media_type = media_type
        self.disposition = disposition(name, inline=inline) if name or inline else ""
        self.cache = cache

    def find(self, headers: Mapping[str, str]) -> Found | None:
        """Open it, in a worker thread; ``None`` if there is nothing to send."""
        if self.folder is None:
            file, path = open_path(self.path), os.path.abspath(self.path)
        else:
            # Between two looks a name within could come to lead out of the folder.
            path = ""
            segments = safe_segments(os.fspath(self.path).replace(os.sep, "/"))
            file = self.folder.open(segments) if segments else None
        return None if file is None else Found(file, PurePath(self.path).name, path=path)

    async def answer(self, request: Request) -> bytes | FileContent:
        """Say to ``request.response`` what there is to say; the bytes, or what sends them later."""
        response = request.response
        whole = request.method not in ("GET", "HEAD") or response.status not in (None, 200)
        try:
            reply = await run_sync(self._reply, request.method, request.headers, whole)
        except RangeNotSatisfiable as error:
            response.set("content-range", f"bytes */{error.size}", always=True)
            raise
        if isinstance(reply.body, FileContent):
            request.content = reply.body
            response.length = reply.body.size
        if reply.status is not None:
            response.status = reply.status
        for name, value in reply.headers:
            response.set(name, value)
        if reply.vary:
            response.vary("accept-encoding")
        return reply.body

    def _reply(self, method: str, headers: Mapping[str, str], whole: bool) -> _Reply:
        """The answer, in a worker thread. ``whole``: whatever the client says it has or wants."""
        try:
            found = self.find(headers)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise too_many() from error
            raise
        if found is None:
            raise NoSuchPath
        try:
            reply = _Reply(found)
            self._describe(reply, method, headers, whole)
        except BaseException:
            found.file.close()
            raise
        if not isinstance(reply.body, FileContent):
            found.file.close()
        return reply

    def _describe(
        self, reply: _Reply, method: str, headers: Mapping[str, str], whole: bool
    ) -> None:
        found = reply.found
        status = os.fstat(found.file.fileno())
        size, validators = status.st_size, validators_of(status, found.encoding)
        reply.say("etag", validators.etag)
        reply.say("last-modified", format_date(status.st_mtime))
        if self.cache:
            reply.say("cache-control", self.cache)
        outcome = "proceed" if whole else evaluate(headers, validators)
        if outcome == "failed":
            raise changed()
        if outcome == "unmodified":
            reply.status = 304
            return
        media_type = self.media_type or type_of(found.name)
        reply.say("accept-ranges", "bytes")
        if self.disposition:
            reply.say("content-disposition", self.disposition)
        if found.encoding:
            reply.say("content-encoding", found.encoding)
        spans: Sequence[Span] | None = None
        asked = headers.get("range")
        if (
            asked is not None
            and method == "GET"
            and not whole
            and range_applies(headers, validators)
        ):
            spans = parse_ranges(asked, size)
        if spans is None:
            reply.say("content-type", media_type)
            reply.send([Span(0, size - 1)] if size else [], size, found.path)
        elif not spans:
            raise RangeNotSatisfiable(f"there are {size} bytes", size=size)
        elif len(spans) == 1:
            reply.status = 206
            reply.say("content-type", media_type)
            reply.say("content-range", f"bytes {spans[0].first}-{spans[0].last}/{size}")
            reply.send(spans, spans[0].size)
        else:
            reply.status = 206
            _in_parts(reply, spans, size, media_type)


class _Reply:
    """What is found out about an answer in a worker thread."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self.status: int | None = None
        self.headers: list[tuple[str, str]] = []
        self.body: bytes | FileContent = b""
        self.vary = found.vary

    def say(self, name: str, value: str) -> None:
        self.headers.append((name, value))

    def send(self, parts: Sequence[bytes | Span], size: int, path: str = "") -> None:
        """Send these parts, at once if they are few bytes."""
        content = FileContent(self.found.file, parts, size, path)
        self.body = content if size > _SMALL else content.read()


def _in_parts(reply: _Reply, spans: Sequence[Span], size: int, media_type: str) -> None:
    """Several ranges, as ``multipart/byteranges`` (RFC 9110, 14.6)."""
    boundary = token_hex(16)
    reply.say("content-type", f"multipart/byteranges; boundary={boundary}")
    parts: list[bytes | Span] = []
    for span in spans:
        before = "\r\n" if parts else ""
        head = (
            f"{before}--{boundary}\r\ncontent-type: {media_type}\r\n"
            f"content-range: bytes {span.first}-{span.last}/{size}\r\n\r\n"
        )
        parts += [head.encode("latin-1"), span]
    parts.append(f"\r\n--{boundary}--\r\n".encode("ascii"))
    reply.send(parts, sum(len(each) if isinstance(each, bytes) else each.size for each in parts))


class FileContent(LaterContent):
    """The bytes of an answer that are still in a file: what ``request.body`` is of a large one.

    Args:
        file: Open; closed by `close`.
        parts: What is sent: bytes as they are, and spans of the file.
        size: How many bytes that makes.
        path: Of the file, where it is sent whole and a server may do that itself; empty: it may not.
    """

    __slots__ = ("_file", "_parts", "_path", "size")

    def __init__(
        self, file: BinaryIO, parts: Sequence[bytes | Span], size: int, path: str = ""
    ) -> None:
        self._file = file
        self._parts = parts
        self._path = path
        self.size = size

    async def send(self, request: Request) -> None:
        """Send everything, a block at a time.

        Raises:
            OperationError: The client is gone, or the file is shorter than it was; what was sent is
                not complete.
        """
        if request.head_only:
            await request.send(b"")
            return
        if self._path and await request.send_path(self._path):
            return
        for part in self._parts:
            if isinstance(part, bytes):
                await request.send(part)
                continue
            try:
                sent = await request.send_span(self._file, part.first, part.size)
            except EOFError:
                raise Internal(_SHORTER) from None
            if not sent:
                await self._send_span(request, part)
            elif request.disconnected:
                raise Cancelled("the client is gone")

    async def _send_span(self, request: Request, part: Span) -> None:
        at, left = part.first, part.size
        while left:
            size = min(left, BLOCK)
            block = self._at_hand(at, size) or await run_sync(self._block, at, size)
            await request.send(block)
            if request.disconnected:
                raise Cancelled("the client is gone")
            at += len(block)
            left -= len(block)

    def read(self) -> bytes:
        """All of it at once."""
        return b"".join(
            part if isinstance(part, bytes) else self._all(part) for part in self._parts
        )

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _all(self, span: Span) -> bytes:
        blocks, at = [], span.first
        while at <= span.last:
            blocks.append(self._block(at, span.last + 1 - at))
            at += len(blocks[-1])
        return b"".join(blocks)

    def _at_hand(self, at: int, size: int) -> bytes:
        """What the system has in memory of a block, so that no thread need wait for the disk."""
        if not _NOWAIT:
            return b""
        block = bytearray(size)
        try:
            found = os.preadv(self._file.fileno(), [block], at, _NOWAIT)
        except OSError:  # nothing of it, or the file system cannot tell
            return b""
        return bytes(memoryview(block)[:found])

    def _block(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        block = self._file.read(size)
        if not block:
            raise Internal(_SHORTER)
        return block


def validators_of(status: os.stat_result, encoding: str = "") -> Validators:
    """What tells one state of a file from another.

    Args:
        status: Of the open file.
        encoding: The content coding it is stored in; part of the tag, since files made from one
            source may have one size and time.
    """
    settled = time() - status.st_mtime > _SETTLED
    tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}{"-" if encoding else ""}{encoding}"'
    return Validators(tag if settled else f"W/{tag}", int(status.st_mtime), settled)


def type_of(name: str) -> str:
    """The media type that a file's name tells, whatever the system's own tables say."""
    suffix = PurePath(name).suffix.lower()
    known = _TYPES.get(suffix)
    if known is None:
        kind, packed = _tables().guess_type(name.lower(), strict=True)
        known = _PACKED.get(packed, _UNKNOWN) if packed else kind or _UNKNOWN
    return with_charset(known)


_known: list[MimeTypes] = []


def _tables() -> MimeTypes:
    if not _known:
        _known.append(MimeTypes(filenames=()))
    return _known[0]


def types_by_suffix() -> Mapping[str, str]:
    """The media type of every suffix that is known, in lower case with its dot; ``""``: of all others."""
    tables = _tables()
    known = {*_TYPES, *tables.types_map[True], *tables.encodings_map, *tables.suffix_map}
    types = {suffix.lower(): type_of(f"x{suffix}") for suffix in known}
    return {"": type_of("x"), **types}


def disposition(name: str, *, inline: bool = False) -> str:
    """The value of ``Content-Disposition`` (RFC 6266).

    A name beyond ASCII is sent twice: as it is for clients that understand ``filename*``, and with
    replacements for others. Neither is ever a path.

    Raises:
        ValueError: The name has control characters or lone surrogates.
    """
    kind = "inline" if inline else "attachment"
    if not name:
        return kind
    if _CONTROL.search(name):
        raise ValueError(f"{name!r} is no name of a file")
    name = re.split(r"[/\\]", name)[-1]
    plain = _UNQUOTED.sub("_", name)
    if plain == name:
        return f'{kind}; filename="{name}"'
    extended = quote(name.encode("utf-8"), safe="!#$&+-.^_`|~")
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{extended}"
