"""COPY for whoever has a session: data in and out in bulk."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import anyio
import anyio.lowlevel

from covet_kernel.contracts import SqlError, SqlSession

if TYPE_CHECKING:
    from covet_postgres._types import Types

CHUNK = 1 << 17
"""Bytes sent at once."""
READ = 1 << 20
"""Bytes read at once of a file, each time in a thread."""


class Readable(Protocol):
    """A file open for reading bytes, as ``open(path, "rb")`` gives it."""

    def read(self, size: int, /) -> bytes: ...


Source: TypeAlias = (
    bytes
    | bytearray
    | memoryview
    | os.PathLike[str]
    | Readable
    | AsyncIterable[bytes]
    | Iterable[bytes]
)
"""Where the data of a COPY comes from: itself, the path of a file, an open file, or pieces of any size."""


class CopySession(Protocol):
    """What sessions of PostgreSQL can do, and the database."""

    async def copy_in(self, sql: str, chunks: AsyncIterable[bytes | memoryview]) -> int: ...

    def copy_out(self, sql: str) -> AsyncGenerator[bytes, None]: ...

    async def column_types(self, query: str) -> tuple[list[int], Types]: ...


def _postgres(session: SqlSession) -> CopySession:
    if not hasattr(session, "copy_in"):
        raise SqlError(
            f"{type(session).__name__} has no COPY: it takes a database of covet-postgres, or a session"
            " of one",
            sqlstate="0A000",
        )
    return cast("CopySession", session)


async def copy_in(session: SqlSession, sql: str, source: Source) -> int:
    """Store data that is in one of COPY's formats already; all of it, or none.

    A piece is sent when the server has room for it, so that memory stays bounded whatever the source.
    The server reports what is wrong with the data when it has had all of it.

    Args:
        session: A PostgreSQL database, or a session of one.
        sql: ``COPY table (column, ...) FROM STDIN``, with its options in ``WITH (FORMAT csv)``. Nothing
            in it is a value of the caller's: names from elsewhere have to be quoted.
        source: Where the data comes from. An async generator is closed; a file that was open is not.

    Returns:
        The number of rows stored.

    Raises:
        SqlError: The server refuses the statement or the data, or the source gives no bytes.
    """
    async with aclosing(_pieces(source)) as pieces:
        return await _postgres(session).copy_in(sql, pieces)


async def copy_out(session: SqlSession, sql: str) -> AsyncGenerator[bytes, None]:
    """Data as the server sends it, in pieces of whole rows; close it (``aclosing``) when done early.

    Whoever reads slowly keeps the server waiting, and nothing piles up.

    Args:
        session: A PostgreSQL database, or a session of one.
        sql: ``COPY table TO STDOUT`` or ``COPY (SELECT ...) TO STDOUT``, with its options. Nothing in
            it is a value of the caller's.

    Raises:
        SqlError: The server refuses.
    """
    async with aclosing(_postgres(session).copy_out(sql)) as pieces:
        async for piece in pieces:
            yield piece


async def copy_rows(
    session: SqlSession,
    table: str | tuple[str, str],
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]] | AsyncIterable[Sequence[Any]],
) -> int:
    """Store rows of Python values, several times as quick as by INSERT; all of them, or none.

    Args:
        session: A PostgreSQL database, or a session of one.
        table: Its name, or schema and name. Names are quoted, and may come from anywhere.
        columns: What the values are for, in their order; at least one.
        rows: Values as parameters take them, one for each column. They are drawn as they are sent.

    Returns:
        The number of rows stored.

    Raises:
        SqlError: A value does not fit its column, a row is of another length, or the server refuses.
    """
    from covet_postgres._rows import encoded

    if not columns:
        raise SqlError("copy_rows has no columns to store", sqlstate="42601")
    name = ".".join(map(quoted, (table,) if isinstance(table, str) else table))
    names = ", ".join(map(quoted, columns))
    target = _postgres(session)
    # Names, quoted above.
    types, known = await target.column_types(f"SELECT {names} FROM {name} LIMIT 0")  # noqa: S608
    async with aclosing(encoded(rows, types, known)) as pieces:
        return await target.copy_in(f"COPY {name} ({names}) FROM STDIN", pieces)


@asynccontextmanager
async def closing(source: AsyncIterable[Any]) -> AsyncIterator[None]:
    """Close an async generator behind the block: nobody can go on with what is left of it."""
    try:
        yield
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever is in it.

    Raises:
        SqlError: There is a NUL in it, or nothing.
    """
    if not name or "\0" in name:
        raise SqlError("a name is not empty and has no NUL characters", sqlstate="42602")
    return '"' + name.replace('"', '""') + '"'


async def _pieces(source: Source) -> AsyncGenerator[bytes | memoryview, None]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        for piece in _cut(source):
            yield piece
            await anyio.lowlevel.checkpoint()
    elif isinstance(source, os.PathLike):
        async with await anyio.open_file(source, "rb") as file:
            while data := await file.read(READ):
                for piece in _cut(data):
                    yield piece
    elif isinstance(source, AsyncIterable):
        async with closing(source):
            async for data in source:
                for piece in _cut(data):
                    yield piece
    elif hasattr(source, "read"):
        while data := await anyio.to_thread.run_sync(source.read, READ):
            for piece in _cut(data):
                yield piece
    else:
        for data in source:
            for piece in _cut(data):
                yield piece
            await anyio.lowlevel.checkpoint()


def _cut(data: object) -> Iterable[bytes | memoryview]:
    if isinstance(data, bytes) and len(data) <= CHUNK:
        return (data,)
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise SqlError(
            f"COPY takes bytes, and its source gave a {type(data).__name__}: encode it, open a file"
            ' with "rb", or name it by a Path',
            sqlstate="07006",
        )
    view = memoryview(data).cast("B")
    return (view[at : at + CHUNK] for at in range(0, len(view), CHUNK))
