"""How a room's frames are written for a client, by the subprotocol that it speaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from pydantic_core import from_json, to_json

from covet_websocket._rooms._outlet import Encoding, Frame


class JsonFrames:
    """JSON texts."""

    name = "json"

    def plain(self, value: Any) -> Any:
        return to_json(value)

    def json(self, value: bytes) -> Any:
        return value

    def frame(self, members: Mapping[str, Any]) -> Frame:
        inner = b",".join(b'"%b":%b' % (name.encode(), each) for name, each in members.items())
        return f"{{{inner.decode()}}}"


class MessagePackFrames:
    """Binary MessagePack."""

    name = "msgpack"

    def plain(self, value: Any) -> Any:
        return value

    def json(self, value: bytes) -> Any:
        return from_json(value)

    def frame(self, members: Mapping[str, Any]) -> Frame:
        return msgspec.msgpack.encode(members)


_JSON: Final[Encoding] = JsonFrames()
_MESSAGE_PACK: Final[Encoding] = MessagePackFrames()


def encoding_of(subprotocol: str | None) -> Encoding:
    """MessagePack for those who have asked for it, JSON for all others."""
    return _MESSAGE_PACK if subprotocol == "covet.msgpack" else _JSON
