"""Publishing in a transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from covet_kernel.contracts import SqlSession
from covet_outbox._message import stored
from covet_outbox._statements import insert
from covet_sql.queue import Doorbell


class Outbox:
    """Stores messages in the caller's transaction; the relay publishes them behind the commit.

    Args:
        message_bytes: Of one message at most.
        doorbell: Is told, so that the relay of this process looks soon.

    Attributes:
        stored: How many messages were stored, in transactions that may not have been committed.
    """

    def __init__(self, message_bytes: int, doorbell: Doorbell) -> None:
        self._most = message_bytes
        self._doorbell = doorbell
        self.stored = 0

    async def publish(
        self,
        session: SqlSession,
        topic: str,
        payload: Any,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Have a message published if, and only if, the session's transaction commits.

        It reaches the broker at least once, with the header `MESSAGE_ID`, which is the same each
        time. Messages with the same key get there in the order in which they were stored. Of
        transactions that run at the same time that is the order of their commits if each holds a
        lock by then on what the key stands for, as an ``UPDATE`` of its row does.

        Args:
            session: The caller's, in a transaction. A database itself will do where there is
                nothing else to commit with the message.
            topic: Where it goes, at most 255 bytes.
            payload: Bytes as they are; anything else as JSON, with the header ``content-type``.
            key: At most 512 bytes; without one there is no order.
            headers: At most 64.

        Returns:
            The identifier of the message, a UUID of version 7.

        Raises:
            BrokerLimitError: It is too large.
            ValueError: A name or a header cannot be sent, or the payload is no JSON.
            SqlError: The database refused.
        """
        message = stored(topic, payload, key, headers, self._most)
        params = (message.id, topic, key, message.headers, message.body, message.lane)
        statement = insert(session.dialect)
        if session.dialect == "postgresql":
            await session.fetch_value(statement, params)
        else:
            await session.execute(statement, params)
        self.stored += 1
        self._doorbell.expect()
        return message.id
