"""What was said in a room lately, for those who come back."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeAlias

from covet_websocket._rooms._outlet import Encoding, Frame

Origin: TypeAlias = "tuple[str, int]"
"""The process that a message was published by, and its number there: the same in all processes."""

# What an entry takes besides its bytes, about.
_OVERHEAD: Final = 400


class Entry:
    """One message of a room.

    Attributes:
        id: What a client names to resume behind it.
        origin: Where it comes from.
        body: JSON.
        key: Of which it is the latest.
        at: When it was delivered here.
        also: The id it had before, where processes had to agree on another.
    """

    __slots__ = ("_frames", "_room", "also", "at", "body", "id", "key", "origin")

    def __init__(
        self, room: str, id: str, origin: Origin, body: bytes, key: str | None, at: float
    ) -> None:
        self._room = room
        self.id = id
        self.origin = origin
        self.body = body
        self.key = key
        self.at = at
        self.also = ""
        self._frames: dict[str, Frame] = {}

    def frame(self, encoding: Encoding, *, keep: bool = False) -> Frame:
        """The frame for members of one encoding, made once if it is kept."""
        found = self._frames.get(encoding.name)
        if found is None:
            found = encoding.frame(
                {
                    "room": encoding.plain(self._room),
                    "id": encoding.plain(self.id),
                    "message": encoding.json(self.body),
                }
            )
            if keep:
                self._frames[encoding.name] = found
        return found

    def rename(self, id: str) -> None:
        """Have it another id from here on."""
        self.id = id
        self._frames.clear()

    @property
    def size(self) -> int:
        """Bytes it takes, about; the same once it is delivered."""
        return _OVERHEAD + len(self.body) + sum(map(len, self._frames.values()))


class History:
    """The last entries of a room, by their index: 0 for the first message since it was opened.

    Args:
        messages: How many there may be.
        size: How many bytes they may take.
        age: How many seconds they are kept.

    Attributes:
        first: Index of the oldest entry that is kept.
        next: Index of the entry that comes next.
        size: Bytes of all.
    """

    def __init__(self, messages: int, size: int, age: float) -> None:
        self._most = messages
        self._most_bytes = size
        self._age = age
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._by_id: dict[str, int] = {}
        self._origins: dict[Origin, int] = {}
        self._floor = ""
        self.first = self.next = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Entry:
        return self._entries[index]

    def append(self, entry: Entry) -> None:
        """Keep one more, and as few others as the limits ask for."""
        index = self.next
        self._entries[index] = entry
        self._by_id[entry.id] = index
        self._origins[entry.origin] = index
        self.next += 1
        self.size += entry.size
        self.evict(entry.at)

    def evict(self, now: float) -> None:
        """Let go of what is over a limit."""
        entries = self._entries
        while entries and (
            len(entries) > self._most
            or self.size > self._most_bytes
            or entries[self.first].at < now - self._age
        ):
            self.drop_oldest()

    def drop_oldest(self) -> None:
        """Let go of one."""
        entry = self._entries.pop(self.first)
        self.first += 1
        self.size -= entry.size
        self._floor = entry.id
        del self._origins[entry.origin]
        for known in (entry.id, entry.also):
            self._by_id.pop(known, None)

    def rename(self, origin: Origin, id: str) -> bool:
        """Give an entry the id that it has in other processes; whether it is here."""
        index = self._origins.get(origin)
        if index is None:
            return False
        entry = self._entries[index]
        if entry.id != id:
            self._by_id.pop(entry.also, None)
            entry.also = entry.id
            self._by_id[id] = index
            size = entry.size
            entry.rename(id)
            self.size += entry.size - size
        return True

    def has(self, origin: Origin) -> bool:
        """Whether the message is kept."""
        return origin in self._origins

    def clear(self, floor: str) -> None:
        """Let go of all, since they are not what came before what comes next.

        Args:
            floor: The id of what did.
        """
        while self._entries:
            self.drop_oldest()
        self._floor = floor

    @property
    def floor(self) -> str:
        """The id before the oldest entry."""
        return self._floor

    def latest(self, size: int) -> tuple[list[Entry], str]:
        """The last entries whose bodies take so many bytes, in order, and the id before them."""
        found: list[Entry] = []
        index = self.next
        while index > self.first:
            entry = self._entries[index - 1]
            size -= _OVERHEAD + len(entry.body)
            if size < 0:
                return found[::-1], entry.id
            found.append(entry)
            index -= 1
        return found[::-1], self._floor

    def first_after(self, size: int, now: float) -> int:
        """The index that `first` will have once an entry of this size is appended."""
        count, total, index = len(self._entries) + 1, self.size + size, self.first
        while index < self.next and (
            count > self._most
            or total > self._most_bytes
            or self._entries[index].at < now - self._age
        ):
            count, total, index = count - 1, total - self._entries[index].size, index + 1
        return index

    def behind(self, id: str) -> int | None:
        """The index behind the entry of an id, ``None`` if that is not known any more."""
        index = self._by_id.get(id)
        if index is not None:
            return index + 1
        return self.first if id and id == self._floor else None
