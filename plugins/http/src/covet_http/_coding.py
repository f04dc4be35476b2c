"""Content codings of request bodies: decompression that never gives more than was asked for."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

from covet_http._problem import Malformed
from covet_kernel import ConfigurationError
from covet_operations import TooLarge

# Of decoded bytes at a time, so that whoever counts them sees every one before the next is made.
_SLICE: Final = 64 * 1024
# The window that RFC 9659 (3) lets a zstd encoder assume: 8 MiB.
_WINDOW_LOG: Final = 23


class Decompressor(Protocol):
    """One body's decompression."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What these bytes decode to, in pieces that are made when asked for.

        Raises:
            Malformed: They are not of this coding, or go on behind its end.
        """

    @property
    def ended(self) -> bool:
        """Whether the last byte belonging to the coding was seen."""


Codings: TypeAlias = Mapping[str, Callable[[], Decompressor]]
"""What decodes each content coding, by its name in lower case."""

NONE: Final[Codings] = MappingProxyType({})


class _Gzip:
    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        decoder = self._decoder
        while True:
            if decoder.eof:
                _end(data or decoder.unused_data)
                return
            try:
                piece = decoder.decompress(data, _SLICE)
            except zlib.error:
                raise _malformed("gzip") from None
            data = decoder.unconsumed_tail
            if piece:
                yield piece
            if not data and len(piece) < _SLICE and not decoder.eof:
                return

    @property
    def ended(self) -> bool:
        return self._decoder.eof


class _Brotli:
    def __init__(self) -> None:
        brotli = import_module("brotli")
        self._decoder: Any = brotli.Decompressor()
        self._error: type[Exception] = brotli.error

    def pieces(self, data: bytes) -> Iterator[bytes]:
        decoder = self._decoder
        while True:
            if decoder.is_finished():
                _end(data)
                return
            try:
                piece = decoder.process(data, output_buffer_limit=_SLICE)
            except self._error:
                raise _malformed("br") from None
            data = b""
            if piece:
                yield piece
            elif not decoder.is_finished() and decoder.can_accept_more_data():
                return

    @property
    def ended(self) -> bool:
        return bool(self._decoder.is_finished())


class _Zstandard:
    def __init__(self) -> None:
        zstd = _zstd()
        self._decoder: Any = zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
        )
        self._error: type[Exception] = zstd.ZstdError

    def pieces(self, data: bytes) -> Iterator[bytes]:
        decoder = self._decoder
        while True:
            if decoder.eof:
                _end(data or decoder.unused_data)
                return
            try:
                piece = decoder.decompress(data, _SLICE)
            except self._error:
                raise _malformed("zstd") from None
            data = b""
            if piece:
                yield piece
            if decoder.needs_input and not decoder.eof:
                return

    @property
    def ended(self) -> bool:
        return bool(self._decoder.eof)


def _zstd() -> Any:
    return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


_KNOWN: Final[Codings] = {"gzip": _Gzip, "br": _Brotli, "zstd": _Zstandard}


def codings_of(names: Sequence[str]) -> Codings:
    """The named codings, each tried once, so that a missing library is told of at the start.

    Raises:
        ConfigurationError: The library of one is not installed.
    """
    found: dict[str, Callable[[], Decompressor]] = {}
    for name in names:
        try:
            _KNOWN[name]()
        except ImportError:
            raise ConfigurationError(
                "COVET-HTTP-CODING",
                f"request bodies in {name!r} are enabled, but the library that decodes them is not"
                " installed.",
                place="plugins.http.decompress",
                fix="Install it: pip install 'covet-http[compression]', or leave it out.",
            ) from None
        found[name] = _KNOWN[name]
    if "gzip" in found:
        found["x-gzip"] = found["gzip"]  # RFC 9110, 8.4.1.3
    return MappingProxyType(found)


def decoded(decompressor: Decompressor, body: bytes, limit: int) -> bytes:
    """A whole body decoded.

    Raises:
        TooLarge: It decodes to more than ``limit`` bytes.
        Malformed: It is not of this coding, incomplete, or goes on behind its end.
    """
    found: list[bytes] = []
    size = 0
    for piece in decompressor.pieces(body):
        size += len(piece)
        if size > limit:
            raise TooLarge(f"the body may have {limit} bytes once it is decoded")
        found.append(piece)
    require_end(decompressor)
    return b"".join(found)


def require_end(decompressor: Decompressor) -> None:
    """Refuse a body that ends too early.

    Raises:
        Malformed: It does.
    """
    if not decompressor.ended:
        raise Malformed("the compressed body is incomplete")


def _malformed(coding: str) -> Malformed:
    return Malformed(f"the body is not what Content-Encoding says: {coding}")


def _end(rest: bytes) -> None:
    if rest:
        raise Malformed("the compressed body goes on behind its end")
