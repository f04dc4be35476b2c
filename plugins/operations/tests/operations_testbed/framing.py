"""Frames: four bytes of length, then so many bytes. Sans I/O."""

from __future__ import annotations

LIMIT = 1 << 16


class FrameError(Exception):
    """The peer does not speak frames."""


def pack(payload: bytes) -> bytes:
    if len(payload) > LIMIT:
        raise FrameError(f"{len(payload)} bytes are more than {LIMIT}")
    return len(payload).to_bytes(4, "big") + payload


class Unpacker:
    """Feed it bytes as they come, take frames as they are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        self._buffer += data
        frames = []
        while len(self._buffer) >= 4:
            size = int.from_bytes(self._buffer[:4], "big")
            if size > LIMIT:
                raise FrameError(f"a frame announces {size} bytes; {LIMIT} are allowed")
            if len(self._buffer) < 4 + size:
                break
            frames.append(bytes(self._buffer[4 : 4 + size]))
            del self._buffer[: 4 + size]
        return frames
