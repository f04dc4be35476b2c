"""One worker of the relay: has some lanes for a while, and publishes what is in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from logging import Logger
from math import inf
from secrets import token_hex

import anyio

from covet_kernel.contracts import (
    Broker,
    BrokerLimitError,
    Record,
    Row,
    SqlDatabase,
    SqlSession,
    SqlUnavailableError,
)
from covet_outbox._config import OutboxConfig
from covet_outbox._message import MESSAGE_ID
from covet_outbox._statements import (
    DEAD,
    HELD,
    RELEASE,
    WAITING,
    any_work,
    free_lanes,
    hold,
    postpone,
    read,
    remove,
)
from covet_sql.queue import backoff, reason_of

SETTLE = 10.0
"""Seconds that a worker may take to note what it has published, cancelled or not."""
MARGIN = 0.25
"""Part of the lease at whose end nothing more is published: nobody else may have begun by then."""


class Counts:
    """What the workers of a process have done.

    Attributes:
        published: Messages that the broker accepted.
        failed: Attempts that it did not.
        dead: Messages that were set aside.
        accepted: When it accepted one last, by the event loop's clock.
    """

    def __init__(self) -> None:
        self.published = 0
        self.failed = 0
        self.dead = 0
        self.accepted = 0.0


class Refused(Record):
    """A message that the broker did not accept, and when, by the event loop's clock."""

    row: Row
    error: Exception
    at: float


