"""All rooms of one process."""

from __future__ import annotations

import logging
import unicodedata
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from hashlib import blake2b
from heapq import nsmallest
from itertools import count
from secrets import token_hex
from typing import Any, Final
from weakref import WeakValueDictionary

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from pydantic_core import from_json, to_json

from covet_http import broadcast as broadcast_of_http
from covet_kernel.contracts import Broker, Metric
from covet_operations import Conflict, Invalid, TooLarge, Unavailable
from covet_websocket._channel._connection import Connection
from covet_websocket._encodings import encoding_of
from covet_websocket._rooms._config import RoomsConfig, WhenSlow
from covet_websocket._rooms._counts import Counts, metrics
from covet_websocket._rooms._envelope import Said
from covet_websocket._rooms._member import Member
from covet_websocket._rooms._membership import Joining, Membership
from covet_websocket._rooms._outlet import Broadcast, Encoding, Outlet
from covet_websocket._rooms._room import Room
from covet_websocket._rooms._span import Span, Topic

_FAREWELL: Final = 1.0
_KEY: Final = 256


class Opened:
    """A room that is open, and what keeps it together with others.

    Attributes:
        room: Its members here.
        span: Those elsewhere, if it spans.
        scope: Of the task that does so.
        accounted: Bytes of its history that are in the total.
    """

    def __init__(self, room: Room, span: Span | None) -> None:
        self.room = room
        self.span = span
        self.scope = anyio.CancelScope()
        self.accounted = 0


