"""Forms: ``application/x-www-form-urlencoded`` and ``multipart/form-data`` (RFC 7578)."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any, TypeAlias
from urllib.parse import urlencode

Content: TypeAlias = "str | bytes | AsyncIterable[bytes]"
"""What is sent: a text in UTF-8, bytes, or pieces of bytes as they are made."""
File: TypeAlias = "Content | tuple[str, Content] | tuple[str, Content, str]"
"""A file: its content, or the file's name, the content and, if wanted, the media type."""
Fields: TypeAlias = "Mapping[str, Any] | Sequence[tuple[str, Any]]"
"""Values by name; a list of values is sent as several of the same name."""
Files: TypeAlias = "Mapping[str, File | Sequence[File]] | Sequence[tuple[str, File]]"
"""Files by the name of their field."""

_STREAM = "application/octet-stream"


def pairs_of(fields: Fields | None) -> list[tuple[str, str]]:
    """Each name and value as text."""
    given = fields.items() if isinstance(fields, Mapping) else fields or ()
    return [
        (name, _text(each))
        for name, value in given
        for each in (value if isinstance(value, list | tuple) else (value,))
    ]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def encode_query(fields: Fields) -> str:
    """A query, or a form in the body."""
    return urlencode(pairs_of(fields))


def encode_multipart(fields: Fields | None, files: Files) -> tuple[str, Content]:
    """The media type, with its boundary, and the body.

    The body is bytes if all contents are known, and comes in pieces if one of them does.
    """
    boundary = f"covet-{token_hex(12)}"
    parts: list[tuple[bytes, Content]] = []
    for name, value in pairs_of(fields):
        parts.append((_part_head(boundary, name), value.encode("utf-8")))
    given: Iterable[tuple[str, Any]] = files.items() if isinstance(files, Mapping) else files
    for name, file in given:
        for each in file if isinstance(file, list) else (file,):
            filename, content, kind = _file(name, each)
            parts.append((_part_head(boundary, name, filename, kind), content))
    end = f"--{boundary}--\r\n".encode("ascii")
    media_type = f"multipart/form-data; boundary={boundary}"
    if all(isinstance(content, str | bytes) for _, content in parts):
        whole = b"".join(head + as_bytes(content) + b"\r\n" for head, content in parts)
        return media_type, whole + end
    return media_type, _pieces(parts, end)


async def _pieces(parts: Sequence[tuple[bytes, Content]], end: bytes) -> AsyncIterator[bytes]:
    for head, content in parts:
        yield head
        if isinstance(content, str | bytes):
            yield as_bytes(content)
        else:
            async with closing(content) as more:
                async for piece in more:
                    yield piece
        yield b"\r\n"
    yield end


@asynccontextmanager
async def closing(pieces: AsyncIterable[bytes]) -> AsyncIterator[AsyncIterable[bytes]]:
    """Close an asynchronous generator that is left before its end; others need no closing."""
    try:
        yield pieces
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def as_bytes(content: Any) -> bytes:
    """Text or bytes as bytes."""
    return content.encode("utf-8") if isinstance(content, str) else bytes(content)


def _file(name: str, given: Any) -> tuple[str, Content, str]:
    if not isinstance(given, tuple):
        return name, given, _STREAM
    filename, content, *kind = given
    return filename, content, kind[0] if kind else _STREAM


def _part_head(boundary: str, name: str, filename: str | None = None, kind: str = "") -> bytes:
    lines = [f"--{boundary}", f'Content-Disposition: form-data; name="{_quoted(name)}"']
    if filename is not None:
        lines[1] += f'; filename="{_quoted(filename)}"'
        lines.append(f"Content-Type: {kind}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def _quoted(name: str) -> str:
    """As browsers escape what would end the quotes or the line."""
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
