"""What may be published, and how it is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from zlib import crc32

from pydantic_core import to_json

from covet_kernel.contracts import BrokerLimitError, Record
from covet_sql import uuid7

MESSAGE_ID = "message-id"
"""The header with the identifier of a message, the same at every delivery."""

CONTENT_TYPE = "content-type"
TOPIC_BYTES = 255
KEY_BYTES = 512
HEADERS = 64
LANES = 32
"""Into so many parts messages are divided by their keys; each is relayed by one worker at a time."""


class Stored(Record):
    """A message as the table has it.

    Attributes:
        id: A UUID of version 7.
        headers: JSON, without the identifier.
        lane: The part of the outbox it is in, the same for all messages of a key.
    """

    id: str
    topic: str
    key: str | None
    headers: str
    body: bytes
    lane: int


def stored(
    topic: str,
    payload: Any,
    key: str | None,
    headers: Mapping[str, str] | None,
    most: int,
) -> Stored:
    """The row for a message.

    Args:
        topic: Where it goes.
        payload: Bytes as they are; anything else as JSON, as pydantic writes it.
        key: Messages with the same one stay in order.
        headers: Text by name.
        most: Bytes of a message.

    Raises:
        BrokerLimitError: It is too large.
        ValueError: A name or a header cannot be stored, or the payload is no JSON.
    """
    identifier = uuid7()
    named = dict(headers or {})
    if isinstance(payload, bytes | bytearray | memoryview):
        body = bytes(payload)
    else:
        body = to_json(payload)
        if not any(name.lower() == CONTENT_TYPE for name in named):
            named[CONTENT_TYPE] = "application/json"
    size = len(body) + _size("a topic", topic, TOPIC_BYTES, least=1)
    if key is not None:
        size += _size("a key", key, KEY_BYTES)
    if len(named) > HEADERS:
        raise BrokerLimitError(f"a message has at most {HEADERS} headers, this one {len(named)}")
    for name, value in named.items():
        if name.lower() == MESSAGE_ID:
            raise ValueError(f"the header {MESSAGE_ID!r} is the outbox's own")
        size += _size("a header's name", name, most, least=1) + _size("a header", value, most)
    if size > most:
        raise BrokerLimitError(f"a message has at most {most} bytes, this one {size}")
    return Stored(
        id=str(identifier),
        topic=topic,
        key=key,
        headers=json.dumps(named),
        body=body,
        lane=(identifier.int if key is None else crc32(key.encode())) % LANES,
    )


def _size(what: str, text: str, most: int, *, least: int = 0) -> int:
    if not isinstance(text, str):
        raise TypeError(f"{what} is text, not {type(text).__name__}")
    if "\0" in text:
        raise ValueError(f"{what} has no NUL characters")
    size = len(text.encode())  # of half a surrogate pair this is a ValueError
    if size < least:
        raise ValueError(f"{what} is not empty")
    if size > most:
        raise BrokerLimitError(f"{what} has at most {most} bytes, this one {size}")
    return size
