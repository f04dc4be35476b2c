"""What handlers make pages with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from covet_kernel.contracts import Capability

if TYPE_CHECKING:
    from covet_operations._paging._cursor import CursorCodec
    from covet_operations._paging._query import CursorQuery, OffsetQuery
    from covet_operations._paging._select import CursorSelection, OffsetSelection

T = TypeVar("T")


class Paging:
    """Turns queries into what answers them; handlers take it by annotation.

    Args:
        secret: Signs cursors; empty: they have a checksum only.
        max_limit: The most items on any page, whatever a query allows; asking for more gets that.
    """

    def __init__(self, *, secret: str = "", max_limit: int = 1000) -> None:
        self._secret = secret
        self._max_limit = max_limit
        self._codecs: dict[type[Any], CursorCodec] = {}

    @overload
    def select(self, query: CursorQuery[T]) -> CursorSelection[T]: ...
    @overload
    def select(self, query: OffsetQuery[T]) -> OffsetSelection[T]: ...
    def select(
        self, query: CursorQuery[T] | OffsetQuery[T]
    ) -> CursorSelection[T] | OffsetSelection[T]:
        """What this query asks for.

        Raises:
            Invalid: Its cursor was not made here, or is one of another order.
        """
        # Most services start without pages; whoever has a query has imported the rest.
        from covet_operations._paging import _cursor, _query, _select

        shape = type(query).shape
        if isinstance(query, _query.OffsetQuery):
            return _select.OffsetSelection(query, shape, self._max_limit)
        codec = self._codecs.get(type(query))
        if codec is None:
            name = f"{type(query).__module__}.{type(query).__qualname__}"
            codec = _cursor.CursorCodec(name, self._secret, shape.types)
            self._codecs[type(query)] = codec
        return _select.CursorSelection(query, shape, self._max_limit, codec)


PAGING: Final = Capability[Paging]("operations.paging", plugins=("operations",))
"""What pages are made with; a parameter annotated `Paging` gets it."""
