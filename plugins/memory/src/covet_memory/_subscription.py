"""One consumer: what it was delivered and has not settled."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
from anyio.lowlevel import checkpoint

from covet_memory._group import Group, Pending


class Delivery:
    """A `Message`: one delivery of one record."""

    __slots__ = ("_attempt", "_pending", "_subscription")

    def __init__(self, subscription: Subscription, pending: Pending) -> None:
        self._subscription = subscription
        self._pending = pending
        self._attempt = pending.attempt

    @property
    def topic(self) -> str:
        return self._pending.record.topic

    @property
    def key(self) -> str | None:
        return self._pending.record.key

    @property
    def body(self) -> bytes:
        return self._pending.record.body

    @property
    def headers(self) -> Mapping[str, str]:
        return self._pending.record.headers

    @property
    def attempt(self) -> int:
        return self._attempt

    async def ack(self) -> None:
        """Done; without effect once it is settled, or has gone back to its group."""
        if self._subscription.forget(self):
            self._subscription.group.settle(self._pending)

    async def nack(self, *, requeue: bool = True) -> None:
        """Again, or to the dead letters; without effect where `ack` is."""
        if self._subscription.forget(self):
            self._subscription.group.put_back(self._pending, requeue=requeue)

    def give_back(self) -> None:
        self._subscription.group.put_back(self._pending, requeue=True)


class Subscription:
    """An iterator over the messages one member of a group gets."""

    def __init__(self, group: Group, in_flight: int) -> None:
        self.group = group
        self._most = in_flight
        self._open = True
        self._unsettled: dict[Delivery, None] = {}  # in the order of delivery
        self._settled = anyio.Event()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Delivery:
        await checkpoint()
        while self._open:
            if len(self._unsettled) >= self._most:
                if self.group.ready:
                    self.group.wake()  # what woke this one is for somebody with room
                await self._settled.wait()
            elif self.group.ready:
                delivery = Delivery(self, self.group.take())
                self._unsettled[delivery] = None
                return delivery
            else:
                await self.group.wait()
        # Woken for a message, but no longer there to take it.
        if self.group.ready:
            self.group.wake()
        raise StopAsyncIteration

    def forget(self, delivery: Delivery) -> bool:
        """Take it off the unsettled; whether it was on."""
        if delivery not in self._unsettled:
            return False
        del self._unsettled[delivery]
        self._settled.set()
        self._settled = anyio.Event()
        return True

    def stop(self) -> None:
        """End the iteration."""
        self._open = False
        self._settled.set()

    def give_back(self) -> None:
        """Return what is unsettled to the group, so that it is delivered in the order it was."""
        unsettled, self._unsettled = list(self._unsettled), {}
        for delivery in reversed(unsettled):
            delivery.give_back()
