"""A room that spans processes: every one that has members subscribes to the room's topic.

Everything that is said goes through the topic, also to the members of the process it comes from, so all
processes have the same messages in the same order. A process that comes says hello over the topic, and what
it is told is how things stood exactly there. While the broker cannot be reached a room goes on alone, under
an epoch of its own.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from random import uniform
from secrets import token_hex
from typing import Any, Final, TypeVar

import anyio

from covet_kernel.contracts import Broker, BrokerLimitError, Message
from covet_operations import TooLarge
from covet_websocket._rooms._envelope import (
    Ask,
    Envelope,
    Gone,
    Hello,
    Kept,
    Present,
    Said,
    State,
    pack,
    unpack,
)
from covet_websocket._rooms._history import Entry
from covet_websocket._rooms._peers import Peers
from covet_websocket._rooms._room import Room

E = TypeVar("E", bound=Envelope)
# Processes whose numbers are remembered.
_ORIGINS: Final = 1024
_HELD: Final = 1000
_OUTGOING: Final = 1000
_STATE_BYTES: Final = 256 * 1024
_PART_BYTES: Final = 128 * 1024
_HELLOS: Final = 3


class Topic:
    """What a process publishes to one room's topic: one after the other, so that numbers only grow.

    Args:
        broker: Takes it.
        topic: Where.
        room: The room's name.
        origin: This process.
        number: Gives the next number.
        timeout: For the broker to take it, in seconds.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        room: str,
        origin: str,
        number: Callable[[], int],
        timeout: float,
    ) -> None:
        self.broker = broker
        self.topic = topic
        self.room = room
        self.origin = origin
        self.next_number = number
        self._timeout = timeout
        self._lock = anyio.Lock()

    async def publish(self, make: Callable[[int], Envelope]) -> None:
        """Publish what is made of the next number.

        Raises:
            TooLarge: The broker takes no message of that size.
            Exception: The broker does not take it.
        """
        async with self._lock:
            body = pack(make(self.next_number()))
            try:
                with anyio.fail_after(self._timeout):
                    await self.broker.publish(self.topic, body, key=self.topic)
            except BrokerLimitError as error:
                raise TooLarge("the broker takes no message of that size") from error


