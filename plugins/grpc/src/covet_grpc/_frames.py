"""Messages in the bytes of a request: five bytes that say how long each is, and the message.

Nothing here does I/O: bytes go in as they come, messages come out. What a length announces is
refused before anything of it is kept, and no more than one message and one read are held.
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import Final

from covet_grpc._compression import Decompress
from covet_operations import Internal, Invalid, TooLarge

PREFIX: Final = Struct(">BI")
_SIZE: Final = PREFIX.size
_unpack: Final = PREFIX.unpack_from
_pack: Final = PREFIX.pack


class Frames:
    """The messages of one request.

    Args:
        limit: Bytes a message may have, before and after decompression.
        decompress: Undoes the encoding the request has announced; ``None``: it has announced none.
    """

    __slots__ = ("_decompress", "_held", "_kept", "_limit", "_messages", "_wanted")

    def __init__(self, limit: int, decompress: Decompress | None = None) -> None:
        self._limit = limit
        self._decompress = decompress
        self._messages: deque[bytes] = deque()
        # What of a message has come, and how much has to be there before anything can be made of it.
        self._held: list[bytes] = []
        self._kept = 0
        self._wanted = _SIZE

    @property
    def incomplete(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._kept > 0

    def feed(self, data: bytes) -> None:
        """Take what has come.

        Raises:
            OperationError: It is malformed, or announces too much. Nothing may be fed afterwards.
        """
        if self._kept:
            self._held.append(data)
            self._kept += len(data)
            if self._kept < self._wanted:
                return
            data = b"".join(self._held)
            self._held.clear()
            self._kept = 0
        at, size = 0, len(data)
        while size - at >= _SIZE:
            flag, length = _unpack(data, at)
            if flag > 1:
                raise Invalid("a message begins with a flag that does not exist")
            if length > self._limit:
                raise TooLarge(f"a message may have {self._limit} bytes")
            end = at + _SIZE + length
            if end > size:
                self._wanted = end - at
                break
            message = data[at + _SIZE : end]
            self._messages.append(self._decompressed(message) if flag else message)
            at = end
        else:
            self._wanted = _SIZE
        if at < size:
            self._held.append(data[at:] if at else data)
            self._kept = size - at

    def pop(self) -> bytes | None:
        """The next message, ``None`` until more has come."""
        return self._messages.popleft() if self._messages else None

    def _decompressed(self, message: bytes) -> bytes:
        if self._decompress is None:
            raise Internal("a message is compressed, and the call has announced no encoding")
        return self._decompress(message, self._limit)


def framed(message: bytes) -> bytes:
    """A message as it is sent."""
    return _pack(0, len(message)) + message


def framed_compressed(message: bytes) -> bytes:
    """A message that is compressed already."""
    return _pack(1, len(message)) + message