class Round:
    """The messages of one round, and what has become of them.

    Args:
        rows: What to publish, in this order.

    Attributes:
        next: How many of them were offered to the broker.
        done: Positions of those that it has.
        refused: Those it does not.
        stuck: Keys of those.
        trouble: Since when it has refused every one, by the event loop's clock.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.next = 0
        self.done: list[int] = []
        self.refused: list[Refused] = []
        self.stuck: set[str] = set()
        self.trouble = inf

    def refuse(self, row: Row, error: Exception) -> None:
        """The broker did not accept it."""
        at = anyio.current_time()
        self.refused.append(Refused(row=row, error=error, at=at))
        self.trouble = min(self.trouble, at)
        if row["message_key"] is not None:
            self.stuck.add(row["message_key"])

    @property
    def outage(self) -> bool:
        """Whether the broker has accepted nothing of what it was offered."""
        return bool(self.refused) and not self.done


class Worker:
    """Publishes in rounds, each with lanes of its own, so that a key is never in two hands.

    A lane is had by a lease, not by an open transaction: the broker may make a worker wait for
    room, and what would make room may need the database. A worker whose lease is nearly over
    publishes nothing more. Whoever stops between the broker and the database leaves a message
    that is published again.

    Args:
        db: Where the outbox is.
        broker: Where messages go.
        config: The plugin's.
        counts: Shared with the other workers.
        log: Is told of trouble.
    """

    def __init__(
        self, db: SqlDatabase, broker: Broker, config: OutboxConfig, counts: Counts, log: Logger
    ) -> None:
        self._db = db
        self._broker = broker
        self._config = config
        self._counts = counts
        self._log = log
        self._name = token_hex(16)
        self._holds = False
        self._until = 0.0
        self._clock = 0.0
        self.outages = 0

    async def has_work(self) -> bool:
        """Whether a round may find something."""
        return bool(await self._db.fetch_value(any_work(self._db.dialect)))

    async def round(self) -> bool:
        """Publish a batch; whether there was one.

        Raises:
            SqlError: The database refused; what was published is published again.
        """
        for _ in range(4):  # lanes whose keys all wait give nothing, and others may
            lanes, rows = await self._take()
            if not lanes:
                return False
            if rows:
                break
        else:
            return False
        result = Round(rows)
        try:
            await self._publish(result)
        finally:
            # What the broker has is noted, also when this is cancelled here.
            with anyio.move_on_after(SETTLE, shield=True) as scope:
                await self._settle(result)
        if scope.cancelled_caught:
            raise SqlUnavailableError("what was published could not be noted in time")
        self.outages = self.outages + 1 if result.outage else 0
        return not result.outage

    async def release(self) -> None:
        """Let others have the lanes."""
        if self._holds:
            await self._db.execute(RELEASE, (self._name,))
            self._holds = False

    async def _take(self) -> tuple[list[int], list[Row]]:
        """Have other lanes than before, and what is in them.

        Both in one transaction, which a database with replicas runs where nothing is late.
        """
        rows: list[Row] = []
        dialect, lease = self._db.dialect, self._config.lease
        begun = anyio.current_time()
        # What is read is as the lanes are when they are had, not as it was when the transaction began.
        async with self._db.transaction(isolation="read committed") as session:
            if self._holds:
                await session.execute(RELEASE, (self._name,))
            free = await session.fetch_all(free_lanes(dialect), (HELD,))
            lanes = [row["lane"] for row in free]
            if lanes:
                marks = [*lanes, *[lanes[-1]] * (HELD - len(lanes))]
                milliseconds = int(lease * 1000)
                await session.execute(hold(dialect), (self._name, milliseconds, *marks))
                rows = await self._read(session, lanes)
        self._holds = bool(lanes)
        self._until = begun + lease * (1 - MARGIN)
        if lanes:
            self._clock = free[0]["now"] - anyio.current_time() * 1000
        return lanes, rows

    async def _read(self, session: SqlSession, lanes: Sequence[int]) -> list[Row]:
        limit = max(1, self._config.batch // len(lanes))
        params = [value for lane in lanes for value in (lane, limit, lane, limit)]
        rows = await session.fetch_all(read(session.dialect, len(lanes)), params)
        # Those that are new first: if they fail as well, the others need not be tried.
        return sorted(rows, key=lambda row: (row["attempts"] > 0, row["lane"], row["position"]))

    async def _publish(self, result: Round) -> None:
        """Offer every message, each for a while, until the lease is nearly over."""
        while result.next < len(result.rows):
            with anyio.CancelScope() as scope:
                await self._offer(result, scope)
                return
            # The broker has not answered in time; unless it is the lease that is over, which says
            # nothing of the message.
            if anyio.current_time() >= self._until:
                return
            result.refuse(result.rows[result.next - 1], TimeoutError("no answer in time"))

    async def _offer(self, result: Round, scope: anyio.CancelScope) -> None:
        patience, publish = self._config.publish_timeout, self._broker.publish
        limit = 0.0
        for row in islice(result.rows, result.next, None):
            result.next += 1
            key = row["message_key"]
            if key in result.stuck:
                continue
            now = anyio.current_time()
            # A broker that makes everybody wait is not asked for every message of the batch.
            if now >= self._until or now - result.trouble >= patience:
                result.next = len(result.rows)
                return
            if limit < now + patience:  # not for each of them: setting a timer costs as much
                scope.deadline = limit = min(self._until, now + 1.5 * patience)
            headers = json.loads(row["headers"])
            headers[MESSAGE_ID] = row["id"]
            try:
                await publish(row["topic"], bytes(row["body"]), key=key, headers=headers)
            except Exception as error:
                result.refuse(row, error)
            else:
                result.done.append(row["position"])
                result.trouble = inf
                self._counts.published += 1
                self._counts.accepted = now

    async def _settle(self, result: Round) -> None:
        for refused in result.refused:
            await self._postpone(refused)
        if result.done:
            await self._db.execute(*remove(result.done))

    async def _postpone(self, refused: Refused) -> None:
        row, attempts = refused.row, refused.row["attempts"] + 1
        self._counts.failed += 1
        dead = attempts >= self._config.attempts and self._is_its_own_fault(refused)
        seconds = backoff(attempts, self._config.first_wait, self._config.longest_wait)
        reason = reason_of(refused.error)
        await self._db.execute(
            postpone(self._db.dialect),
            (
                DEAD if dead else WAITING,
                0 if dead else int(seconds * 1000),
                reason,
                row["position"],
            ),
        )
        if dead:
            self._counts.dead += 1
            self._log.error(
                "message %s for %r is set aside after %d attempts: %s",
                row["id"],
                row["topic"],
                attempts,
                reason,
            )

    def _is_its_own_fault(self, refused: Refused) -> bool:
        """Whether it is the message that is wrong, and not the broker that is away.

        It is if the broker has accepted others since this one failed first: messages must not die
        of an outage. Where there are no others, patience ends as well.
        """
        if isinstance(refused.error, BrokerLimitError | TypeError | ValueError):
            return True
        first = refused.at
        if refused.row["failed"]:
            first = (refused.row["failed"] - self._clock) / 1000
        return self._counts.accepted >= first or refused.at - first >= self._config.patience
