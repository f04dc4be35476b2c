"""Rows of Python values in COPY's text format."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from itertools import islice
from typing import Any

import anyio.lowlevel

from covet_kernel.contracts import SqlError
from covet_postgres._copy import closing
from covet_postgres._types import Types
from covet_postgres._values import BYTEA, STRICT, encode

ROWS = 500
"""Rows encoded at once."""
PIECE = 1 << 17
"""Characters sent at once, or one row if it is longer."""
ESCAPED = re.compile(r"[\\\t\n\r]")
ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
NULL = "\\N"


async def encoded(
    rows: Iterable[Sequence[Any]] | AsyncIterable[Sequence[Any]],
    types: Sequence[int],
    known: Types,
) -> AsyncGenerator[bytes, None]:
    """Pieces of whole rows.

    Args:
        rows: Values by column.
        types: The columns' types, as PostgreSQL numbers them.
        known: What is known of them.

    Raises:
        SqlError: A value does not fit its column, or a row has another number of them.
    """
    lines: list[str] = []
    size = 0
    if isinstance(rows, AsyncIterable):
        async with closing(rows):
            async for row in rows:
                lines.append(line := _line(row, types, known))
                size += len(line)
                if size >= PIECE or len(lines) >= ROWS:
                    yield _bytes(lines)
                    lines, size = [], 0
        if lines:
            yield _bytes(lines)
        return
    source = iter(rows)
    while some := list(islice(source, ROWS)):
        for row in some:
            lines.append(line := _line(row, types, known))
            size += len(line)
            if size >= PIECE:
                yield _bytes(lines)
                lines, size = [], 0
        if lines:
            yield _bytes(lines)
            lines, size = [], 0
        await anyio.lowlevel.checkpoint()


def _line(row: Sequence[Any], types: Sequence[int], known: Types) -> str:
    if isinstance(row, (str, bytes)):
        raise SqlError("a row is a sequence of values, not one text", sqlstate="07001")
    if len(row) != len(types):
        raise SqlError(
            f"there are {len(types)} columns, and a row has {len(row)} values", sqlstate="07001"
        )
    return "\t".join([_field(value, oid, known) for value, oid in zip(row, types, strict=True)])


def _field(value: Any, oid: int, known: Types) -> str:
    kind = type(value)
    if kind is int and oid not in STRICT:
        return int.__repr__(value)
    if value is None:
        return NULL
    if kind is str and oid != BYTEA:
        text = value
        if "\0" in text:
            raise SqlError("PostgreSQL keeps no NUL characters in a text", sqlstate="22021")
    else:
        written = encode(value, oid, known)
        if oid == BYTEA:
            return f"\\\\x{bytes(written or b'').hex()}"
        text = bytes(written or b"").decode()
    return ESCAPED.sub(_escape, text) if ESCAPED.search(text) else text


def _escape(match: re.Match[str]) -> str:
    return ESCAPES[match[0]]


def _bytes(lines: list[str]) -> bytes:
    lines.append("")
    try:
        return "\n".join(lines).encode()
    except UnicodeEncodeError:
        raise SqlError("a text has characters that UTF-8 cannot carry", sqlstate="22021") from None