class Rooms:
    """Rooms by their names. There is one where somebody has joined it.

    Args:
        config: The limits.
        broadcast: Sends one frame to many connections.
        broker: By which rooms span processes.
        log: Told of outages.
    """

    def __init__(
        self,
        config: RoomsConfig | None = None,
        *,
        broadcast: Broadcast = broadcast_of_http,
        broker: Broker | None = None,
        log: logging.Logger | None = None,
    ) -> None:
        self._config = config or RoomsConfig()
        self._broadcast = broadcast
        self._broker = broker
        self._log = log or logging.getLogger("covet.websocket")
        self._origin = token_hex(8)
        self._numbers = count(1)
        self._opened: dict[str, Opened] = {}
        self._idle: OrderedDict[str, None] = OrderedDict()
        self._connections: dict[Outlet, int] = {}
        self._topics: WeakValueDictionary[str, Topic] = WeakValueDictionary()
        self._changed: dict[Room, None] = {}
        self._change = anyio.Event()
        self._with_history: OrderedDict[str, None] = OrderedDict()
        self._history_bytes = 0
        self._forgotten = Counts()
        self._tasks: TaskGroup | None = None

    def __len__(self) -> int:
        return len(self._opened)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Rooms]:
        """Have rooms while the block lasts; whoever is in one when it ends has left it."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._tell)
            tasks.start_soon(self._sweep)
            try:
                yield self
            finally:
                self._tasks = None
                with anyio.move_on_after(_FAREWELL, shield=True):
                    await self._farewell()
                tasks.cancel_scope.cancel()

    async def _farewell(self) -> None:
        opened = list(self._opened.values())
        for each in opened:
            each.room.close()
        async with anyio.create_task_group() as leaving:
            for each in opened:
                if each.span is not None:
                    leaving.start_soon(each.span.leave)

    # Rooms come and go.

    def _open(self, name: str) -> Opened:
        found = self._opened.get(name)
        if found is not None:
            return found
        if len(self._opened) >= self._config.rooms:
            if not self._idle:
                raise Unavailable("there are too many rooms")
            self._forget(next(iter(self._idle)))
        room = Room(
            name,
            token_hex(6),
            self._config,
            self._broadcast,
            self._start,
            self._touched,
            self._kept,
        )
        span = None
        if self._broker is not None:
            span = Span(room, self._topic(self._broker, name), self._log)
        opened = self._opened[name] = Opened(room, span)
        if span is not None:
            self._start(lambda: self._run(opened))
        return opened

    async def _run(self, opened: Opened) -> None:
        with opened.scope:
            if opened.span is not None:
                await opened.span.run()

    def _topic(self, broker: Broker, name: str) -> Topic:
        topic = self._topics.get(name)
        if topic is None:
            # Brokers differ in what a topic may be called; all take this.
            where = self._config.topics + blake2b(name.encode(), digest_size=16).hexdigest()
            topic = self._topics[name] = Topic(
                broker,
                where,
                name,
                self._origin,
                self._numbers.__next__,
                self._config.publish_timeout,
            )
        return topic

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(work)

    def _hold(self, opened: Opened) -> None:
        opened.room.holds += 1
        self._idle.pop(opened.room.name, None)

    def _release(self, opened: Opened) -> None:
        room = opened.room
        room.holds -= 1
        if not room.holds and self._opened.get(room.name) is opened:
            room.idle_since = anyio.current_time()
            self._idle[room.name] = None

    def _forget(self, name: str) -> None:
        opened = self._opened.pop(name)
        self._idle.pop(name, None)
        self._with_history.pop(name, None)
        self._history_bytes -= opened.accounted
        self._forgotten.add(opened.room.counts)
        self._changed.pop(opened.room, None)
        opened.scope.cancel()
        if opened.span is not None:
            self._start(opened.span.leave)

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(max(self._config.linger / 4, 0.05))
            now = anyio.current_time()
            while self._idle:
                name = next(iter(self._idle))
                if self._opened[name].room.idle_since > now - self._config.linger:
                    break
                self._forget(name)
            for name in tuple(self._with_history):
                room = self._opened[name].room
                room.history.evict(now)
                self._account(room)

    # What they keep together.

    def _kept(self, room: Room) -> None:
        if self._account(room):
            self._with_history.move_to_end(room.name)
        while self._history_bytes > self._config.history_total_bytes:
            # The room that was silent longest.
            oldest = self._opened[next(iter(self._with_history))].room
            oldest.history.drop_oldest()
            self._account(oldest)

    def _account(self, room: Room) -> bool:
        opened = self._opened.get(room.name)
        if opened is None or opened.room is not room:
            return False  # forgotten, and what it did ends
        self._history_bytes += room.history.size - opened.accounted
        opened.accounted = room.history.size
        if len(room.history):
            self._with_history.setdefault(room.name)
            return True
        self._with_history.pop(room.name, None)
        return False

    def _touched(self, room: Room) -> None:
        self._changed[room] = None
        self._change.set()

    async def _tell(self) -> None:
        while True:
            await self._change.wait()
            await anyio.sleep(self._config.presence_interval)
            self._change = anyio.Event()
            changed, self._changed = self._changed, {}
            for room in changed:
                room.tell()
                opened = self._opened.get(room.name)
                if opened is not None and opened.span is not None:
                    opened.span.tell()
                else:
                    room.own_changes.clear()

    # What applications do.

    def join(
        self,
        connection: Outlet | Connection[Any, Any],
        name: str,
        *,
        encoding: Encoding | None = None,
        data: Any = None,
        after: str | None = None,
        presence: bool = False,
        when_slow: WhenSlow | None = None,
    ) -> AbstractAsyncContextManager[Membership]:
        """Be in a room while the block lasts.

        Args:
            connection: Gets the room's frames.
            name: The room's.
            encoding: How they are written, unless the connection's subprotocol says so.
            data: What the others may know of this member.
            after: The id of the last message that this client has had: it gets those that came behind
                it, or is told ``reset`` if they are not all known any more.
            presence: Whether it is told who is there, who comes and who leaves.
            when_slow: What becomes of messages that it is too slow for, unless as configured.

        Raises:
            Invalid: The name is none.
            TooLarge: The data is too large.
            Conflict: The connection is in this room already, or in too many.
            Unavailable: There are too many rooms, or members in this one.
            WebSocketClosed: The connection is closed.
        """
        return Joining(
            partial(self._enter, connection, name, encoding, data, after, presence, when_slow)
        )

    async def _enter(
        self,
        connection: Outlet | Connection[Any, Any],
        name: str,
        encoding: Encoding | None,
        data: Any,
        after: str | None,
        presence: bool,
        when_slow: WhenSlow | None,
    ) -> Membership:
        self._check_name(name)
        if isinstance(connection, Connection):
            await connection.accept()
            connection = connection.socket
        said = to_json(data)
        if len(said) > self._config.data_bytes:
            raise TooLarge("what a member says of itself is too large")
        if self._tasks is None:
            raise Unavailable("the service is stopping")
        if self._connections.get(connection, 0) >= self._config.rooms_per_connection:
            raise Conflict("a connection cannot be in more rooms")
        opened = self._open(name)
        room = opened.room
        if room.holds >= self._config.members:
            raise Unavailable("there are too many members in this room")
        self._hold(opened)
        self._connections[connection] = self._connections.get(connection, 0) + 1
        try:
            if after is not None and opened.span is not None:
                await opened.span.settled.wait()
            if room.member_of(connection) is not None:
                raise Conflict("the connection is in this room already")
            member = Member(
                room,
                connection,
                encoding or encoding_of(connection.subprotocol),
                token_hex(8),
                said,
                when_slow or self._config.when_slow,
                watches=presence,
            )
            resumed = room.enter(member, after)
        except BaseException:
            self._let_go(opened, connection)
            raise
        return Membership(self, member, partial(self._leave, opened, member), resumed=resumed)

    def _leave(self, opened: Opened, member: Member) -> None:
        opened.room.leave(member)
        self._let_go(opened, member.outlet)

    def _let_go(self, opened: Opened, connection: Outlet) -> None:
        self._connections[connection] -= 1
        if not self._connections[connection]:
            del self._connections[connection]
        self._release(opened)

    async def publish(self, name: str, message: Any, *, key: str | None = None) -> bool:
        """Say something to everybody in a room, wherever they are.

        Args:
            name: The room's.
            message: Anything that is JSON, models too.
            key: Of which this is the latest: a slow member that coalesces gets none before it.

        Returns:
            Whether all processes get it. If the broker cannot be reached, only this one's members do.

        Raises:
            Invalid: The name is none, or the key is too long.
            TooLarge: The message is too large.
        """
        self._check_name(name)
        if key is not None and len(key) > _KEY:
            raise Invalid(f"a key has at most {_KEY} characters")
        body = to_json(message)
        if len(body) > self._config.message_bytes:
            raise TooLarge("the message is too large for a room")
        await checkpoint()
        opened = self._opened.get(name)
        if opened is None:
            return await self._publish_away(name, body, key)
        self._hold(opened)
        try:
            if opened.span is not None:
                return await opened.span.publish(body, key)
            await opened.room.post((self._origin, next(self._numbers)), body, key)
            return True
        finally:
            self._release(opened)

    async def _publish_away(self, name: str, body: bytes, key: str | None) -> bool:
        if self._broker is None:
            return True
        topic = self._topic(self._broker, name)
        try:
            await topic.publish(
                lambda number: Said(
                    room=name, origin=self._origin, number=number, body=body, key=key
                )
            )
        except TooLarge:
            raise
        except Exception as error:
            self._log.warning("room %r: the broker took no message: %r", name, error)
            return False
        return True

    def present(self, name: str, *, after: str = "", limit: int | None = None) -> dict[str, Any]:
        """What everybody in a room says of themselves, by their ids.

        Of other processes' members it is known where this one has a member as well.

        Args:
            name: The room's.
            after: Only those whose ids come behind this one: the last of the page before.
            limit: How many there are in a page, which is in the order of ids; all unless given.
        """
        opened = self._opened.get(name)
        found: Mapping[str, bytes] = {} if opened is None else opened.room.present()
        ids: Iterable[str] = found
        if after or limit is not None:
            behind = (each for each in found if each > after)
            ids = sorted(behind) if limit is None else nsmallest(limit, behind)
        return {member: from_json(found[member]) for member in ids}

    def count(self, name: str) -> int:
        """How many are in a room, as far as `present` knows of them."""
        opened = self._opened.get(name)
        return 0 if opened is None else opened.room.count

    def metrics(self) -> Iterable[Metric]:
        """How many rooms there are, how large and how far behind, and what was done."""
        rooms = _Names(self._opened)
        return metrics(rooms, self._forgotten, self._config.metrics_rooms)

    def _check_name(self, name: str) -> None:
        size = len(name.encode("utf-8", "surrogatepass"))
        if not 0 < size <= self._config.name_bytes:
            raise Invalid(f"the name of a room has 1 to {self._config.name_bytes} bytes")
        if any(unicodedata.category(each) in ("Cc", "Cs") for each in name):
            raise Invalid("the name of a room has no control characters")


class _Names(Mapping[str, Room]):
    """The rooms of what is open, as it is when it is looked at."""

    def __init__(self, opened: Mapping[str, Opened]) -> None:
        self._opened = opened

    def __getitem__(self, name: str) -> Room:
        return self._opened[name].room

    def __iter__(self) -> Any:
        return iter(self._opened)

    def __len__(self) -> int:
        return len(self._opened)
