"""Server-sent events: the items of a stream as ``text/event-stream`` has them (WHATWG HTML, 9.2)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar

from covet_http._results import HttpResult
from covet_http._sources import Header

T = TypeVar("T")

FAREWELL: Final = b": the service is stopping\n\n"
HEADERS: Final = (
    (b"cache-control", b"no-cache"),
    # nginx, which would hold events back until its buffer is full.
    (b"x-accel-buffering", b"no"),
)
_LINE_END = re.compile(r"\r\n|\r|\n")
_ENDS = re.compile(r"[\r\n\0]")

LastEventId: TypeAlias = Annotated[str | None, Header("last-event-id")]
"""A parameter ``last: http.LastEventId = None`` is what a reconnecting client received last."""


class Event(HttpResult, Generic[T]):
    """One server-sent event. A handler returns ``AsyncIterator[http.Event[Level]]``.

    Whatever is in it, it stays in its field: line ends in `text` and `comment` make several lines of
    the same field, and are refused elsewhere.

    Args:
        data: Encoded as JSON, by the annotation.
        text: Sent as it is, in place of ``data``.
        id: What the client sends as ``Last-Event-ID`` when it reconnects.
        event: The type of event that listeners in browsers choose by; ``message`` unless given.
        retry: Seconds a client waits before it reconnects, from now on.
        comment: For people who look at the stream; clients ignore it.

    Raises:
        ValueError: It is empty, says two things at once, or something in it cannot be sent.
    """

    streamed = True

    __slots__ = ("comment", "data", "event", "has_data", "id", "retry", "text")

    def __init__(
        self,
        data: T = ...,  # type: ignore[assignment]
        *,
        text: str | None = None,
        id: str | int | None = None,
        event: str = "",
        retry: float | None = None,
        comment: str | None = None,
    ) -> None:
        self.has_data = data is not ...
        self.data = data
        self.text = text
        self.id = None if id is None else str(id)
        self.event = event
        self.retry = retry
        self.comment = comment
        for name, value in (("id", self.id), ("event", event)):
            if value and _ENDS.search(value):
                raise ValueError(f"the {name} of an event has no line ends, and no NUL: {value!r}")
        for name, value in (("text", text), ("comment", comment)):
            if value and "\0" in value:
                raise ValueError(f"the {name} of an event has no NUL")
        for value in (self.id, event, text, comment):
            if value:
                value.encode("utf-8")  # a lone surrogate fails here and not half-way
        if retry is not None and not 0 <= retry < math.inf:
            raise ValueError(f"retry is seconds from 0 on, not {retry!r}")
        if self.has_data and text is not None:
            raise ValueError("an event has data or text, not both")
        if not (self.has_data or text is not None or comment is not None or event) and (
            self.id is None and retry is None
        ):
            raise ValueError("an event says something")

    def __repr__(self) -> str:
        said = [
            f"{name}={getattr(self, name)!r}"
            for name in ("data", "text", "id", "event", "retry", "comment")
            if getattr(self, name) not in (None, "", ...)
        ]
        return f"Event({', '.join(said)})"

    def encode(self, to_json: Callable[[Any], bytes]) -> bytes:
        """The event as bytes, the empty line behind it included.

        Args:
            to_json: Encodes `data`; what it returns has no line ends.
        """
        lines: list[str] = []
        if self.comment is not None:
            lines += [f": {line}" for line in _LINE_END.split(self.comment)]
        if self.retry is not None:
            lines.append(f"retry: {round(self.retry * 1000)}")
        if self.id is not None:
            lines.append(f"id: {self.id}")
        if self.event:
            lines.append(f"event: {self.event}")
        if self.text is not None:
            lines += [f"data: {line}" for line in _LINE_END.split(self.text)]
        head = "".join(f"{line}\n" for line in lines).encode("utf-8")
        return head + (encode_data(to_json(self.data)) if self.has_data else b"\n")


def encode_data(document: bytes) -> bytes:
    """An event that has only data, which is JSON on one line."""
    return b"data: %b\n\n" % document
