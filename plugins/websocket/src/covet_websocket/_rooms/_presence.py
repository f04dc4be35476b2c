"""Who came and who left since it was last told."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import to_json


class Changes:
    """What changed, less what came to nothing: whoever came and left again is not mentioned.

    Attributes:
        joined: What those who came say of themselves, as JSON, by their ids.
        left: Ids of those who left.
    """

    def __init__(self) -> None:
        self.joined: dict[str, bytes] = {}
        self.left: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self.joined or self.left)

    def join(self, id: str, data: bytes) -> None:
        """Somebody came."""
        if id in self.left:
            del self.left[id]
        else:
            self.joined[id] = data

    def leave(self, id: str) -> None:
        """Somebody left."""
        if self.joined.pop(id, None) is None:
            self.left[id] = None

    def clear(self) -> None:
        """It is told."""
        self.joined.clear()
        self.left.clear()


def listed(members: Mapping[str, bytes]) -> bytes:
    """Members as JSON: ``[{"id": ..., "data": ...}, ...]``."""
    return b"[%b]" % b",".join(
        b'{"id":%b,"data":%b}' % (to_json(member), data) for member, data in members.items()
    )


def ids(names: Mapping[str, None]) -> bytes:
    """Ids as JSON."""
    return to_json(list(names))
