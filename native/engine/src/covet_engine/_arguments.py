"""Which arguments of a route the engine reads along with the head, and where it puts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from covet_http import Route

if TYPE_CHECKING:
    from covet_engine._native import CData, Lib

_MOST: Final = 16  # CV_ARGUMENTS
_BYTES: Final = 124  # CV_ARGUMENT_BYTES
_LONGEST_NAME: Final = 255
_NUMBER: Final = 8
_LEAST_TEXT: Final = 16
"""A text has this many bytes of room at least, one of them for its size."""
_LONGEST_TEXT: Final = 64


class Arguments:
    """What the engine reads of one route's requests, for `Request.ahead`.

    Attributes:
        unpack: Gives the absent ones and every value, from ``cv_request.absent`` on.
    """

    unpack: Callable[[Any, int], tuple[Any, ...]]

    def __init__(self, route: Route, room: int) -> None:
        self._route = route
        self._sizes = [_NUMBER if each.kind == "int" else room for each in route.ahead]
        form = "".join("q" if each.kind == "int" else f"{room}p" for each in route.ahead)
        self.unpack = Struct(f"=i{form}").unpack_from

    def declare(self, lib: Lib, routes: CData, number: int, most: int) -> int:
        """Have them read.

        Args:
            lib: The library.
            routes: The table.
            number: The route's in the table.
            most: Pairs that a query may have.

        Returns:
            What the library says.
        """
        at = done = 0
        for each, size in zip(self._route.ahead, self._sizes, strict=True):
            name, path = each.query.encode(), -1 if each.path is None else each.path
            kind = ord("i" if each.kind == "int" else "s")
            done = done or lib.cv_routes_take(
                routes, number, most, path, name, len(name), kind, at, size
            )
            at += size
        return done


def arguments_of(route: Route) -> Arguments | None:
    """What the engine can read of a route's requests, ``None`` if Python has to."""
    texts = sum(each.kind == "str" for each in route.ahead)
    left = _BYTES - _NUMBER * (len(route.ahead) - texts)
    room = min(_LONGEST_TEXT, left // texts) if texts else 0
    if (
        not 0 < len(route.ahead) <= _MOST
        or left < 0
        or (texts and room < _LEAST_TEXT)
        or any(len(each.query.encode()) > _LONGEST_NAME for each in route.ahead)
    ):
        return None
    return Arguments(route, room)


__all__: Sequence[str] = ["Arguments", "arguments_of"]
