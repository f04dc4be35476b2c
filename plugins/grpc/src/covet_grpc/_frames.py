"""Messages in the bytes of a request: five bytes that say how long each is, and the message.

Nothing here does I/O: bytes go in as they come, messages come out. What a length announces is
refused before anything of it is kept. No more than one message and one read are held, and of compressed
messages only the one that is asked for is ever unpacked: a read of them may unpack to a thousand times
its size.
"""

from __future__ import annotations

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

    __slots__ = ("_at", "_decompress", "_held", "_kept", "_limit", "_wanted")

    def __init__(self, limit: int, decompress: Decompress | None = None) -> None:
        self._limit = limit
        self._decompress = decompress
        # What has come and is in no message yet: its pieces, where the first of them is read on, how much
        # that is, and how much has to be there before anything can be made of it.
        self._held: list[bytes] = []
        self._at = 0
        self._kept = 0
        self._wanted = _SIZE

    @property
    def incomplete(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._kept > 0

    def feed(self, data: bytes) -> None:
        """Take what has come, once `pop` has nothing more."""
        self._held.append(data)
        self._kept += len(data)

    def pop(self) -> bytes | None:
        """The next message, ``None`` until more has come.

        Raises:
            OperationError: It is malformed, or announces too much. Nothing may be asked for afterwards.
        """
        if self._kept < self._wanted:
            return None
        held, at = self._held, self._at
        data = held[0] if len(held) == 1 else b"".join(held)
        flag, length = _unpack(data, at)
        if flag > 1:
            raise Invalid("a message begins with a flag that does not exist")
        if length > self._limit:
            raise TooLarge(f"a message may have {self._limit} bytes")
        begin = at + _SIZE
        end = begin + length
        if end > len(data):
            self._wanted = _SIZE + length
            self._held, self._at = [data[at:] if at else data], 0
            return None
        self._wanted = _SIZE
        self._kept = len(data) - end
        self._held, self._at = ([data], end) if self._kept else ([], 0)
        message = data[begin:end]
        return self._decompressed(message) if flag else message

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
