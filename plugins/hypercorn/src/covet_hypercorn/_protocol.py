"""Hypercorn's protocols with their known defects closed.

Names with an underscore are overridden in two places, for want of others: where Hypercorn decides
on upgrades and where it follows priorities. The distribution's range of versions is narrow for that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from time import monotonic, time
from typing import Any

import h11
from h2.events import PriorityUpdated
from hypercorn.config import Config
from hypercorn.events import Closed, Event
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol

from covet_hypercorn._access import AccessLog

_UNLIMITED = 2**62


class ProtocolConfig(Config):
    """Hypercorn's configuration object, reduced to what its protocols read."""

    logger_class: Any = AccessLog
    include_server_header = False
    # Past this many requests Hypercorn says GOAWAY and fails the calls in flight.
    keep_alive_max_requests = _UNLIMITED

    def __init__(self, *, max_header_bytes: int, max_streams: int, access_log: bool) -> None:
        self.h11_max_incomplete_size = max_header_bytes
        self.h2_max_header_list_size = max_header_bytes
        self.h2_max_concurrent_streams = max_streams
        self.access_log = access_log
        self._date: list[tuple[bytes, bytes]] = []
        self._date_until = 0.0

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """The ``Date`` header, formatted once a second."""
        now = monotonic()
        if now >= self._date_until:
            self._date = [(b"date", formatdate(time(), usegmt=True).encode("ascii"))]
            self._date_until = now + 1.0
        return self._date


class RefusedError(Exception):
    """The request was answered with an error; the connection ends."""


class H1(H11Protocol):
    """HTTP/1.1 that speaks HTTP/2 only where enabled and says goodbye while draining."""

    def __init__(self, *args: Any, http2: bool, draining: Callable[[], bool]) -> None:
        super().__init__(*args)
        self._http2 = http2
        self._draining = draining

    @property
    def body_incomplete(self) -> bool:
        """Whether the rest of a request's body is still to come."""
        return self.connection.their_state is h11.SEND_BODY

    @property
    def unread(self) -> bool:
        """Whether the client may still be sending, so that closing at once could lose the answer."""
        return self.connection.their_state in (h11.SEND_BODY, h11.ERROR)

    async def handle(self, event: Event) -> None:
        try:
            await super().handle(event)
        except RefusedError:
            await self.send(Closed())

    async def stream_send(self, event: StreamEvent) -> None:
        if (
            isinstance(event, Response)
            and event.status_code >= 200
            and self._draining()
            # A client that pipelines gets the rest of its answers first.
            and not self.connection.trailing_data[0]
        ):
            event = replace(event, headers=[*event.headers, (b"connection", b"close")])
        await super().stream_send(event)

    async def _check_protocol(self, event: h11.Request) -> None:
        if self._http2:
            await super()._check_protocol(event)
        elif event.http_version not in (b"1.0", b"1.1"):
            await self._send_error_response(505)
            raise RefusedError


class _Gone:
    """Stands for a stream that has ended: what still arrives for it is dropped."""

    async def handle(self, event: StreamEvent) -> None: ...


class _Streams(dict[int, Any]):
    """The streams of a connection, where an answered one may still be sent to.

    Hypercorn looks up a stream for every DATA frame and lets the `KeyError` end the connection, so
    answering before a body has arrived would cost everybody else on it their answers.
    """

    def __missing__(self, stream_id: int) -> Any:
        return _Gone()


class H2(H2Protocol):
    """HTTP/2 that outlives late frames and priorities."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.streams = _Streams()

    @property
    def unread(self) -> bool:
        return False

    async def _priority_updated(self, event: PriorityUpdated) -> None:
        """Ignore it, as RFC 9113 (5.3.2) allows.

        Hypercorn keeps every stream a client names, idle and closed ones too, and fails at the
        thousandth.
        """
