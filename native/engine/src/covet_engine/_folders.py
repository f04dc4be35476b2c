"""From folders of files to the engine's, which sends what is in them without Python."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from covet_engine._core import EngineError
from covet_engine._request import fields
from covet_http import PreparedAnswer, Route, ServedFolder

if TYPE_CHECKING:
    from covet_engine._native import FFI, CData, Lib

_TOO_MUCH = -2
_NO_MEMORY = -3


class Folders:
    """The folders of one table of routes.

    Args:
        lib: The library.
        ffi: Its ffi.
        routes: The table, a ``cv_routes *``.
        answer: Gives the table's number of an answer.
    """

    def __init__(
        self, lib: Lib, ffi: FFI, routes: CData, answer: Callable[[PreparedAnswer], int]
    ) -> None:
        self._lib = lib
        self._ffi = ffi
        self._routes = routes
        self._answer = answer
        self._numbers: dict[tuple[ServedFolder, bytes, bool], int | None] = {}

    def number(self, route: Route) -> int | None:
        """The engine's number of the folder that a route serves; ``None`` if only the route can."""
        folder = route.folder
        headers = None if folder is None else folder.headers(route)
        if folder is None or headers is None:
            return None
        lines = fields(headers)
        key = folder, lines, route.any_query
        if key not in self._numbers:
            if not self._numbers:
                self._add_types(folder)
            self._numbers[key] = self._add(folder, route, lines)
        return self._numbers[key]

    def _add(self, folder: ServedFolder, route: Route, lines: bytes) -> int | None:
        options, ffi = folder.options, self._ffi
        texts = {
            "path": os.fsencode(options.folder),
            "index": os.fsencode(options.index),
            "fallback": os.fsencode(options.fallback),
            "cache": options.cache.encode("latin-1"),
            "page_cache": options.page_cache.encode("latin-1"),
            "fields": lines,
        }
        if any(b"\0" in text for text in texts.values()):
            return None
        # Kept by their names until they are copied.
        kept = {name: ffi.new("char[]", text) for name, text in texts.items()}
        given = ffi.new("cv_folder_options *", kept)
        given.fields_size = len(lines)
        given.missing = self._answer(folder.missing(route))
        given.failed = self._answer(folder.changed(route))
        given.busy = self._answer(folder.busy(route))
        given.precompressed = options.precompressed
        given.hidden = options.hidden
        given.queries = route.any_query
        number = self._lib.cv_routes_add_folder(self._routes, given)
        # What it cannot hold, or would not say, is left to the route.
        return None if number == _TOO_MUCH else _done(number)

    def _add_types(self, folder: ServedFolder) -> None:
        for suffix, kind in folder.types().items():
            _done(self._lib.cv_routes_add_type(self._routes, suffix.encode(), kind.encode()))


def _done(result: int) -> int:
    if result == _NO_MEMORY:
        raise MemoryError
    if result < 0:
        raise EngineError(f"the engine refuses a folder: {result}")
    return result
