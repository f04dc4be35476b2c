"""One room of this process: who is in it, and what they get."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import anyio
from pydantic_core import to_json

from covet_http import WebSocketClosed
from covet_websocket._rooms._config import RoomsConfig
from covet_websocket._rooms._counts import Counts
from covet_websocket._rooms._history import Entry, History, Origin
from covet_websocket._rooms._member import Member
from covet_websocket._rooms._outlet import Broadcast, Encoding, Frame, Outlet
from covet_websocket._rooms._presence import Changes, Presence

Start = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
# An entry is kept as it came, and as a text and a binary frame: MessagePack makes `0.0` three times as long.
_FORMS: Final = 5
_FRAMING: Final = 1024


class Room:
    """Delivers to the members that are here. Nothing but `post` waits.

    Args:
        name: What it is called.
        epoch: Begins the ids of its messages until processes agree on another.
        config: The limits.
        broadcast: Sends to many.
        start: Starts a task of a member's.
        touched: Called with the room when there are changes to be told.
        kept: Called with it when its history has grown.

    Attributes:
        members: All of this process, by their ids.
        others: Those of other processes, with what they say of themselves.
        epoch: Ids of messages are ``<epoch>.<position>``, with positions that count up by one.
        position: Of the last message.
        history: The last messages.
        counts: What is counted of it.
        presence: What those who watch know of who is there.
        own_changes: Who came and left here, since other processes were told.
        holds: Who uses it: members, and those who are about to be one.
        idle_since: When it was last used.
    """

    def __init__(
        self,
        name: str,
        epoch: str,
        config: RoomsConfig,
        broadcast: Broadcast,
        start: Start,
        touched: Callable[[Room], object],
        kept: Callable[[Room], object],
    ) -> None:
        self.name = name
        self.config = config
        self.epoch = epoch
        self.position = 0
        self.history = History(config.history_messages, config.history_bytes, config.history_age)
        self.counts = Counts()
        self.members: dict[str, Member] = {}
        self.others: dict[str, bytes] = {}
        self.presence = Presence(config.presence_members, self.present)
        self.own_changes = Changes()
        self.holds = 0
        self.idle_since = anyio.current_time()
        self._broadcast = broadcast
        self._start = start
        self._touched = touched
        self._kept = kept
        self._outlets: dict[Outlet, Member] = {}
        # Those who get everything at once, by how they want it, and of these those who watch.
        self._ready: dict[str, dict[Outlet, Member]] = {}
        self._encodings: dict[str, Encoding] = {}
        # By encoding, until those who watch are told something new.
        self._known: dict[str, list[Frame]] = {}
        self._behind: dict[Member, None] = {}
        self._gate = anyio.Lock()

    # Who is here.

    def member_of(self, outlet: Outlet) -> Member | None:
        """The member with this connection."""
        return self._outlets.get(outlet)

    def present(self) -> dict[str, bytes]:
        """Everybody, here and elsewhere, with what they say of themselves."""
        return {**{name: each.data for name, each in self.members.items()}, **self.others}

    @property
    def count(self) -> int:
        """How many these are."""
        return len(self.members) + len(self.others)

    def enter(self, member: Member, after: str | None) -> bool:
        """Have a member, that gets a welcome, then what it missed, then what comes.

        Args:
            member: Who it is.
            after: The id of the last message that it has.

        Returns:
            Whether it gets all it missed; ``True`` where it asks for nothing.

        Raises:
            WebSocketClosed: Its connection is closed.
        """
        self.history.evict(anyio.current_time())
        following = None if after is None else self._index_after(after)
        resumed = after is None or following is not None
        self.members[member.id] = member
        self._outlets[member.outlet] = member
        self._encodings[member.encoding.name] = member.encoding
        self.presence.changes.join(member.id, member.data)
        self.own_changes.join(member.id, member.data)
        welcome = self._welcome(member, resumed=resumed, answers=after is not None)
        try:
            sent = member.outlet.try_send(welcome)
            member.missed_presence = member.watches and not (sent and self._introduced(member))
        except WebSocketClosed:
            self.leave(member)
            raise
        if following is not None and following < self.history.next:
            member.following = following
        if not resumed:
            self.counts.resets += 1
        if not sent:
            # In front of what it missed, which is not in the backlog.
            member.first = welcome
        if member.following is not None or member.first is not None or member.missed_presence:
            self._fall_behind(member)
        else:
            self._ready.setdefault(member.encoding.name, {})[member.outlet] = member
        self._touched(self)
        return resumed

    def _index_after(self, after: str) -> int | None:
        if after == self.last_id:
            return self.history.next
        return self.history.behind(after)

    @property
    def last_id(self) -> str:
        """The id of the last message, or the one before the first."""
        return f"{self.epoch}.{self.position}"

    def leave(self, member: Member) -> None:
        """Have it no more; safe twice."""
        if member.left:
            return
        member.stop()
        del self.members[member.id]
        del self._outlets[member.outlet]
        self._ready.get(member.encoding.name, {}).pop(member.outlet, None)
        self._behind.pop(member, None)
        self.presence.changes.leave(member.id, member.data)
        self.own_changes.leave(member.id, member.data)
        self._touched(self)

    # What they get.

    async def post(
        self, origin: Origin, body: bytes, key: str | None, *, id: str | None = None
    ) -> None:
        """Deliver a message to everybody who is here, once those who block have room for it.

        Those who have none when patience ends are closed. Cancelled while it waits, it was not
        delivered.

        Args:
            origin: Where it comes from.
            body: JSON.
            key: Of which it is the latest.
            id: The one it has, unless it gets the next.
        """
        size = _FORMS * len(body) + _FRAMING
        if self._gate.locked() or self._blocking(size):
            async with self._gate:
                await self._room_for(size)
                self._deliver(origin, body, key, id)
        else:
            self._deliver(origin, body, key, id)

    def _blocking(self, size: int) -> list[Member]:
        if not self._behind:
            return []
        first = self.history.first_after(size, anyio.current_time())
        return [each for each in self._behind if each.blocks(first)]

    async def _room_for(self, size: int) -> None:
        with anyio.move_on_after(self.config.patience):
            while blocking := self._blocking(size):
                await blocking[0].freed()
            return
        for each in self._blocking(size):
            each.disconnect()

    def _deliver(self, origin: Origin, body: bytes, key: str | None, id: str | None) -> None:
        if id is None:
            self.position += 1
        entry = Entry(self.name, id or self.last_id, origin, body, key, anyio.current_time())
        for member in tuple(self._behind):
            if member.following is None:
                member.hold(entry.frame(member.encoding, keep=True), key)
        for name, ready in self._ready.items():
            if ready:
                self._send(ready, entry.frame(self._encodings[name], keep=True), key)
        self.history.append(entry)
        self._kept(self)
        self.counts.published += 1

    def _send(self, ready: Mapping[Outlet, Member], frame: Frame, key: str | None) -> None:
        for outlet in tuple(self._broadcast(ready, frame)):
            if outlet.close_code is None:
                member = ready[outlet]
                member.hold(frame, key)
                if not member.left:
                    self._fall_behind(member)

    def _fall_behind(self, member: Member) -> None:
        self._ready.get(member.encoding.name, {}).pop(member.outlet, None)
        self._behind[member] = None
        self._start(member.catch_up)

    def caught_up(self, member: Member) -> bool:
        """Have a member get everything at once again, if nothing more is to be said before."""
        if member.missed_presence:
            member.missed_presence = False
            member.untold = self._known_in(member.encoding)
            return False
        del self._behind[member]
        self._ready.setdefault(member.encoding.name, {})[member.outlet] = member
        return True

    # Other processes.

    def load(self, entries: list[Entry], floor: str) -> None:
        """Take what was said before this process was there: members that are here do not get it."""
        self.history.clear(floor)
        for entry in entries:
            self.history.append(entry)
        self._kept(self)

    def begin(self, epoch: str, position: int) -> None:
        """Have ids of another epoch from here on."""
        self.epoch, self.position = epoch, position

    def reset(self) -> None:
        """Tell everybody that messages are missing."""
        for member in tuple(self.members.values()):
            self.counts.resets += 1
            member.following = None
            self._push(member, self._reset_frame(member.encoding))

    def _push(self, member: Member, frame: Frame) -> None:
        if member in self._behind:
            member.hold(frame)
            return
        try:
            sent = member.outlet.try_send(frame)
        except WebSocketClosed:
            return
        if not sent:
            member.hold(frame)
            if not member.left:
                self._fall_behind(member)

    # Presence.

    def came(self, id: str, data: bytes) -> None:
        """Somebody came, in another process."""
        self.others[id] = data
        self.presence.changes.join(id, data)
        self._touched(self)

    def went(self, id: str) -> None:
        """Somebody left, there."""
        data = self.others.pop(id, None)
        if data is not None:
            self.presence.changes.leave(id, data)
            self._touched(self)

    def tell(self) -> None:
        """Tell those who watch what has changed since they were told."""
        news = self.presence.news()
        if not news:
            return
        self._known.clear()
        for member in self._behind:
            member.missed_presence = member.watches
            member.untold = ()
        for name, ready in self._ready.items():
            watching = {outlet: each for outlet, each in ready.items() if each.watches}
            for told in news if watching else ():
                self._tell(watching, self._frame(self._encodings[name], told))

    def _tell(self, watching: dict[Outlet, Member], frame: Frame) -> None:
        for outlet in tuple(self._broadcast(watching, frame)):
            # It gets none of those that follow either, and all anew once there is room.
            member = watching.pop(outlet)
            if outlet.close_code is None:
                member.missed_presence = True
                self._fall_behind(member)

    def _known_in(self, encoding: Encoding) -> list[Frame]:
        """What tells a member of this encoding what the others know."""
        found = self._known.get(encoding.name)
        if found is None:
            found = [self._frame(encoding, told) for told in self.presence.known()]
            self._known[encoding.name] = found
        return found

    def _introduced(self, member: Member) -> bool:
        """Whether there was room to tell it."""
        return all(member.outlet.try_send(frame) for frame in self._known_in(member.encoding))

    def lag(self) -> tuple[int, int]:
        """Messages and bytes that wait for whoever most wait for."""
        messages = size = 0
        for member in self.members.values():
            behind = 0 if member.following is None else self.history.next - member.following
            waiting, waiting_bytes = member.waiting
            messages = max(messages, waiting + behind + member.outlet.queued)
            size = max(size, waiting_bytes + member.outlet.buffered)
        return messages, size

    # Frames.

    def _frame(self, encoding: Encoding, members: Mapping[str, bytes]) -> Frame:
        found: dict[str, Any] = {"room": encoding.plain(self.name)}
        found.update((name, encoding.json(value)) for name, value in members.items())
        return encoding.frame(found)

    def _welcome(self, member: Member, *, resumed: bool, answers: bool) -> Frame:
        members = {"you": to_json(member.id), "last": to_json(self.last_id)}
        if answers:
            members["resumed" if resumed else "reset"] = b"true"
        return self._frame(member.encoding, members)

    def reset_frame(self, member: Member) -> Frame:
        """Tells a member that it cannot get everything it missed."""
        return self._reset_frame(member.encoding)

    def _reset_frame(self, encoding: Encoding) -> Frame:
        last = to_json(self.last_id)
        return self._frame(encoding, {"reset": b"true", "last": last})

    def close(self) -> None:
        """Let go of everybody: it is the end."""
        for member in tuple(self.members.values()):
            self.leave(member)
