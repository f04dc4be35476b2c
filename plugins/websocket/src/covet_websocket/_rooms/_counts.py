"""What is counted of rooms, and how it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from heapq import nlargest
from typing import TYPE_CHECKING, Final

from covet_kernel.contracts import Metric

if TYPE_CHECKING:
    from covet_websocket._rooms._room import Room

Values = list[tuple[tuple[str, ...], float]]


@dataclass(slots=True)
class Counts:
    """Of one room, or of all that there were.

    Attributes:
        published: Messages that were delivered here.
        dropped: Frames that a slow member did not get, because of its policy.
        disconnected: Members that were closed because they were slow.
        resets: Members that had to be told that messages are missing.
        repeated: What the broker delivered once more.
        unreadable: What it delivered and is nothing of covet's.
        outages: How often it could not be reached.
    """

    published: int = 0
    dropped: int = 0
    disconnected: int = 0
    resets: int = 0
    repeated: int = 0
    unreadable: int = 0
    outages: int = 0

    def add(self, other: Counts) -> None:
        """Add those of a room that is forgotten."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


_TOTALS: Final = {
    "published": "Messages that were delivered in this process's rooms.",
    "dropped": "Frames that slow members did not get.",
    "disconnected": "Members that were closed because they were slow.",
    "resets": "Members that were told that messages are missing.",
    "repeated": "Messages that the broker delivered once more.",
    "unreadable": "Messages of the broker's that are none of a room's.",
    "outages": "How often rooms lost the broker.",
}
_OF_ROOMS: Final = {
    "published": "Messages that were delivered in the room.",
    "dropped": "Frames that slow members of the room did not get.",
    "disconnected": "Members of the room that were closed because they were slow.",
}


def metrics(rooms: Mapping[str, Room], forgotten: Counts, most: int) -> Iterable[Metric]:
    """Totals of a process, and the same of its largest rooms by name.

    Args:
        rooms: Those that there are.
        forgotten: What was counted of those that are not any more.
        most: How many are named: of names there is no end.
    """

    def total(name: str) -> float:
        here = sum(getattr(room.counts, name) for room in rooms.values())
        return float(getattr(forgotten, name) + here)

    def largest() -> list[Room]:
        return nlargest(most, rooms.values(), key=lambda room: len(room.members))

    def of_rooms(read: Callable[[Room], float]) -> Callable[[], Values]:
        return lambda: [((room.name,), float(read(room))) for room in largest()]

    def alone(read: Callable[[], float]) -> Callable[[], Values]:
        return lambda: [((), float(read()))]

    def counted(name: str) -> Callable[[Room], float]:
        return lambda room: getattr(room.counts, name)

    yield Metric(
        name="websocket.rooms",
        kind="gauge",
        read=alone(lambda: len(rooms)),
        help="Rooms that are open in this process.",
    )
    for name, text in _TOTALS.items():
        yield Metric(
            name=f"websocket.rooms.{name}",
            kind="counter",
            read=alone(lambda name=name: total(name)),  # type: ignore[misc]
            help=text,
        )
    for name, text in _OF_ROOMS.items():
        yield Metric(
            name=f"websocket.room.{name}",
            kind="counter",
            labels=("room",),
            read=of_rooms(counted(name)),
            help=text,
        )
    gauges: tuple[tuple[str, str, Callable[[Room], float], str], ...] = (
        ("members", "", lambda room: len(room.members), "Members of the room in this process."),
        ("lag.messages", "", lambda room: room.lag()[0], "Messages that wait for its slowest."),
        ("lag.bytes", "By", lambda room: room.lag()[1], "Bytes that wait for its slowest."),
        ("history.bytes", "By", lambda room: room.history.size, "What its history takes."),
    )
    for name, unit, read, text in gauges:
        yield Metric(
            name=f"websocket.room.{name}",
            kind="gauge",
            unit=unit,
            labels=("room",),
            read=of_rooms(read),
            help=text,
        )
