"""Encodings of messages: gzip and deflate, never more bytes than a limit."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from covet_operations import Invalid, TooLarge

Decompress: TypeAlias = Callable[[bytes, int], bytes]
Compress: TypeAlias = Callable[[bytes], bytes]

_GZIP: Final = 16 + zlib.MAX_WBITS
_LEVEL: Final = 6


def _decompressor(bits: int) -> Decompress:
    def decompress(data: bytes, limit: int) -> bytes:
        """What was compressed; `TooLarge` as soon as it has more than ``limit`` bytes."""
        machine = zlib.decompressobj(bits)
        try:
            found = machine.decompress(data, limit + 1)
        except zlib.error:
            raise Invalid("a compressed message cannot be read") from None
        if len(found) > limit:
            raise TooLarge(f"a message may have {limit} bytes once it is decompressed")
        if not machine.eof or machine.unused_data:
            raise Invalid("a compressed message is cut off, or has something behind it")
        return found

    return decompress


def _compressor(bits: int) -> Compress:
    def compress(data: bytes) -> bytes:
        machine = zlib.compressobj(_LEVEL, zlib.DEFLATED, bits)
        return machine.compress(data) + machine.flush()

    return compress


DECOMPRESS: Final[Mapping[bytes, Decompress]] = {
    b"gzip": _decompressor(_GZIP),
    b"deflate": _decompressor(zlib.MAX_WBITS),
}
"""What undoes each encoding."""
COMPRESS: Final[Mapping[bytes, Compress]] = {
    b"gzip": _compressor(_GZIP),
    b"deflate": _compressor(zlib.MAX_WBITS),
}
"""What makes each encoding."""
ACCEPTED: Final = b"identity,gzip,deflate"
"""The value of ``grpc-accept-encoding``."""


def accepts(header: bytes | None, encoding: bytes) -> bool:
    """Whether a caller's ``grpc-accept-encoding`` names an encoding."""
    if header is None:
        return False
    return any(part.strip(b" \t") == encoding for part in header.split(b","))
