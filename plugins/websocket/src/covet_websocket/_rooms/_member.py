"""One member of a room, and what waits for it while its connection has no room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel

from covet_http import WebSocketClosed
from covet_websocket._rooms._config import RoomsConfig, WhenSlow
from covet_websocket._rooms._outlet import Encoding, Frame, Outlet

if TYPE_CHECKING:
    from covet_websocket._rooms._room import Room

TRY_AGAIN_LATER: Final = 1013
# So many frames in a row, and others get a turn.
_BURST: Final = 32
# A frame that is larger than what is free may find no room though the queue is half empty.
_PAUSE: Final = 0.01
_PAUSE_MOST: Final = 0.5


class Backlog:
    """Frames that wait for one member, in their order.

    Attributes:
        size: Bytes of all.
    """

    __slots__ = ("_frames", "_keys", "_most", "_most_bytes", "_next", "size")

    def __init__(self, messages: int, size: int) -> None:
        self._most = messages
        self._most_bytes = size
        self._frames: OrderedDict[int, tuple[Frame, str | None]] = OrderedDict()
        self._keys: dict[str, int] = {}
        self._next = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._frames)

    def has_room(self, size: int) -> bool:
        """Whether a frame of this size fits; one that is too large fits alone."""
        return not self._frames or (
            len(self._frames) < self._most and self.size + size <= self._most_bytes
        )

    @property
    def is_full(self) -> bool:
        """Whether nothing more fits, however small."""
        return len(self._frames) >= self._most or self.size >= self._most_bytes

    def push(self, frame: Frame, key: str | None) -> None:
        """Add a frame, whether it fits or not."""
        self._frames[self._next] = frame, key
        if key is not None:
            self._keys[key] = self._next
        self._next += 1
        self.size += len(frame)

    def first(self) -> Frame | None:
        """What is next."""
        for frame, _ in self._frames.values():
            return frame
        return None

    def drop_first(self) -> None:
        """Let go of it."""
        self._drop(next(iter(self._frames)))

    def drop_key(self, key: str) -> bool:
        """Let go of what has this key; whether there was any."""
        number = self._keys.get(key)
        if number is None:
            return False
        self._drop(number)
        return True

    def _drop(self, number: int) -> None:
        frame, key = self._frames.pop(number)
        self.size -= len(frame)
        if key is not None and self._keys.get(key) == number:
            del self._keys[key]


class Member:
    """Whoever is in a room.

    A member whose connection has room gets everything at once. One that has not is behind: what
    comes is held, by its policy, and a task of its own sends it as there is room. One that came
    back is behind as well, but in the room's history, of which nothing is copied.

    Attributes:
        id: Names it in the room.
        data: What it says of itself, as JSON.
        watches: Whether it is told who comes and goes.
        missed_presence: Whether it was not told, and has to be told everything.
        untold: What is left of that.
        following: The index in the history that it gets next, ``None`` once it had all of that.
        first: What it gets before anything else.
        left: Whether it is not in the room any more.
    """

    # A room holds one for everybody: what few of them need is made when they do.
    __slots__ = (
        "_backlog", "_catching_up", "_freed", "data", "encoding", "first", "following", "id", "left",
        "missed_presence", "outlet", "room", "untold", "watches", "when_slow",
    )  # fmt: skip

    def __init__(
        self,
        room: Room,
        outlet: Outlet,
        encoding: Encoding,
        id: str,
        data: bytes,
        when_slow: WhenSlow,
        *,
        watches: bool,
    ) -> None:
        self.room = room
        self.outlet = outlet
        self.encoding = encoding
        self.id = id
        self.data = data
        self.when_slow = when_slow
        self.watches = watches
        self.missed_presence = False
        self.untold: Sequence[Frame] = ()
        self.following: int | None = None
        self.first: Frame | None = None
        self.left = False
        self._backlog: Backlog | None = None
        self._catching_up: anyio.CancelScope | None = None
        self._freed: anyio.Event | None = None

    @property
    def backlog(self) -> Backlog:
        """What waits for it, besides what it follows in the history."""
        backlog = self._backlog
        if backlog is None:
            config: RoomsConfig = self.room.config
            backlog = self._backlog = Backlog(config.queue_messages, config.queue_bytes)
        return backlog

    @property
    def waiting(self) -> tuple[int, int]:
        """Messages and bytes that do."""
        backlog = self._backlog
        return (0, 0) if backlog is None else (len(backlog), backlog.size)

    def blocks(self, first: int) -> bool:
        """Whether a message has to wait for it.

        Args:
            first: The index that the history begins with, once it has the message.
        """
        if self.when_slow != "block":
            return False
        if self.following is not None:
            return self.following < first
        return self._backlog is not None and self._backlog.is_full

    async def freed(self) -> None:
        """Return when something has been sent to it, or it has left."""
        if self._freed is None:
            self._freed = anyio.Event()
        await self._freed.wait()

    def free(self) -> None:
        """Let those go on who wait for it."""
        freed, self._freed = self._freed, None
        if freed is not None:
            freed.set()

    def hold(self, frame: Frame, key: str | None = None) -> None:
        """Keep a frame for later, as its policy has it."""
        backlog, counts = self.backlog, self.room.counts
        if self.when_slow == "coalesce" and key is not None and backlog.drop_key(key):
            counts.dropped += 1  # what is newer goes to the end, so that ids only grow
        # For one that blocks, messages wait until it is not full: the last may be too large.
        while self.when_slow != "block" and not backlog.has_room(len(frame)):
            if self.when_slow == "disconnect":
                self.disconnect()
                return
            backlog.drop_first()
            counts.dropped += 1
        backlog.push(frame, key)

    def disconnect(self) -> None:
        """Close it, since it is not as fast as it has to be."""
        self.room.counts.disconnected += 1
        self.room.leave(self)
        if self.outlet.close_code is None:
            self.outlet.close(TRY_AGAIN_LATER, "messages are not read as fast as they come")

    def stop(self) -> None:
        """Have nothing more sent to it."""
        self.left = True
        self._backlog = None
        self.untold = ()
        if self._catching_up is not None:
            self._catching_up.cancel()
        self.free()

    async def catch_up(self) -> None:
        """Send what waits, until nothing does: a task of the member's own."""
        if self.left:
            return
        # Whoever leaves may still have a connection that takes nothing, for as long as it likes.
        with anyio.CancelScope() as self._catching_up:
            try:
                await self._send_all()
            except WebSocketClosed:
                self.room.leave(self)
        self._catching_up = None

    async def _send_all(self) -> None:
        pause, burst = 0.0, 0
        while not self.left:
            take = self._next()
            if take is None:
                if self.room.caught_up(self):
                    return
                continue
            frame, done = take
            if self.outlet.try_send(frame):
                done()
                self.free()
                pause, burst = 0.0, burst + 1
                if burst % _BURST == 0:
                    await anyio.lowlevel.checkpoint()
                continue
            if pause:
                await anyio.sleep(min(pause, _PAUSE_MOST))
            await self.outlet.drained()
            pause = pause * 2 or _PAUSE

    def _next(self) -> tuple[Frame, Callable[[], object]] | None:
        if self.first is not None:
            return self.first, self._welcomed
        if self.following is not None:
            history = self.room.history
            if self.following < history.first:
                return self.room.reset_frame(self), self._skip  # what it had to get is forgotten
            if self.following < history.next:
                return history[self.following].frame(self.encoding), self._follow
            self.following = None
        backlog = self._backlog
        frame = None if backlog is None else backlog.first()
        if backlog is not None and frame is not None:
            return frame, backlog.drop_first
        self._backlog = None
        return (self.untold[0], self._told) if self.untold else None

    def _told(self) -> None:
        self.untold = self.untold[1:]

    def _welcomed(self) -> None:
        self.first = None

    def _skip(self) -> None:
        self.following = self.room.history.first

    def _follow(self) -> None:
        if self.following is not None:
            self.following += 1
