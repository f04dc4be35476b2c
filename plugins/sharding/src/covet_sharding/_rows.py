"""The rows of one table on one shard, as a move reads and writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from covet_kernel import ConfigurationError
from covet_kernel.contracts import Row, SqlSession
from covet_sharding._config import Table

Place: TypeAlias = tuple[Any, ...]
"""The values of a primary key."""

TOGETHER = 100
"""Rows that are asked for at once by their keys."""


def quoted(name: str) -> str:
    """An identifier, as every dialect here reads it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text within a statement that takes no parameters, as triggers are."""
    return "'" + text.replace("'", "''") + "'"


class Rows:
    """One table.

    Attributes:
        table: As it is configured.
        name: Quoted.
    """

    def __init__(self, table: Table, dialect: str) -> None:
        self.table = table
        self.name = quoted(table.name)
        self._dialect = dialect
        self._columns = [quoted(each) for each in table.primary_key]
        self._list = ", ".join(self._columns)
        self._kinds: tuple[type, ...] | None = None

    def place(self, row: Row) -> Place:
        """Its primary key.

        Raises:
            ConfigurationError: It is of a type that a move cannot note down.
        """
        found = tuple(row[each] for each in self.table.primary_key)
        kinds = tuple(map(type, found))
        if self._kinds is None:
            wrong = [each.__name__ for each in kinds if each not in (int, str, UUID)]
            if wrong:
                raise ConfigurationError(
                    "COVET-SHARD-TABLE",
                    f"the primary key of {self.table.name!r} has a value of type {wrong[0]}.",
                    place="[plugins.sharding] tables",
                    valid=("int", "str", "UUID"),
                    fix="Name columns of these types that tell the rows apart.",
                )
            self._kinds = kinds
        return found

    async def after(
        self,
        session: SqlSession,
        place: Place | None,
        limit: int,
        condition: str = "",
        params: Sequence[Any] = (),
        *,
        last: Place | None = None,
    ) -> list[Row]:
        """Some rows behind a place and up to a last one, in the order of the primary key."""
        conditions = [f"({condition})"] if condition else []
        values = [*params]
        for sign, bound in ((">", place), ("<=", last)):
            if bound is not None:
                marks = ", ".join("?" * len(bound))
                conditions.append(f"({self._list}) {sign} ({marks})")
                values += bound
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return await session.fetch_all(
            f"SELECT * FROM {self.name}{where} ORDER BY {self._list} LIMIT {limit:d}",  # noqa: S608
            values,
        )

    async def last(self, session: SqlSession) -> Place | None:
        """The greatest primary key, ``None`` if there are no rows."""
        order = ", ".join(f"{each} DESC" for each in self._columns)
        row = await session.fetch_one(
            f"SELECT {self._list} FROM {self.name} ORDER BY {order} LIMIT 1"  # noqa: S608
        )
        return None if row is None else self.place(row)

    async def at(self, session: SqlSession, places: Sequence[Place]) -> list[Row]:
        """The rows of these keys that there are."""
        found: list[Row] = []
        for begin in range(0, len(places), TOGETHER):
            part = places[begin : begin + TOGETHER]
            found += await session.fetch_all(
                f"SELECT * FROM {self.name} WHERE {self._any(len(part))}",  # noqa: S608
                [value for place in part for value in place],
            )
        return found

    async def put(self, session: SqlSession, rows: Iterable[Row]) -> None:
        """Have these rows be there as they are."""
        many = list(rows)
        if not many:
            return
        names = list(many[0])
        columns, marks = ", ".join(map(quoted, names)), ", ".join("?" * len(names))
        rest = [quoted(each) for each in names if each not in self.table.primary_key]
        if self._dialect == "mysql":
            sets = ", ".join(f"{each} = VALUES({each})" for each in rest or self._columns)
            behind = f"ON DUPLICATE KEY UPDATE {sets}"
        else:
            sets = ", ".join(f"{each} = excluded.{each}" for each in rest)
            behind = f"ON CONFLICT ({self._list}) DO {f'UPDATE SET {sets}' if rest else 'NOTHING'}"
        # Numbers that the database counts itself come along.
        given = "OVERRIDING SYSTEM VALUE VALUES" if self._dialect == "postgresql" else "VALUES"
        await session.execute_many(
            f"INSERT INTO {self.name} ({columns}) {given} ({marks}) {behind}",
            [tuple(row.values()) for row in many],
        )

    async def remove(self, session: SqlSession, places: Sequence[Place]) -> int:
        """Have no rows of these keys; how many there were."""
        gone = 0
        for begin in range(0, len(places), TOGETHER):
            part = places[begin : begin + TOGETHER]
            gone += await session.execute(
                f"DELETE FROM {self.name} WHERE {self._any(len(part))}",  # noqa: S608
                [value for place in part for value in place],
            )
        return gone

    def _any(self, count: int) -> str:
        one = " AND ".join(f"{each} = ?" for each in self._columns)
        return " OR ".join([f"({one})"] * count)

    # Places as text, in the log of changes and where a copy has got to

    @staticmethod
    def text_of(place: Place) -> str:
        """A place as text."""
        return json.dumps([str(each) if isinstance(each, UUID) else each for each in place])

    async def places_of(self, sessions: Sequence[SqlSession], texts: Iterable[str]) -> list[Place]:
        """Places from their texts, in the types that the table's keys have.

        A table that is empty wherever it is looked at has no rows of them either.
        """
        for session in sessions:
            if self._kinds is None:
                for row in await self.after(session, None, 1):
                    self.place(row)
        if self._kinds is None:
            return []
        return [
            tuple(
                UUID(each) if kind is UUID else kind(each)
                for kind, each in zip(self._kinds, json.loads(text), strict=True)
            )
            for text in texts
        ]
