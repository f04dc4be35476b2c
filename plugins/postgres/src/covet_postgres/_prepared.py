"""A statement as one connection's server knows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.abc import Transformer as TransformerProtocol
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult

from covet_kernel.contracts import Row, SqlError
from covet_postgres._errors import failure
from covet_postgres._types import BUILTIN, Types
from covet_postgres._values import BINARY, BYTEA, encode

Values = Sequence[bytes | bytearray | memoryview | None]

CHANGES = (b"INSERT", b"UPDATE", b"DELETE", b"MERGE")
"""Commands whose number of rows is that of rows changed; it is another for SELECT or FETCH."""

GOOD = frozenset((ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK))
TUPLES = ExecStatus.TUPLES_OK


class Prepared:
    """What the server has said of a statement: the types of its parameters and its columns.

    Attributes:
        name: What the server calls it.
        ready: The server has described it, or refused to.
        closed: The server has been told to forget it.
        formats: How each parameter is sent.
        result_format: How all columns are asked for.
        oids: The parameters' types.
        loaded: Everything that is known of its types has been taken in.
    """

    __slots__ = (
        "_columns",
        "_loader",
        "_names",
        "_types",
        "_waiters",
        "_written_as",
        "closed",
        "error",
        "formats",
        "loaded",
        "name",
        "oids",
        "ready",
        "result_format",
    )

    def __init__(self, name: bytes, types: Types) -> None:
        self.name = name
        self.ready = False
        self.loaded = False
        self.closed = False
        self.error: SqlError | None = None
        self.oids: tuple[int, ...] = ()
        self.formats: list[int] | None = None
        self.result_format = Format.BINARY
        self._names: tuple[str, ...] = ()
        self._columns: list[int] = []
        self._written_as: list[int] = []
        self._types = types
        self._loader = Transformer(types.adapters)
        self._waiters: list[Any] = []

    def wait(self, reply: Any) -> Any:
        """Have ``reply`` set when it is `ready`."""
        self._waiters.append(reply)
        return reply

    def settle(self, results: list[PGresult] | SqlError) -> None:
        """Take in what the server has answered."""
        self.ready = True
        if isinstance(results, SqlError):
            self.error, self.closed = results, True
        elif bad := next((each for each in results if each.status not in GOOD), None):
            self.error, self.closed = failure(bad), True
        else:
            self._describe(results[-1])
        for reply in self._waiters:
            if not reply.done():
                reply.set_result(None)
        self._waiters.clear()

    def _describe(self, result: PGresult) -> None:
        self.oids = tuple(result.param_type(n) for n in range(result.nparams))
        self._names = names_of(result)
        self._columns = [result.ftype(n) for n in range(result.nfields)]
        self.result_format = Format.BINARY if BINARY.issuperset(self._columns) else Format.TEXT
        if not self.unknown():
            self.load()

    def unknown(self) -> list[int]:
        """The types of which the server has to be asked before it is loaded."""
        return self._types.unknown((*self.oids, *self._columns))

    def load(self) -> None:
        """Take in what is known of the types."""
        self._written_as = [self._types.base(oid) for oid in self.oids]
        if BYTEA in self._written_as:
            self.formats = [int(oid == BYTEA) for oid in self._written_as]
        self._loader.set_loader_types(self._columns, self.result_format)
        self.loaded = True

    def values(self, given: Sequence[Any]) -> Values:
        """The parameters' values as they are sent.

        Raises:
            SqlError: One does not fit its type, or there are too few or too many.
        """
        oids, known = self._written_as, self._types
        if len(oids) != len(given):
            raise SqlError(
                f"the statement has {len(oids)} parameters, and {len(given)} values were given",
                sqlstate="07001",
            )
        return [encode(value, oid, known) for value, oid in zip(given, oids, strict=True)]

    def check_names(self) -> None:
        """Refuse columns of one name.

        Raises:
            SqlError: A row by column name would lose one.
        """
        check_names(self._names)

    def rows(self, result: PGresult) -> list[Row]:
        """The rows of a result."""
        return loaded(self._loader, result, self._names, set_loaders=False)


def names_of(result: PGresult) -> tuple[str, ...]:
    """The columns' names."""
    return tuple((result.fname(n) or b"").decode() for n in range(result.nfields))


def check_names(names: tuple[str, ...]) -> None:
    """Refuse columns of one name.

    Raises:
        SqlError: A row by column name would lose one.
    """
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SqlError(f"the rows have {twice!r} twice: rename one with AS", sqlstate="42701")


def loaded(
    loader: TransformerProtocol, result: PGresult, names: tuple[str, ...], *, set_loaders: bool
) -> list[Row]:
    """The rows of a result by column name.

    Raises:
        SqlError: A value has no counterpart in Python, as a date before Christ.
    """

    def row(values: Sequence[Any]) -> Row:
        return dict(zip(names, values, strict=True))

    try:
        loader.set_pgresult(result, set_loaders=set_loaders)
        return loader.load_rows(0, result.ntuples, row)
    except (psycopg.Error, ValueError, OverflowError) as error:
        raise SqlError(
            "a value of the result cannot be had in Python; select it as text", sqlstate="22008"
        ) from error
    finally:
        loader.set_pgresult(None, set_loaders=False)


def rows_of(result: PGresult, types: Types = BUILTIN) -> list[Row]:
    """The rows of a result that nothing was prepared for."""
    names = names_of(result)
    check_names(names)
    return loaded(Transformer(types.adapters), result, names, set_loaders=True)


def changed_by(result: PGresult) -> int:
    """How many rows a statement has changed."""
    if (result.command_status or b"").startswith(CHANGES):
        return result.command_tuples or 0
    return 0


def checked(results: list[PGresult] | SqlError) -> list[PGresult]:
    """The results of a group of commands, if all went well.

    Raises:
        SqlError: One was refused, or the connection ended before the answer.
    """
    if isinstance(results, SqlError):
        raise type(results)(str(results), sqlstate=results.sqlstate)
    for result in results:
        if result.status not in GOOD:
            if result.status == ExecStatus.EMPTY_QUERY:
                raise SqlError("a text holds one statement, this one none", sqlstate="42601")
            raise failure(result)
    return results