class Span:
    """Keeps a room together with the same room elsewhere.

    Args:
        room: The members of this process.
        topic: Where all processes publish.
        log: Told of outages.

    Attributes:
        settled: Set once this process knows what was said before, or that it cannot know.
    """

    def __init__(self, room: Room, topic: Topic, log: logging.Logger) -> None:
        self.room = room
        self.topic = topic
        self.settled = anyio.Event()
        self._config = room.config
        self._log = log
        self._peers = Peers(room)
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._subscribed = anyio.Event()
        self._scope: anyio.CancelScope | None = None
        # While it is not known what was said before: everything that comes, and where a hello came.
        self._held: deque[Envelope] | None = None
        self._anchors: dict[int, int] = {}
        self._replaying = False
        self._synced = anyio.Event()
        self._resync = anyio.Event()
        # Published, and not come back.
        self._pending: OrderedDict[int, Said] = OrderedDict()
        self._outgoing: deque[Callable[[int], Envelope]] = deque()
        self._speaks = anyio.Event()
        self._version = 0

    @property
    def alone(self) -> bool:
        """Whether the broker cannot be reached."""
        return not self._subscribed.is_set()

    # What this process says.

    async def publish(self, body: bytes, key: str | None) -> bool:
        """Say something to everybody in the room.

        Returns:
            Whether all processes get it; where the broker does not take it, only this one's members do.

        Raises:
            TooLarge: The broker takes no message of that size.
        """
        if self.alone and not self.settled.is_set():
            with anyio.move_on_after(self._config.sync_timeout):
                await self._subscribed.wait()
        if self.alone:
            await self.room.post((self.topic.origin, self.topic.next_number()), body, key)
            return False
        made: list[Said] = []

        def make(number: int) -> Said:
            said = self._made(Said, number, self._epoch, body=body, key=key)
            made.append(said)
            self._pending[number] = said
            return said

        try:
            await self.topic.publish(make)
        except TooLarge:
            self._forget(made)
            raise
        except Exception as error:
            # It will not come back, or is told from what comes back by its number.
            self._break(error)
            return False
        except BaseException:
            self._forget(made)
            raise
        return True

    def _forget(self, made: list[Said]) -> None:
        for said in made:
            self._pending.pop(said.number, None)

    @property
    def _epoch(self) -> str:
        return "" if self._held is not None else self.room.epoch

    def _made(self, kind: type[E], number: int, epoch: str, **members: Any) -> E:
        origin = self.topic.origin
        return kind(room=self.room.name, origin=origin, number=number, epoch=epoch, **members)

    def _say(self, kind: type[Envelope], **members: Any) -> None:
        """Have something published in its turn: whoever reads must not wait for the broker."""
        if len(self._outgoing) < _OUTGOING:
            epoch = self._epoch
            self._outgoing.append(lambda number: self._made(kind, number, epoch, **members))
            self._speaks.set()

    def tell(self) -> None:
        """Have the others told who came and left here."""
        changes = self.room.own_changes
        # Unless it is settled all are told all once it is.
        if changes and self._held is None and not self.alone:
            self._tell(dict(changes.joined), list(changes.left))
        changes.clear()

    def _tell_all(self) -> None:
        self.room.own_changes.clear()
        mine = {name: each.data for name, each in self.room.members.items()}
        self._tell(mine, [], whole=True)

    def _tell(self, joined: dict[str, bytes], left: list[str], *, whole: bool = False) -> None:
        """In as many messages as keep a size that brokers take."""
        parts: list[dict[str, bytes]] = [{}]
        size = 0
        for member, data in joined.items():
            size += len(member) + len(data) + 8
            if size > _PART_BYTES:
                parts.append({})
                size = 0
            parts[-1][member] = data
        for i, part in enumerate(parts):
            self._version += 1
            gone = left if i == 0 else []
            whole = whole and i == 0
            self._say(Present, version=self._version, joined=part, left=gone, whole=whole)

    async def leave(self) -> None:
        """Say that this process's members are gone, if the broker takes it at once."""
        if not self.alone:
            try:
                await self.topic.publish(lambda number: self._made(Gone, number, self._epoch))
            except Exception as error:
                self._log.debug("room %r: the broker was not told: %r", self.room.name, error)

    # Its life.

    async def run(self) -> None:
        """Stay subscribed, until cancelled."""
        wait = self._config.retry
        while True:
            before = anyio.current_time()
            error: BaseException | None = None
            with anyio.CancelScope() as self._scope:
                try:
                    await self._together()
                except Exception as raised:
                    error = raised
            self._scope = None
            await self._fall_apart(error)
            if anyio.current_time() - before > self._config.retry_most:
                wait = self._config.retry
            await anyio.sleep(uniform(wait / 2, wait))  # noqa: S311
            wait = min(wait * 2, self._config.retry_most)

    def _break(self, error: BaseException) -> None:
        self._log.debug("room %r: publishing failed: %r", self.room.name, error)
        self._subscribed = anyio.Event()
        if self._scope is not None:
            self._scope.cancel()

    async def _fall_apart(self, error: BaseException | None) -> None:
        self.room.counts.outages += 1
        self._log.warning(
            "room %r has lost the broker, and goes on alone: %r", self.room.name, error
        )
        self._subscribed = anyio.Event()
        self._outgoing.clear()
        held, self._held = self._held, None
        self._peers.forget_all()
        self.room.begin(token_hex(6), 0)
        for envelope in held or ():
            if isinstance(envelope, Said):
                await self._deliver(envelope)
        while self._pending:
            said = next(iter(self._pending.values()))
            self._note(said)
            await self._deliver(said)
        self.settled.set()

    async def _together(self) -> None:
        async with self.topic.broker.subscribe(self.topic.topic) as messages:
            self._begin_sync()
            self._subscribed.set()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._speak)
                tasks.start_soon(self._keep_together)
                await self._listen(messages)
                tasks.cancel_scope.cancel()
        raise ConnectionError("the broker has ended the subscription")

    async def _listen(self, messages: AsyncIterator[Message]) -> None:
        async for message in messages:
            await self._take(message.body)
            await message.ack()

    async def _speak(self) -> None:
        while True:
            while self._outgoing:
                await self.topic.publish(self._outgoing.popleft())
            self._speaks = anyio.Event()
            await self._speaks.wait()

    async def _keep_together(self) -> None:
        while True:
            if self._held is not None:
                await self._sync()
            with anyio.move_on_after(self._config.heartbeat):
                await self._resync.wait()
                continue
            self._say(Present, version=self._version)
            self._peers.expire(anyio.current_time() - self._config.heartbeat_timeout)

    # What was said before.

    def _begin_sync(self) -> None:
        if self._held is None:
            self._held = deque()
            self._anchors.clear()
            self._replaying = False
            self._synced = anyio.Event()
        self._resync.set()

    async def _sync(self) -> None:
        self._resync = anyio.Event()
        for attempt in range(1, _HELLOS + 1):
            self._say(Hello, attempt=attempt)
            with anyio.move_on_after(self._config.sync_timeout / _HELLOS):
                await self._synced.wait()
                return
        if not self._replaying:
            # Nobody knows more than this process does.
            await self._replay()

    async def _replay(self) -> None:
        self._replaying = True
        held = self._held
        try:
            while held:
                await self._apply(held[0])
                held.popleft()
        finally:
            self._replaying = False
        self._held = None
        self._tell_all()
        self._synced.set()
        self.settled.set()

    async def _adopt(self, state: State) -> None:
        self._replaying = True
        room = self.room
        start = self._anchors[state.to[1]]
        entries = [
            Entry(
                room.name,
                each.id,
                (each.origin, each.number),
                each.body,
                each.key,
                anyio.current_time(),
            )
            for each in state.history
        ]
        common = [i for i, each in enumerate(entries) if room.history.rename(each.origin, each.id)]
        fresh = not self.settled.is_set()
        if fresh or not common:
            room.load(entries, state.floor)
            room.begin(state.epoch, state.position)
            if not fresh:
                room.reset()
        else:
            for each in entries[common[-1] + 1 :]:
                if not room.history.has(each.origin):
                    await room.post(each.origin, each.body, each.key, id=each.id)
            room.begin(state.epoch, state.position)
        for origin, number in state.seen.items():
            self._see(origin, number)
        # What came before the hello is in what was told; what came twice is too.
        held = self._held or deque()
        kept = [
            each for each in list(held)[start:] if state.seen.get(each.origin, -1) < each.number
        ]
        held.clear()
        held.extend(kept)
        await self._replay()

    # What others say.

    def _see(self, origin: str, number: int) -> None:
        self._seen[origin] = max(number, self._seen.get(origin, -1))
        self._seen.move_to_end(origin)
        if len(self._seen) > _ORIGINS:
            self._seen.popitem(last=False)

    def _note(self, envelope: Envelope) -> bool:
        """Whether it is new."""
        if self._seen.get(envelope.origin, -1) >= envelope.number:
            return False
        self._see(envelope.origin, envelope.number)
        return True

    async def _take(self, body: bytes) -> None:
        envelope = unpack(body)
        if envelope is None or envelope.room != self.room.name:
            self.room.counts.unreadable += 1
            return
        if not self._note(envelope):
            self.room.counts.repeated += 1
            return
        held = self._held
        if held is None:
            await self._apply(envelope)
        elif self._replaying:
            held.append(envelope)
        elif (
            isinstance(envelope, State)
            and envelope.to[0] == self.topic.origin
            and envelope.to[1] in self._anchors
        ):
            await self._adopt(envelope)
        else:
            held.append(envelope)
            if isinstance(envelope, Hello) and envelope.origin == self.topic.origin:
                self._anchors[envelope.number] = len(held)
            if len(held) >= _HELD:
                await self._replay()

    async def _apply(self, envelope: Envelope) -> None:
        mine = envelope.origin == self.topic.origin
        if isinstance(envelope, Said):
            await self._deliver(envelope)
        if mine:
            return
        self._peers.heard(envelope.origin)
        if isinstance(envelope, Hello):
            if envelope.attempt > 1 or self._peers.is_first(self.topic.origin, envelope.origin):
                self._answer(envelope)
            self._tell_all()
        elif isinstance(envelope, Present):
            if not self._peers.take(envelope):
                self._say(Ask, of=envelope.origin)
        elif isinstance(envelope, Ask):
            if envelope.of == self.topic.origin:
                self._tell_all()
        elif isinstance(envelope, Gone):
            self._peers.forget(envelope.origin)
        if envelope.epoch and envelope.epoch < self.room.epoch and self._held is None:
            # Two that did not hear of each other: the one whose epoch is less is right.
            self._begin_sync()

    async def _deliver(self, said: Said) -> None:
        await self.room.post((said.origin, said.number), said.body, said.key)
        # Only now: whoever is cancelled before has not delivered it.
        if said.origin == self.topic.origin:
            self._pending.pop(said.number, None)

    def _answer(self, hello: Hello) -> None:
        entries, floor = self.room.history.latest(_STATE_BYTES)
        self._say(
            State,
            to=(hello.origin, hello.number),
            position=self.room.position,
            seen=dict(self._seen),
            history=[Kept(*each.origin, each.id, each.body, each.key) for each in entries],
            floor=floor or f"{self.room.epoch}.0",
        )
