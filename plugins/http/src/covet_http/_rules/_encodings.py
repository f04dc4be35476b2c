"""Content codings for answers: which one a client wants, and what makes them."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, Protocol

from covet_http._codings import acceptable
from covet_kernel import ConfigurationError


def wanted_encoding(line: bytes, offered: Sequence[bytes]) -> bytes:
    """The content coding a client wants most (RFC 9110, 12.5.3).

    Args:
        line: The value of ``Accept-Encoding``, several lines joined with commas.
        offered: What there is, the server's favourite first, which wins where the client does not care.

    Returns:
        One of them; empty: the client had rather none of them, or what it says is malformed.
    """
    found = acceptable(line.decode("latin-1"), [each.decode("ascii") for each in offered])
    return found[0].encode("ascii") if found else b""


class Encoder(Protocol):
    """Compresses one stream."""

    def item(self, data: bytes) -> bytes:
        """The next bytes, complete so far: whoever gets them can decode everything before them."""

    def end(self) -> bytes:
        """What ends the stream."""


class Coding(Protocol):
    """A content coding at one level."""

    def whole(self, data: bytes) -> bytes:
        """A complete body."""

    def stream(self) -> Encoder:
        """A new stream."""


class _Gzip:
    def __init__(self, level: int) -> None:
        self._level = level

    def whole(self, data: bytes) -> bytes:
        return zlib.compress(data, self._level, wbits=31)

    def stream(self) -> Encoder:
        return _GzipStream(self._level)


class _GzipStream:
    def __init__(self, level: int) -> None:
        self._made = zlib.compressobj(level, wbits=31)

    def item(self, data: bytes) -> bytes:
        return self._made.compress(data) + self._made.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._made.flush()


class _Brotli:
    def __init__(self, level: int) -> None:
        self._library: Any = import_module("brotli")
        self._level = level

    def whole(self, data: bytes) -> bytes:
        made: bytes = self._library.compress(data, quality=self._level)
        return made

    def stream(self) -> Encoder:
        return _BrotliStream(self._library.Compressor(quality=self._level))


class _BrotliStream:
    def __init__(self, made: Any) -> None:
        self._made = made

    def item(self, data: bytes) -> bytes:
        begun: bytes = self._made.process(data)
        return begun + self._made.flush()  # type: ignore[no-any-return]

    def end(self) -> bytes:
        return self._made.finish()  # type: ignore[no-any-return]


class _Zstandard:
    def __init__(self, level: int) -> None:
        name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        self._library: Any = import_module(name)
        self._level = level

    def whole(self, data: bytes) -> bytes:
        made: bytes = self._library.compress(data, self._level)
        return made

    def stream(self) -> Encoder:
        return _ZstandardStream(self._library.ZstdCompressor(self._level))


class _ZstandardStream:
    def __init__(self, made: Any) -> None:
        self._made = made

    def item(self, data: bytes) -> bytes:
        return self._made.compress(data, self._made.FLUSH_BLOCK)  # type: ignore[no-any-return]

    def end(self) -> bytes:
        return self._made.flush()  # type: ignore[no-any-return]


_MAKERS: Final[Mapping[str, Callable[[int], Coding]]] = {
    "gzip": _Gzip,
    "br": _Brotli,
    "zstd": _Zstandard,
}


def codings(levels: Mapping[str, int]) -> dict[bytes, Coding]:
    """The codings with these names and levels.

    Raises:
        ConfigurationError: The library of one is not installed.
    """
    made: dict[bytes, Coding] = {}
    for name, level in levels.items():
        try:
            made[name.encode("ascii")] = _MAKERS[name](level)
        except ImportError:
            raise ConfigurationError(
                "COVET-HTTP-ENCODING",
                f"answers in {name!r} are enabled, but the library that makes them is not installed.",
                place="plugins.http.compression.encodings",
                valid=["gzip", *(each for each in _MAKERS if each != "gzip")],
                fix="Install it: pip install 'covet-http[compression]', or leave it out.",
            ) from None
    return made
