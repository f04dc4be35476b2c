"""Processes that have members in a room as well."""

from __future__ import annotations

from typing import Final

import anyio

from covet_websocket._rooms._envelope import Present
from covet_websocket._rooms._room import Room

_MOST: Final = 1000


class Peer:
    """One of them.

    Attributes:
        members: Its members, by their ids.
        version: Of what is known of them.
        heard: When it last said something.
    """

    __slots__ = ("heard", "members", "version")

    def __init__(self) -> None:
        self.members: set[str] = set()
        self.version = -1
        self.heard = 0.0


class Peers:
    """Keeps who is in a room elsewhere."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._peers: dict[str, Peer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def heard(self, origin: str) -> None:
        """It lives."""
        peer = self._peers.get(origin)
        if peer is None:
            if len(self._peers) >= _MOST:
                return
            peer = self._peers[origin] = Peer()
        peer.heard = anyio.current_time()

    def is_first(self, origin: str, asking: str) -> bool:
        """Whether this process comes before all others but the one that asks."""
        return all(origin < each for each in self._peers if each != asking)

    def take(self, said: Present) -> bool:
        """Note who came and left; whether nothing was missed before."""
        peer = self._peers.get(said.origin)
        if peer is None:
            return True  # there are too many to keep
        if said.whole:
            for member in peer.members - said.joined.keys():
                self._leave(peer, member)
        elif said.version != peer.version + bool(said.joined or said.left):
            # A sign of life between a change and its being told comes with the next version.
            return False
        peer.version = said.version
        for member, data in said.joined.items():
            if member not in peer.members and len(peer.members) < self._room.config.members:
                peer.members.add(member)
                self._room.came(member, data)
        for member in said.left:
            if member in peer.members:
                self._leave(peer, member)
        return True

    def _leave(self, peer: Peer, member: str) -> None:
        peer.members.discard(member)
        self._room.went(member)

    def forget(self, origin: str) -> None:
        """It is gone, and all its members are."""
        peer = self._peers.pop(origin, None)
        if peer is not None:
            for member in peer.members:
                self._room.went(member)

    def forget_all(self) -> None:
        """None can be reached."""
        for origin in tuple(self._peers):
            self.forget(origin)

    def expire(self, before: float) -> None:
        """Take those for gone that have said nothing since."""
        for origin in [origin for origin, each in self._peers.items() if each.heard < before]:
            self.forget(origin)
