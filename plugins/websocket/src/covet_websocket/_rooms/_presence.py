"""Who is in a room, as those who watch it are told: together, in pages, and by number where they are many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from pydantic_core import to_json

Told: TypeAlias = "dict[str, bytes]"
"""Members of one frame, besides the room's name."""

# Of the lists in one frame: a queue with little room left takes a few of them, and not all in one.
_PAGE_BYTES: Final = 32 * 1024


class Changes:
    """What changed, less what came to nothing: whoever came and left again is not mentioned.

    Attributes:
        joined: What those who came say of themselves, as JSON, by their ids.
        left: The same of those who left.
    """

    __slots__ = ("joined", "left")

    def __init__(self) -> None:
        self.joined: dict[str, bytes] = {}
        self.left: dict[str, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self.joined or self.left)

    def join(self, id: str, data: bytes) -> None:
        """Somebody came."""
        if self.left.pop(id, None) is None:
            self.joined[id] = data

    def leave(self, id: str, data: bytes) -> None:
        """Somebody left."""
        if self.joined.pop(id, None) is None:
            self.left[id] = data

    def clear(self) -> None:
        """It is told."""
        self.joined.clear()
        self.left.clear()


class Presence:
    """What those who watch a room know: how it was when they were last told.

    Whoever comes is told just that, and hears of what has changed since together with everybody else. So
    the same frames do for all, and none of them is made for each.

    Args:
        most: How many are told by name. Where there are more, their number is told.
        members: All who are in the room.

    Attributes:
        changes: What has changed since.
    """

    __slots__ = ("_crowded", "_members", "_most", "changes")

    def __init__(self, most: int, members: Callable[[], Mapping[str, bytes]]) -> None:
        self._most = most
        self._members = members
        self._crowded = False
        self.changes = Changes()

    def known(self) -> Iterator[Told]:
        """Frames that tell somebody what the others know."""
        joined, left = self.changes.joined, self.changes.left
        if self._crowded:
            yield _number(len(self._members()) - len(joined) + len(left))
            return
        yield from _everybody(
            {**{each: data for each, data in self._members().items() if each not in joined}, **left}
        )

    def news(self) -> list[Told]:
        """Frames that tell the others what has changed, from which on they know it; none for nothing."""
        changes = self.changes
        if not changes:
            return []
        members, was = self._members(), self._crowded
        # Not at every coming and going about the limit.
        self._crowded = len(members) > (self._most * 3 // 4 if was else self._most)
        if self._crowded:
            told = [_number(len(members))]
        elif was:
            told = [*_everybody(members)]
        else:
            told = [{"joined": page} for page in _pages(_listed(changes.joined))]
            told += [{"left": page} for page in _pages(map(to_json, changes.left))]
        changes.clear()
        return told


def _number(count: int) -> Told:
    return {"present": to_json(count)}


def _everybody(members: Mapping[str, bytes]) -> Iterator[Told]:
    name = "members"
    for page in _pages(_listed(members)):
        yield {name: page}
        name = "joined"
    if name == "members":
        yield {name: b"[]"}


def _listed(members: Mapping[str, bytes]) -> Iterator[bytes]:
    return (b'{"id":%b,"data":%b}' % (to_json(each), data) for each, data in members.items())


def _pages(items: Iterable[bytes]) -> Iterator[bytes]:
    """JSON arrays of JSON items, as few as keep a size."""
    page: list[bytes] = []
    size = 0
    for each in items:
        if page and size + len(each) > _PAGE_BYTES:
            yield b"[%b]" % b",".join(page)
            page, size = [], 0
        page.append(each)
        size += len(each) + 1
    if page:
        yield b"[%b]" % b",".join(page)
