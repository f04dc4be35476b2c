"""Blocks of headers in HTTP/3 (QPACK, RFC 9204), with the static table only.

A dynamic table would let a client refer thousands of times to one long entry and have it unpacked
each time. Without one a block unpacks to little more than itself, its number of fields apart, and
that is known before it is unpacked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pylsqpack

# What a field counts beside its name and value (RFC 9114, 4.2.2).
FIELD_OVERHEAD = 32


class QpackError(Exception):
    """The peer does not keep to the format, or makes use of what was not offered."""


class FieldsTooLargeError(Exception):
    """There are more or longer fields than are taken."""


class Qpack:
    """Both directions of one connection.

    Args:
        limit: Bytes of one block once it is unpacked, `FIELD_OVERHEAD` for each field included.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._decoder = pylsqpack.Decoder(0, 0)
        self._encoder = pylsqpack.Encoder()

    def pack(self, stream_id: int, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The block of these fields."""
        _, block = self._encoder.encode(stream_id, list(fields))
        return block

    def unpack(self, stream_id: int, block: bytes) -> Sequence[tuple[bytes, bytes]]:
        """The fields of a block.

        Raises:
            QpackError: It is malformed.
            FieldsTooLargeError: It is over the limit.
        """
        count = count_fields(block)
        if not count:
            return ()  # which pylsqpack takes for an error
        if count * FIELD_OVERHEAD > self._limit:
            raise FieldsTooLargeError
        try:
            _, fields = self._decoder.feed_header(stream_id, block)
        except (pylsqpack.DecompressionFailed, pylsqpack.StreamBlocked) as error:
            raise QpackError("a block of headers that cannot be unpacked") from error
        if sum(len(name) + len(value) + FIELD_OVERHEAD for name, value in fields) > self._limit:
            raise FieldsTooLargeError
        return fields

    def take_encoder(self, data: bytes) -> None:
        """Bytes of the client's encoder stream, which may only say that it uses no table.

        Raises:
            QpackError: It says something else.
        """
        try:
            self._decoder.feed_encoder(data)
        except pylsqpack.EncoderStreamError as error:
            raise QpackError("an entry for a table that was not offered") from error

    def take_decoder(self, data: bytes) -> None:
        """Bytes of the client's decoder stream.

        Raises:
            QpackError: It acknowledges what was not sent.
        """
        try:
            self._encoder.feed_decoder(data)
        except pylsqpack.DecoderStreamError as error:
            raise QpackError("an acknowledgement of nothing") from error


def count_fields(block: bytes) -> int:
    """How many fields a block has.

    Raises:
        QpackError: It refers to a dynamic table, or ends too early.
    """
    required, at = _number(block, 0, 8)
    _, at = _number(block, at, 7)
    if required:
        raise QpackError("a reference to a table that was not offered")
    count, size = 0, len(block)
    while at < size:
        first = block[at]
        count += 1
        if first & 0x80:  # name and value from a table
            _static(first & 0x40)
            _, at = _number(block, at, 6)
        elif first & 0x40:  # the name from a table
            _static(first & 0x10)
            _, at = _number(block, at, 4)
            at = _text(block, at, 7)
        elif first & 0x20:
            at = _text(block, _text(block, at, 3), 7)
        else:
            _static(0)
    return count


def _static(flag: int) -> None:
    if not flag:
        raise QpackError("a reference to a table that was not offered")


def _text(block: bytes, at: int, bits: int) -> int:
    """Where the string ends that begins here."""
    length, at = _number(block, at, bits)
    if length > len(block) - at:
        raise QpackError("a block of headers that is cut off")
    return at + length


def _number(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """An integer with a prefix of so many bits (RFC 7541, 5.1), and where it ends."""
    most = (1 << bits) - 1
    try:
        value = block[at] & most
        at += 1
        if value < most:
            return value, at
        for shift in range(0, 63, 7):
            byte = block[at]
            at += 1
            value += (byte & 0x7F) << shift
            if not byte & 0x80:
                return value, at
    except IndexError:
        pass
    raise QpackError("a block of headers that is cut off")
