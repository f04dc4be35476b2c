"""Numbers and texts within a message."""

from __future__ import annotations

from covet_mysql._protocol._packets import ProtocolError

NULL = 0xFB
"""In place of a length: there is no value."""
_WIDTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}


def number(data: bytes, at: int) -> tuple[int, int]:
    """A number that says itself how long it is, and where it ends.

    Raises:
        ProtocolError: There is none.
    """
    if at >= len(data):
        raise ProtocolError("a message ends too early")
    first = data[at]
    if first < NULL:
        return first, at + 1
    width = _WIDTHS.get(first)
    end = at + 1 + (width or 0)
    if width is None or end > len(data):
        raise ProtocolError("a length is none")
    return int.from_bytes(data[at + 1 : end], "little"), end


def string(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes behind their length, and where they end.

    Raises:
        ProtocolError: There are fewer.
    """
    length, at = number(data, at)
    end = at + length
    if end > len(data):
        raise ProtocolError("a message ends too early")
    return data[at:end], end


def terminated(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes up to a NUL, and what is behind it; up to the end if there is none."""
    end = data.find(b"\0", at)
    return (data[at:], len(data)) if end < 0 else (data[at:end], end + 1)


def length_of(size: int) -> bytes:
    """A length as `number` reads it."""
    if size < NULL:
        return bytes((size,))
    if size < 1 << 16:
        return b"\xfc" + size.to_bytes(2, "little")
    if size < 1 << 24:
        return b"\xfd" + size.to_bytes(3, "little")
    return b"\xfe" + size.to_bytes(8, "little")


def sized(data: bytes) -> bytes:
    """Bytes as `string` reads them."""
    return length_of(len(data)) + data
