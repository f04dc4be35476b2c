"""From a query to the SQL that answers it, and from rows to a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from covet_operations._errors import Invalid
from covet_operations._paging._cursor import BadCursorError, CursorCodec, Position
from covet_operations._paging._filter import value_of
from covet_operations._paging._page import OffsetPage, Page
from covet_operations._paging._query import CursorQuery, OffsetQuery, Shape, sort_of

T = TypeVar("T")


class _Selection(Generic[T]):
    """What a query asks for, as fragments of SQL whose values are bound.

    Attributes:
        filters: The condition of the query's filters alone, to count by: ``1 = 1`` if there are none.
        filter_values: The values for it.
        where: The whole condition.
        tail: ``ORDER BY`` and ``LIMIT``.
        values: The values for both, by names that begin with ``filter_`` and ``page_``.
    """

    def __init__(self, query: CursorQuery[T] | OffsetQuery[T], shape: Shape, most: int) -> None:
        self._shape = shape
        self._query = query
        self._limit = min(query.limit, most)
        self._keys = _keys(sort_of(query).keys, shape.sort.key)
        conditions: list[str] = []
        self.filter_values: dict[str, Any] = {}
        for number, (name, each) in enumerate(shape.filters.items()):
            wanted = getattr(query, name)
            if wanted is not None:
                condition, values = each.sql(name, wanted, f"filter_{number}")
                conditions.append(condition)
                self.filter_values |= values
        self.filters = " AND ".join(conditions) or "1 = 1"
        self.where = self.filters
        self.tail = ""
        # One more than asked for: whether there is one more page.
        self.values: dict[str, Any] = {**self.filter_values, "page_limit": self._limit + 1}

    def _order(self, keys: Iterable[tuple[str, bool]]) -> str:
        columns = self._shape.sort.columns
        terms = [f"{columns[name]} {'DESC' if down else 'ASC'}" for name, down in keys]
        return f"ORDER BY {', '.join(terms)} LIMIT :page_limit"

    def _sorted(self, items: Iterable[Any], keys: Sequence[tuple[str, bool]]) -> list[Any]:
        """The items that the filters keep."""
        kept = [
            item
            for item in items
            if all(
                each.keeps(item, name, getattr(self._query, name))
                for name, each in self._shape.filters.items()
                if getattr(self._query, name) is not None
            )
        ]
        for name, down in reversed(keys):
            kept.sort(key=partial(_value_in, name), reverse=down)
        return kept


class CursorSelection(_Selection[T]):
    """What a `CursorQuery` asks for: `Paging.select` makes it.

    Attributes:
        filters: The condition of the query's filters alone, to count by: ``1 = 1`` if there are none.
        filter_values: The values for it.
        where: The whole condition, where to go on included.
        tail: ``ORDER BY`` and ``LIMIT``.
        values: The values for ``where`` and ``tail``, by names that begin with ``filter_`` and ``page_``.
    """

    def __init__(self, query: CursorQuery[T], shape: Shape, most: int, codec: CursorCodec) -> None:
        super().__init__(query, shape, most)
        self._codec = codec
        self._names = [name for name, _ in self._keys]
        self._from: Position | None = None
        if query.cursor is not None:
            try:
                self._from = codec.read(query.cursor, sort_of(query), self._names)
            except BadCursorError as error:
                fault = {"loc": ["cursor"], "msg": f"It {error}", "type": "cursor_invalid"}
                raise Invalid("the input does not fit", errors=[fault]) from None
        self._backward = self._from is not None and self._from.backward
        self._way = [(name, down != self._backward) for name, down in self._keys]
        if self._from is not None:
            condition, values = _beyond(self._way, shape.sort.columns, self._from.values)
            self.where = f"{condition} AND {self.filters}" if shape.filters else condition
            self.values |= values
        self.tail = self._order(self._way)

    def page(
        self, rows: Sequence[T] | Sequence[Mapping[str, Any]], total: int | None = None
    ) -> Page[T]:
        """The page these rows are, in the order in which ``tail`` has them.

        Args:
            rows: Items, or rows that become items. Each has the sort keys by their names.
            total: How many there are on all pages, if known.
        """
        more = len(rows) > self._limit
        kept = [*rows[: self._limit]]
        if self._backward:
            kept.reverse()
        after = more or self._backward
        before = more if self._backward else self._from is not None
        page: Page[T] = self._shape.page(Page).model_construct(
            items=self._shape.items(kept),
            next=self._cursor(kept[-1], backward=False) if kept and after else None,
            prev=self._cursor(kept[0], backward=True) if kept and before else None,
            total=total,
        )
        return page

    def of(self, items: Iterable[T], *, count: bool = False) -> Page[T]:
        """The page of a list in memory.

        Args:
            items: All of them.
            count: Whether to say how many the filters keep.
        """
        found = self._sorted(items, self._way)
        total = len(found) if count else None
        if self._from is not None:
            values = self._from.typed
            found = [item for item in found if _is_beyond(item, self._way, values)]
        return self.page(found[: self._limit + 1], total)

    def _cursor(self, item: Any, *, backward: bool) -> str:
        values = tuple(value_of(item, name) for name in self._names)
        sort = str(sort_of(self._query))
        return self._codec.write(Position(sort=sort, backward=backward, values=values), self._names)


class OffsetSelection(_Selection[T]):
    """What an `OffsetQuery` asks for: `Paging.select` makes it.

    Attributes:
        filters: The condition of the query's filters, to count by: ``1 = 1`` if there are none.
        filter_values: The values for it.
        where: The same condition.
        tail: ``ORDER BY``, ``LIMIT`` and ``OFFSET``.
        values: The values for ``where`` and ``tail``, by names that begin with ``filter_`` and ``page_``.
    """

    def __init__(self, query: OffsetQuery[T], shape: Shape, most: int) -> None:
        super().__init__(query, shape, most)
        self._offset = query.offset
        self.values["page_offset"] = query.offset
        self.tail = f"{self._order(self._keys)} OFFSET :page_offset"

    def page(
        self, rows: Sequence[T] | Sequence[Mapping[str, Any]], total: int | None = None
    ) -> OffsetPage[T]:
        """The page these rows are, in the order in which ``tail`` has them.

        Args:
            rows: Items, or rows that become items.
            total: How many there are on all pages, if known.
        """
        more = len(rows) > self._limit
        page: OffsetPage[T] = self._shape.page(OffsetPage).model_construct(
            items=self._shape.items(rows[: self._limit]),
            offset=self._offset,
            limit=self._limit,
            next=self._offset + self._limit if more else None,
            prev=max(0, self._offset - self._limit) if self._offset else None,
            total=total,
        )
        return page

    def of(self, items: Iterable[T], *, count: bool = False) -> OffsetPage[T]:
        """The page of a list in memory; the arguments are those of `CursorSelection.of`."""
        found = self._sorted(items, self._keys)
        rows = found[self._offset : self._offset + self._limit + 1]
        return self.page(rows, len(found) if count else None)


def _keys(keys: Sequence[tuple[str, bool]], last: str) -> list[tuple[str, bool]]:
    """The keys up to one that is unique."""
    found = []
    for name, down in keys:
        found.append((name, down))
        if name == last:
            return found
    return [*found, (last, found[-1][1])]


def _beyond(
    keys: Sequence[tuple[str, bool]], columns: Mapping[str, str], values: Sequence[Any]
) -> tuple[str, dict[str, Any]]:
    """The condition for rows that come after one with these values."""
    bound = {f"page_{index}": value for index, value in enumerate(values)}
    names = [columns[name] for name, _ in keys]
    directions = {down for _, down in keys}
    if len(directions) == 1:
        # A comparison of rows, which databases can answer from one index.
        sign = "<" if directions == {True} else ">"
        left, right = ", ".join(names), ", ".join(f":{each}" for each in bound)
        if len(names) == 1:
            return f"{left} {sign} {right}", bound
        return f"({left}) {sign} ({right})", bound
    terms = []
    for last, (_, down) in enumerate(keys):
        same = [f"{names[index]} = :page_{index}" for index in range(last)]
        terms.append(" AND ".join([*same, f"{names[last]} {'<' if down else '>'} :page_{last}"]))
    return f"({' OR '.join(f'({term})' for term in terms)})", bound


def _value_in(name: str, item: Any) -> Any:
    return value_of(item, name)


def _is_beyond(item: Any, keys: Sequence[tuple[str, bool]], values: Sequence[Any]) -> bool:
    for (name, down), value in zip(keys, values, strict=True):
        own = value_of(item, name)
        if own != value:
            return bool(own < value if down else own > value)
    return False
