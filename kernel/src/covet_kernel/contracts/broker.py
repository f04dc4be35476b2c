"""The message broker contract: at least once, in order per key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from covet_kernel.contracts._capability import Capability


class Message(Protocol):
    """One delivered message. Unless acknowledged it is delivered again."""

    @property
    def topic(self) -> str: ...
    @property
    def key(self) -> str | None: ...
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def attempt(self) -> int:
        """1 at the first delivery."""

    async def ack(self) -> None:
        """Done; safe to call twice."""

    async def nack(self, *, requeue: bool = True) -> None:
        """Deliver again, or (``requeue=False``, or too many attempts) move to the dead letters."""


class Broker(Protocol):
    """Topics with groups of consumers: each group gets every message, one member of it each.

    Messages with the same key reach a group in the order they were published, one at a time. A
    named group outlives its members' blocks for a while and keeps what is published meanwhile.
    What fails too often moves to the topic ``<topic>.dead``. Buffers are
    bounded: ``publish`` waits for room, and a message over the size limit raises `BrokerLimitError`.
    """

    async def publish(
        self,
        topic: str,
        body: bytes,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Hand over one message; returns when the broker has accepted it."""

    def subscribe(
        self, topic: str, *, group: str | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Message]]:
        """Receive from now on; without a group, as a group of one's own that ends with the block.

        What is unacknowledged when the block ends goes back to the group, and counts as an attempt.
        Acknowledging later does nothing.
        """


class BrokerLimitError(Exception):
    """A message or a topic is over its limit."""


BROKER: Final = Capability[Broker](
    "messaging.broker", plugins=("memory", "kafka", "rabbitmq", "nats")
)
"""The default message broker."""
