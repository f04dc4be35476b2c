"""The broker: topics, and the groups that receive what is published to them."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from math import inf

import anyio
from anyio.lowlevel import checkpoint

from covet_kernel.contracts import BrokerLimitError, Message
from covet_memory._config import BrokerConfig
from covet_memory._group import Counts, Group, Pending, Record
from covet_memory._subscription import Subscription

NAME_BYTES = 255
KEY_BYTES = 512
DEAD = ".dead"
"""The dead letters of ``orders`` are the topic ``orders.dead``."""


class Topic:
    """The groups of one topic, and those who wait to publish to it, in order."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        self.publishing = anyio.Lock(fast_acquire=True)
        self.room = anyio.Event()
        self.publishers = 0

    def freed(self) -> None:
        """There may be room now."""
        if self.publishers:
            self.room.set()
            self.room = anyio.Event()


class MemoryBroker:
    """A `Broker` in this process.

    A message is kept for the groups that exist when it is published; a topic without groups keeps
    nothing. Dead letters go to the topic's name with ``.dead`` behind it, where they wait for the
    first group, the oldest going first when there are too many.

    Attributes:
        counts: What happened since it was made.
    """

    def __init__(self, config: BrokerConfig | None = None) -> None:
        self._config = config or BrokerConfig()
        self._topics: dict[str, Topic] = {}
        self._letters: dict[str, deque[Record]] = {}
        self._subscriptions: set[Subscription] = set()
        self._anonymous = count(1)
        self._closed = False
        self.counts = Counts()

    @property
    def topics(self) -> Mapping[str, Topic]:
        """What has groups now."""
        return self._topics

    async def publish(
        self,
        topic: str,
        body: bytes,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Hand over one message; waits until every group has room for it.

        Raises:
            BrokerLimitError: It is larger than a message may be.
        """
        record = self._record(topic, body, key, headers or {})
        await checkpoint()
        self._refuse_if_closed()
        if (place := self._topics.get(topic)) is not None:
            place.publishers += 1
            try:
                async with place.publishing:
                    await self._room(topic, place, record)
                    for group in place.groups.values():
                        group.append(record)
            finally:
                place.publishers -= 1
                self._tidy(topic, place)
        self.counts.published += 1

    async def _room(self, name: str, topic: Topic, record: Record) -> None:
        while not self._closed:
            self._forget_left(name, topic)
            full = [group for group in topic.groups.values() if not group.has_room(record)]
            if not full:
                return
            # A full group that everybody left is let go of after a while, and holds up nobody.
            until = min(group.left for group in full) + self._config.retention
            with anyio.move_on_after(until - anyio.current_time() if until < inf else None):
                await topic.room.wait()
        self._refuse_if_closed()

    def _record(
        self, topic: str, body: bytes, key: str | None, headers: Mapping[str, str]
    ) -> Record:
        _check_name(topic)
        if not isinstance(body, bytes):
            raise TypeError(f"a body is bytes, not {type(body).__name__}")
        if key is not None and len(key.encode()) > KEY_BYTES:
            raise BrokerLimitError(f"a key has at most {KEY_BYTES} bytes")
        size = len(body) + len((key or "").encode())
        size += sum(len(name.encode()) + len(value.encode()) for name, value in headers.items())
        if size > self._config.message_bytes:
            raise BrokerLimitError(
                f"a message has at most {self._config.message_bytes} bytes, this one {size}"
            )
        return Record(topic, body, key, headers, size)

    @asynccontextmanager
    async def subscribe(
        self, topic: str, *, group: str | None = None
    ) -> AsyncIterator[AsyncIterator[Message]]:
        """Receive what is published to ``topic`` from now on.

        A named group outlives the block, and what is published meanwhile waits for its next member.

        Raises:
            BrokerLimitError: There are too many topics, or groups of this one.
        """
        _check_name(topic)
        if group is not None:
            _check_name(group)
        self._refuse_if_closed()
        name = group if group is not None else f"\0{next(self._anonymous)}"
        members = self._group(topic, name)
        subscription = Subscription(members, self._config.in_flight)
        members.members += 1
        members.left = inf
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            subscription.stop()
            members.members -= 1
            if group is None:
                self._remove(topic, name)
            else:
                subscription.give_back()
                if not members.members:
                    members.left = anyio.current_time()
            members.wake_all()  # those of this subscription end, the others wait again

    def _group(self, name: str, group: str) -> Group:
        topic = self._topics.get(name)
        if topic is not None:
            self._forget_left(name, topic)
            topic = self._topics.get(name)  # it may have gone with its last group
        if topic is None:
            if len(self._topics) >= self._config.topics:
                for other, place in list(self._topics.items()):
                    self._forget_left(other, place)
            if len(self._topics) >= self._config.topics:
                raise BrokerLimitError(f"there are at most {self._config.topics} topics")
            topic = self._topics[name] = Topic()
        if group in topic.groups:
            return topic.groups[group]
        if len(topic.groups) >= self._config.groups:
            raise BrokerLimitError(f"a topic has at most {self._config.groups} groups")
        place = topic

        def bury(pending: Pending) -> None:
            self._bury(name, group, pending)

        made = topic.groups[group] = Group(self._config, self.counts, place.freed, bury)
        if _is_named(group):
            for record in self._letters.pop(name, ()):
                made.append(record)
        return made

    def _forget_left(self, name: str, topic: Topic) -> None:
        before = anyio.current_time() - self._config.retention
        for group in [group for group, it in topic.groups.items() if it.left <= before]:
            self._remove(name, group)

    def _remove(self, name: str, group: str) -> None:
        topic = self._topics[name]
        del topic.groups[group]
        topic.freed()
        self._tidy(name, topic)

    def _tidy(self, name: str, topic: Topic) -> None:
        if not topic.groups and not topic.publishers:
            self._topics.pop(name, None)

    def _bury(self, name: str, group: str, pending: Pending) -> None:
        record = pending.record
        if name.endswith(DEAD):
            self.counts.dropped += 1
            return
        self.counts.dead += 1
        origin = {
            "dead-topic": name,
            "dead-group": group if _is_named(group) else "",
            "dead-attempts": str(pending.attempt),
        }
        letter = Record(
            name + DEAD, record.body, record.key, {**record.headers, **origin}, record.size
        )
        readers = topic.groups if (topic := self._topics.get(letter.topic)) is not None else {}
        for reader in readers.values():
            # Burying cannot wait: it happens in the clean-up of cancelled consumers too.
            if reader.has_room(letter):
                reader.append(letter)
            else:
                self.counts.dropped += 1
        if not any(_is_named(reader) for reader in readers):
            self._keep(letter)

    def _keep(self, letter: Record) -> None:
        letters = self._letters.setdefault(letter.topic, deque())
        letters.append(letter)
        weight = sum(kept.size for kept in letters)
        while len(letters) > self._config.dead_letters or weight > self._config.bytes:
            weight -= letters.popleft().size
            self.counts.dropped += 1
        while len(self._letters) > self._config.topics:
            oldest = next(iter(self._letters))
            self.counts.dropped += len(self._letters.pop(oldest))

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("the broker is closed")

    def close(self) -> None:
        """End every iteration and refuse what comes; whatever is held is lost."""
        self._closed = True
        for subscription in tuple(self._subscriptions):
            subscription.stop()
            subscription.group.wake_all()
        for topic in self._topics.values():
            topic.freed()


def _is_named(group: str) -> bool:
    return not group.startswith("\0")


def _check_name(name: str) -> None:
    if not name or "\0" in name or len(name.encode()) > NAME_BYTES:
        raise BrokerLimitError(f"a name has 1 to {NAME_BYTES} bytes and no NUL, not {name[:50]!r}")
