"""Rows of Python values in COPY's text format."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Any

import anyio.lowlevel

from covet_kernel.contracts import SqlError
from covet_postgres._copy import closing
from covet_postgres._types import Types
from covet_postgres._values import BYTEA, STRICT, encode

FIRST = 16
ROWS = 1000
"""Rows encoded at once, at first and at most."""
PIECE = 1 << 17
"""Bytes that are aimed at for what is sent at once."""
ESCAPED = re.compile(r"[\\\t\n\r]")
ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
NULL = "\\N"
SPECIAL = re.compile(r"[\\\t\n\r\0]")
"""Characters of which a text has to be looked at by itself."""
ONLY_INTEGERS, ONLY_FLOATS, ONLY_TEXTS = {int}, {float}, {str}


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
    many = FIRST
    async with aclosing(_in_lots(rows, lambda: many)) as lots:
        async for some in lots:
            yield (piece := _piece(some, types, known))
            # As many as the last ones let expect in a piece.
            many = max(1, min(ROWS, 4 * many, PIECE * len(some) // len(piece)))


async def _in_lots(
    rows: Iterable[Sequence[Any]] | AsyncIterable[Sequence[Any]], many: Callable[[], int]
) -> AsyncGenerator[list[Sequence[Any]], None]:
    if isinstance(rows, AsyncIterable):
        some: list[Sequence[Any]] = []
        async with closing(rows):
            async for row in rows:
                some.append(row)
                if len(some) >= many():
                    yield some
                    some = []
        if some:
            yield some
        return
    source = iter(rows)
    while some := list(islice(source, many())):
        yield some
        await anyio.lowlevel.checkpoint()


def _piece(rows: list[Sequence[Any]], types: Sequence[int], known: Types) -> bytes:
    if not {str, bytes}.isdisjoint(map(type, rows)):
        raise SqlError("a row is a sequence of values, not one text", sqlstate="07001")
    for length in set(map(len, rows)) - {len(types)}:
        raise SqlError(
            f"there are {len(types)} columns, and a row has {length} values", sqlstate="07001"
        )
    # By column: what all values of one have in common is looked at once.
    columns = [
        _column(values, oid, known)
        for values, oid in zip(zip(*rows, strict=True), types, strict=True)
    ]
    lines = list(map("\t".join, zip(*columns, strict=True)))
    lines.append("")
    try:
        return "\n".join(lines).encode()
    except UnicodeEncodeError:
        raise SqlError("a text has characters that UTF-8 cannot carry", sqlstate="22021") from None


def _column(values: Sequence[Any], oid: int, known: Types) -> Iterable[str]:
    kinds = set(map(type, values))
    if oid not in STRICT and kinds in (ONLY_INTEGERS, ONLY_FLOATS):
        return map(repr, values)
    if oid != BYTEA and kinds == ONLY_TEXTS and SPECIAL.search("".join(values)) is None:
        return values
    return [_field(value, oid, known) for value in values]


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
