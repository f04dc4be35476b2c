"""One group of consumers of one topic: what waits, what is in flight, in order per key."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType

import anyio

from covet_memory._config import BrokerConfig


@dataclass
class Counts:
    """What a broker has done since it was made.

    Attributes:
        published: Messages accepted.
        delivered: Deliveries, repeated ones included.
        repeated: Deliveries that were not a message's first.
        dead: Messages moved to the dead letters.
        dropped: Dead letters lost for lack of room or readers.
    """

    published: int = 0
    delivered: int = 0
    repeated: int = 0
    dead: int = 0
    dropped: int = 0


class Record:
    """A published message, shared by all groups."""

    __slots__ = ("body", "headers", "key", "size", "topic")

    def __init__(
        self, topic: str, body: bytes, key: str | None, headers: Mapping[str, str], size: int
    ) -> None:
        self.topic = topic
        self.body = body
        self.key = key
        self.headers = MappingProxyType(dict(headers))
        self.size = size


class Pending:
    """A record in one group, and how often it was delivered there."""

    __slots__ = ("attempt", "record")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.attempt = 0


class Group:
    """Pending messages and who waits for them. Every method is synchronous but `wait`.

    A key has one message at most among the ready and the delivered; those after it queue behind,
    so that a message delivered again still comes before its successors.

    Attributes:
        size: Messages held, waiting and in flight.
        bytes: What they weigh.
        in_flight: How many are delivered and not settled.
        members: Subscriptions that are open.
        left: Since when there is none, ``inf`` while there is one.
    """

    def __init__(
        self,
        config: BrokerConfig,
        counts: Counts,
        freed: Callable[[], None],
        bury: Callable[[Pending], None],
    ) -> None:
        self._config = config
        self._counts = counts
        self._freed = freed
        self._bury = bury
        self._ready: deque[Pending] = deque()
        self._behind: dict[str, deque[Pending]] = {}
        self._waiting: deque[anyio.Event] = deque()
        self.size = 0
        self.bytes = 0
        self.in_flight = 0
        self.members = 0
        self.left = inf

    @property
    def ready(self) -> bool:
        return bool(self._ready)

    def has_room(self, record: Record) -> bool:
        return self.size < self._config.messages and self.bytes + record.size <= self._config.bytes

    def append(self, record: Record) -> None:
        pending = Pending(record)
        self.size += 1
        self.bytes += record.size
        if record.key is None:
            self._make_ready(pending)
        elif record.key in self._behind:
            self._behind[record.key].append(pending)
        else:
            self._behind[record.key] = deque()
            self._make_ready(pending)

    def _make_ready(self, pending: Pending, *, first: bool = False) -> None:
        if first:
            self._ready.appendleft(pending)
        else:
            self._ready.append(pending)
        self.wake()

    def take(self) -> Pending:
        """Deliver the next."""
        pending = self._ready.popleft()
        pending.attempt += 1
        self.in_flight += 1
        self._counts.delivered += 1
        self._counts.repeated += pending.attempt > 1
        return pending

    def settle(self, pending: Pending) -> None:
        """It is done with, and its key's next one may come."""
        record = pending.record
        self.in_flight -= 1
        self.size -= 1
        self.bytes -= record.size
        if record.key is not None:
            if behind := self._behind[record.key]:
                self._make_ready(behind.popleft())
            else:
                del self._behind[record.key]
        self._freed()

    def put_back(self, pending: Pending, *, requeue: bool) -> None:
        """Deliver it again before anything else, or bury it."""
        if requeue and pending.attempt < self._config.attempts:
            self.in_flight -= 1
            self._make_ready(pending, first=True)
        else:
            self.settle(pending)
            self._bury(pending)

    def wake(self) -> None:
        """Let one who waits look again."""
        if self._waiting:
            self._waiting.popleft().set()

    def wake_all(self) -> None:
        while self._waiting:
            self._waiting.popleft().set()

    async def wait(self) -> None:
        """Until there may be something to take."""
        event = anyio.Event()
        self._waiting.append(event)
        try:
            await event.wait()
        except BaseException:
            if event.is_set():
                self.wake()  # somebody else can have what this one was woken for
            else:
                self._waiting.remove(event)
            raise
