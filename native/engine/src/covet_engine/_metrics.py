"""The engine's counters as metrics: read where the library keeps them, when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from covet_kernel.contracts import Metric

Sample = tuple[tuple[str, ...], float]

_STATUS = ("unknown", "1xx", "2xx", "3xx", "4xx", "5xx")
_TIMEOUTS = ("header", "idle", "read", "write", "ping")
# Name, the counters' field, unit, help.
_COUNTERS = (
    ("connections.accepted", "accepted", "", "Connections accepted."),
    ("connections.refused", "refused_connections", "", "Connections that found no room."),
    ("requests", "requests", "", "Requests whose head was good."),
    ("requests.native", "native", "", "Requests answered without Python."),
    ("requests.malformed", "malformed", "", "Requests refused while they were parsed."),
    ("requests.disconnected", "disconnects", "", "Clients that left before their answer."),
    ("responses.aborted", "aborted", "", "Answers that were cut."),
    ("messages.received", "messages_in", "", "Messages of WebSockets that came."),
    ("messages.sent", "messages_out", "", "Messages of WebSockets that were sent."),
    ("messages.left_out", "messages_left_out", "", "Of broadcasts, for members without room."),
    ("received", "bytes_in", "By", "Read from clients."),
    ("sent", "bytes_out", "By", "Written to clients."),
    ("replies.stale", "stale", "", "Replies to requests that were over."),
    ("polls", "polls", "", "Batches of events taken from the library."),
    ("submits", "submits", "", "Batches of replies given to the library."),
    ("tls.handshakes", "tls_accepted", "", "Handshakes of TLS that were completed."),
    ("tls.resumed", "tls_resumed", "", "Those of them that took up a session."),
    ("tls.failed", "tls_failed", "", "Handshakes of TLS that were not completed."),
    ("log.lost", "log_lost", "", "Lines of the access log that found no room."),
    ("http2.connections", "http2_connections", "", "Connections of HTTP/2."),
    ("http2.resets.received", "http2_resets", "", "Streams that clients have reset."),
    ("http2.resets.sent", "http2_resets_sent", "", "Streams that the server has reset."),
    ("http2.refused", "http2_refused", "", "Streams for which there was no room."),
    ("http2.floods", "http2_floods", "", "Connections ended for too many frames without use."),
)
_GAUGES = (
    ("connections", "connections", "Connections that are open."),
    ("requests.in_flight", "in_flight", "Requests being answered in Python."),
    ("websockets", "websockets", "WebSockets that are open."),
    ("blocks", "blocks", "Input buffers in use."),
    ("files", "files", "Files that are open: sent without Python, or kept for the next who asks."),
)
_SERVICE: Final = 96
"""Buckets the library has for service times: four to each power of two."""
BUCKETS: Final = tuple(repr(2**power * 32e-9) for power in range(2, _SERVICE // 4 + 1))
"""Upper bounds of the service times but the last, in seconds; the last has none."""


class Meters:
    """Adds up what the engines of one plugin count; those that are closed stay counted."""

    def __init__(self) -> None:
        self._open: list[Any] = []
        self._past: dict[str, int] = {}

    @contextmanager
    def counting(self, counters: Any) -> Iterator[None]:
        """Read these ``cv_counters *`` while the block is entered; the memory has to last as long."""
        self._open.append(counters)
        try:
            yield
        finally:
            self._open.remove(counters)
            fields = {field for _, field, _, _ in _COUNTERS}
            fields |= {f"{name}_timeouts" for name in _TIMEOUTS}
            past = {field: int(getattr(counters, field)) for field in fields}
            past |= {f"status{i}": int(counters.status[i]) for i in range(len(_STATUS))}
            past |= {f"service{i}": int(counters.service[i]) for i in range(_SERVICE)}
            for name, value in past.items():
                self._past[name] = self._past.get(name, 0) + value

    def total(self, field: str) -> int:
        """Of a counter."""
        return self._past.get(field, 0) + self.now(field)

    def now(self, field: str) -> int:
        """Of a gauge."""
        return sum(int(getattr(each, field)) for each in self._open)

    def element(self, field: str, i: int) -> int:
        """Of an array of counters."""
        return self._past.get(f"{field}{i}", 0) + sum(
            int(getattr(each, field)[i]) for each in self._open
        )

    def metrics(self, name: Callable[[], str]) -> Iterator[Metric]:
        """All of them.

        Args:
            name: Gives the plugin instance's name, which labels every sample.
        """
        for metric, field, unit, text in _COUNTERS:
            yield _single(metric, "counter", name, partial(self.total, field), unit, text)
        for metric, field, text in _GAUGES:
            yield _single(metric, "gauge", name, partial(self.now, field), "", text)
        yield Metric(
            name="engine.responses",
            kind="counter",
            read=lambda: [
                ((name(), status), self.element("status", i)) for i, status in enumerate(_STATUS)
            ],
            labels=("instance", "status"),
            help="Answers by the hundreds of their status.",
        )
        yield Metric(
            name="engine.timeouts",
            kind="counter",
            read=lambda: [((name(), kind), self.total(f"{kind}_timeouts")) for kind in _TIMEOUTS],
            labels=("instance", "kind"),
            help="Connections ended because a client took too long.",
        )
        yield Metric(
            name="engine.service",
            kind="histogram",
            read=lambda: self._service(name()),
            unit="s",
            labels=("instance", "le"),
            help="From a request's bytes being readable to its answer being written; cumulative.",
        )

    def _service(self, instance: str) -> Iterator[Sample]:
        below = 0
        for i, bound in enumerate((*BUCKETS, "+Inf")):
            below += sum(self.element("service", each) for each in range(4 * i, 4 * i + 4))
            yield (instance, bound), below


def _single(
    metric: str, kind: Any, name: Callable[[], str], read: Callable[[], int], unit: str, text: str
) -> Metric:
    def sample() -> Iterable[Sample]:
        return [((name(),), read())]

    return Metric(
        name=f"engine.{metric}", kind=kind, read=sample, unit=unit, labels=("instance",), help=text
    )
