"""A client's side of RFC 6455's frames: what a client sends, also what none should."""

from __future__ import annotations

import os
import zlib
from typing import Final

from covet_http.testing._read import WireError

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_OPCODES: Final = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
_FINAL: Final = 0x80
_RESERVED: Final = 0x70
_COMPRESSED: Final = 0x40
_TWO: Final = 126
_EIGHT: Final = 127
_LONGEST_CONTROL: Final = 125
_TAIL: Final = b"\x00\x00\xff\xff"


def frame_of(
    opcode: int,
    payload: bytes,
    *,
    final: bool = True,
    reserved: int = 0,
    mask: bool = True,
    announced: int | None = None,
) -> bytes:
    """The bytes of a frame.

    Args:
        opcode: What it is.
        payload: What is in it.
        final: Whether the message ends with it.
        reserved: The reserved bits, 4 for the one that says that it is compressed.
        mask: Whether it is masked, as a client's has to be.
        announced: The length that it says it has, in place of the real one.
    """
    size = len(payload) if announced is None else announced
    head = bytearray([(_FINAL if final else 0) | reserved << 4 | opcode])
    masked = 0x80 if mask else 0
    if size < _TWO:
        head.append(masked | size)
    elif size < 1 << 16:
        head.append(masked | _TWO)
        head += size.to_bytes(2, "big")
    else:
        head.append(masked | _EIGHT)
        head += size.to_bytes(8, "big")
    if not mask:
        return bytes(head) + payload
    key = os.urandom(4)
    return bytes(head) + key + _masked(payload, key)


def _masked(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    pad = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


def deflated(payload: bytes) -> bytes:
    """A payload compressed by itself (RFC 7692, 7.2.1)."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflated(payload: bytes) -> bytes:
    """What `deflated` was given."""
    return zlib.decompressobj(wbits=-zlib.MAX_WBITS).decompress(payload + _TAIL)


class FrameReader:
    """Takes what a server sends, and gives its frames, as strictly as a client may be.

    Args:
        deflate: Whether messages may be compressed.
    """

    def __init__(self, *, deflate: bool) -> None:
        self._data = bytearray()
        self._deflate = deflate

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self._data += data

    def frame(self) -> tuple[int, bytes, bool] | None:
        """Opcode, payload and whether it is final; ``None`` if more bytes are needed.

        Raises:
            WireError: The frame is none that a server may send.
        """
        data = self._data
        if len(data) < 2:
            return None
        opcode, size, at = data[0] & 0x0F, data[1], 2
        final, reserved = bool(data[0] & _FINAL), data[0] & _RESERVED
        if opcode not in _OPCODES or size & 0x80 or reserved & ~_COMPRESSED:
            raise WireError(f"no frame of a server: {bytes(data[:16])!r}")
        if size >= _TWO:
            at = 4 if size == _TWO else 10
            if len(data) < at:
                return None
            announced = int.from_bytes(data[2:at], "big")
            if announced < (_TWO if at == 4 else 1 << 16):
                raise WireError("a length is not written as short as it can be")
            size = announced
        if opcode >= CLOSE and (size > _LONGEST_CONTROL or not final or reserved):
            raise WireError("a control frame is long, in parts or compressed")
        if len(data) < at + size:
            return None
        payload = bytes(data[at : at + size])
        del data[: at + size]
        if reserved:
            if not self._deflate or opcode == CONTINUATION:
                raise WireError("a frame is compressed that may not be")
            payload = inflated(payload)
        return opcode, payload, final

    @property
    def waiting(self) -> bytes:
        """What has come and is no whole frame yet."""
        return bytes(self._data)
