"""Consuming each message once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from logging import Logger
from typing import TypeAlias

import anyio

from covet_kernel.contracts import Broker, Message, SqlDatabase, SqlSession
from covet_outbox._message import MESSAGE_ID
from covet_outbox._statements import first_seen
from covet_sql import run_transaction

NAME_BYTES = 255
FIRST_WAIT, LONGEST_WAIT = 0.05, 2.0
"""Seconds before a message whose handler failed goes back; they double with its attempts."""

Work: TypeAlias = Callable[[SqlSession, Message], Awaitable[object]]
"""What a consumer does with a message, in a transaction."""


class NoIdentifierError(ValueError):
    """A message has no identifier to be known by."""


class Inbox:
    """Remembers, in the consumer's own transaction, which messages it has handled.

    Args:
        db: The default database of handlers.
        log: Is told of handlers that failed.

    Attributes:
        handled: Messages whose effect this process has committed, or tried to.
        repeated: Deliveries that had nothing left to do.
        failed: Handlers that raised.
    """

    def __init__(self, db: SqlDatabase, log: Logger) -> None:
        self._db = db
        self._log = log
        self.handled = 0
        self.repeated = 0
        self.failed = 0

    @asynccontextmanager
    async def once(
        self, session: SqlSession, message: Message, *, group: str = ""
    ) -> AsyncIterator[bool]:
        """Whether this delivery of the message is the one that has the effect.

        That is so for one of all deliveries whose transaction commits. A delivery waits while
        another transaction is at the same message, and is the one if that rolls back. The block is
        a part of the transaction that happens as a whole or not at all: if it raises, neither the
        effect nor the note of it stays.

        Args:
            session: Of a transaction; what has the effect has to be done with it.
            message: With the header `MESSAGE_ID`, as those of an outbox have.
            group: Who consumes; each group handles each message once.

        Raises:
            NoIdentifierError: It has no identifier, or none that can be stored.
            TypeError: The session is in no transaction.
            SqlConflictError: Others were in the way.
        """
        if session is self._db:
            raise TypeError("once takes the session of a transaction, not the database itself")
        identifier = identifier_of(message)
        if len(group.encode()) > NAME_BYTES:
            raise ValueError(f"a group has at most {NAME_BYTES} bytes")
        async with session.transaction() as part:
            first = await part.execute(first_seen(part.dialect), (group, identifier)) > 0
            yield first
        if first:
            self.handled += 1
        else:
            self.repeated += 1

    def handler(self, group: str) -> Callable[[Work], Callable[[Message], Awaitable[None]]]:
        """A decorator: the function handles a message in a transaction, once for the group.

        What it makes takes the message alone. It opens the transaction, runs the function with its
        session unless the message is handled already, commits, and acknowledges. On a conflict
        with others the transaction is tried again. If the function raises, the transaction is
        rolled back and the message goes back to the broker, which delivers it again, or sets it
        aside after too many times. A message without identifier is set aside at once.

        Args:
            group: Who consumes; the group that the topic is subscribed to with.
        """

        def decorate(work: Work) -> Callable[[Message], Awaitable[None]]:
            @wraps(work)
            async def handle(message: Message) -> None:
                async def attempt(session: SqlSession) -> None:
                    async with self.once(session, message, group=group) as first:
                        if first:
                            await work(session, message)

                try:
                    await run_transaction(self._db, attempt)
                except Exception as error:
                    self.failed += 1
                    await self._give_back(message, error)
                else:
                    await message.ack()

            return handle

        return decorate

    async def consume(
        self,
        broker: Broker,
        topic: str,
        work: Work,
        *,
        group: str,
        draining: anyio.Event | None = None,
    ) -> None:
        """Handle what comes to a topic, one message after the other.

        Give it to ``ctx.serve``. Run it several times, here or in other processes, for more.

        Args:
            broker: Where the topic is.
            topic: What to subscribe to.
            work: What is done, as with `handler`.
            group: As whom to subscribe.
            draining: When it is set, the message that is being handled is finished, and it returns.
        """
        handle = self.handler(group)(work)
        idle = anyio.CancelScope()
        ending = False

        async def end() -> None:
            nonlocal ending
            if draining is not None:
                await draining.wait()
                ending = True
                idle.cancel()

        async with broker.subscribe(topic, group=group) as messages, anyio.create_task_group() as t:
            t.start_soon(end)
            while not ending:
                message = None
                with anyio.CancelScope() as idle:
                    message = await anext(messages, None)
                if message is None:
                    break
                idle = anyio.CancelScope()  # nobody waits: the handler is not cut off
                await handle(message)
            t.cancel_scope.cancel()

    async def _give_back(self, message: Message, error: Exception) -> None:
        lost = isinstance(error, NoIdentifierError)
        if lost:
            self._log.error("a message for %r cannot be handled: %s", message.topic, error)
        else:
            self._log.warning(
                "handling message %s for %r failed, attempt %d",
                message.headers.get(MESSAGE_ID),
                message.topic,
                message.attempt,
                exc_info=error,
            )
            doublings = min(message.attempt - 1, 20)
            await anyio.sleep(min(LONGEST_WAIT, FIRST_WAIT * 2.0**doublings))
        await message.nack(requeue=not lost)


def identifier_of(message: Message) -> str:
    """The identifier of a message.

    Raises:
        NoIdentifierError: There is none, or none that can be stored.
    """
    found = message.headers.get(MESSAGE_ID, "")
    try:
        size = len(found.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= NAME_BYTES or "\0" in found:
        raise NoIdentifierError(f"it has no header {MESSAGE_ID!r} of 1 to {NAME_BYTES} bytes")
    return found
