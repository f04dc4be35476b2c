"""Operations for clients that mean ill: what begins, lasts and ends in a way that can be counted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel

import covet_graphql as graphql


class Count:
    """What has happened.

    Attributes:
        sent: Events that a client has room for.
        open: Sources that have begun and not ended.
        most: As many as were open at once.
        ended: Sources that have ended.
    """

    sent = open = most = ended = 0

    @classmethod
    def clear(cls) -> None:
        """Nothing has."""
        cls.sent = cls.open = cls.most = cls.ended = 0


@graphql.subscription()
async def blobs(size: int = 100_000) -> AsyncIterator[str]:
    """Large events without an end."""
    Count.open += 1
    try:
        while True:
            yield "x" * size
            Count.sent += 1
    finally:
        Count.open -= 1
        Count.ended += 1


@graphql.subscription()
async def slow_to_end() -> AsyncIterator[int]:
    """Says nothing, and takes a while to end."""
    Count.open += 1
    Count.most = max(Count.most, Count.open)
    try:
        await anyio.sleep_forever()
        yield 1
    finally:
        with anyio.CancelScope(shield=True):
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
        Count.open -= 1
        Count.ended += 1


@graphql.subscription()
async def texts(text: str = "") -> AsyncIterator[str]:
    """What no stream of events has room for as it is."""
    yield "a\nevent: evil\r\rid: 1\0\u2028"
    if text == "surrogate":
        yield "\ud800"
    yield "z"


HOSTILE = (blobs, slow_to_end, texts)
