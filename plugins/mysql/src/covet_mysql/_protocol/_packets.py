"""Packets: four bytes that say how long it is and which of its exchange, and what it holds."""

from __future__ import annotations

WHOLE = 0xFFFFFF
"""What one packet holds at most; a longer message goes on in the next."""


class ProtocolError(Exception):
    """What came is not what the protocol has at this place; nothing behind it can be understood."""


def framed(payload: bytes, sequence: int = 0) -> bytes:
    """A message as packets.

    Args:
        payload: The message.
        sequence: The number of its first packet; 0 begins an exchange.
    """
    if len(payload) < WHOLE:
        return len(payload).to_bytes(3, "little") + bytes((sequence & 0xFF,)) + payload
    parts = []
    for start in range(0, len(payload) + 1, WHOLE):
        part = payload[start : start + WHOLE]
        parts.append(len(part).to_bytes(3, "little") + bytes((sequence & 0xFF,)) + part)
        sequence += 1
    return b"".join(parts)


class Packets:
    """Messages out of bytes that come in pieces.

    Args:
        largest: Bytes of the longest message that is accepted.

    Attributes:
        sequence: The number that the next packet has to have.
    """

    __slots__ = ("_at", "_data", "_largest", "_parts", "sequence")

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._data: bytes | bytearray = b""
        self._at = 0
        self._parts: list[bytes] = []
        self.sequence = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is left of what came."""
        return self._at == len(self._data) and not self._parts

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        if self._at == len(self._data):
            self._data, self._at = data, 0
            return
        if not isinstance(self._data, bytearray):
            self._data = bytearray(self._data)
        if self._at:
            del self._data[: self._at]
            self._at = 0
        self._data += data

    def next(self) -> bytes | None:
        """The next message, ``None`` if it is not there yet.

        Raises:
            ProtocolError: It is too long, or not the one that has to come.
        """
        data = self._data
        while len(data) - self._at >= 4:
            at = self._at
            length = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            parts = self._parts
            if (length + sum(map(len, parts)) if parts else length) > self._largest:
                raise ProtocolError(f"a message has more than {self._largest} bytes")
            if data[at + 3] != self.sequence:
                raise ProtocolError("a packet is out of its order")
            end = at + 4 + length
            if len(data) < end:
                return None
            self.sequence = (self.sequence + 1) & 0xFF
            self._at = end
            part = bytes(data[at + 4 : end])
            if length < WHOLE and not parts:
                return part
            parts.append(part)
            if length < WHOLE:
                whole = b"".join(parts)
                parts.clear()
                return whole
        return None
