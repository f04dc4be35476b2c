"""Other parsers of HTTP/1.1, brought into one form: what covet accepts they have to accept too.

They are laxer than covet in many ways. What matters is where they are stricter, or read the same
bytes as something else; `llhttp_sees` says where that is known and harmless.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import h11
import llhttp


@dataclass
class Message:
    """A request.

    Attributes:
        headers: Names in lower case, values without the whitespace around them.
        complete: Whether the body has ended as it should.
    """

    method: bytes = b""
    target: bytes = b""
    version: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = False


@dataclass
class Outcome:
    """What a parser made of a connection's bytes.

    Attributes:
        messages: Only the last one may be incomplete.
        refused: Whether, or with which status, the bytes behind them were.
        closed: Whether nothing more is read.
    """

    messages: list[Message]
    refused: int = 0
    closed: bool = False

    @property
    def complete(self) -> list[Message]:
        """The messages that came to their end."""
        return [message for message in self.messages if message.complete]


def folded(messages: list[Message]) -> list[Message]:
    """The same with transfer codings in lower case: h11 cannot say how they came."""
    return [
        replace(
            message,
            headers=[
                (name, value.lower() if name == b"transfer-encoding" else value)
                for name, value in message.headers
            ],
        )
        for message in messages
    ]


def read_with_h11(data: bytes) -> Outcome:
    """Read it with h11."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    outcome = Outcome([])
    message = Message()
    if not data:
        return outcome  # to h11 no bytes are the end of them
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                return outcome
            if event is h11.PAUSED:
                if connection.our_state is not h11.SEND_RESPONSE:
                    outcome.closed = True
                    return outcome
                connection.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE:
                    outcome.closed = True
                    return outcome
                connection.start_next_cycle()
            elif isinstance(event, h11.Request):
                message = Message(event.method, event.target, event.http_version)
                message.headers = list(event.headers)
                outcome.messages.append(message)
            elif isinstance(event, h11.Data):
                message.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                message.complete = True
                if connection.client_is_waiting_for_100_continue:
                    continue
    except h11.RemoteProtocolError as error:
        outcome.refused = error.error_status_hint
    return outcome


class _Request(llhttp.Request):  # type: ignore[misc]
    """Collects what llhttp calls out."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []
        self.trailing = False
        self.name = b""
        self.value = b""

    def on_message_begin(self) -> None:
        self.messages.append(Message())
        self.trailing = False

    def on_method(self, data: Any) -> None:
        self.messages[-1].method += bytes(data)

    def on_url(self, data: Any) -> None:
        self.messages[-1].target += bytes(data)

    def on_version(self, data: Any) -> None:
        self.messages[-1].version += bytes(data)

    def on_header_field(self, data: Any) -> None:
        self.name += bytes(data)

    def on_header_value(self, data: Any) -> None:
        self.value += bytes(data)

    def on_header_value_complete(self) -> None:
        if not self.trailing:
            # Whitespace behind a value is left to the caller.
            pair = (self.name.lower(), self.value.strip(b" \t"))
            self.messages[-1].headers.append(pair)
        self.name = self.value = b""

    def on_headers_complete(self) -> None:
        self.trailing = True

    def on_body(self, data: Any) -> None:
        self.messages[-1].body += bytes(data)

    def on_message_complete(self) -> None:
        self.messages[-1].complete = True


def read_with_llhttp(data: bytes) -> Outcome:
    """Read it with llhttp."""
    request = _Request()
    refused = 0
    try:
        request.execute(data)
    except llhttp.Error:
        refused = 400
    messages = request.messages
    if messages and not messages[-1].complete and not request.trailing:
        messages.pop()  # its head is not complete
    return Outcome(messages, refused)


LLHTTP_METHODS = frozenset(
    b"DELETE GET HEAD POST PUT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK "
    b"BIND REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE "
    b"PATCH PURGE MKCALENDAR LINK UNLINK QUERY".split()
)


def h11_sees(messages: list[Message]) -> int:
    """How many of these messages of one connection h11 gets to see.

    - It never keeps a connection of HTTP/1.0.
    """
    for number, message in enumerate(messages):
        if message.version == b"1.0":
            return number + 1
    return len(messages)


_TABBED = re.compile(rb"(?i)\n(connection|content-length|transfer-encoding):[^\r\n]*\t")


def llhttp_sees(data: bytes, messages: list[Message]) -> int:
    """How many of these messages of one connection llhttp reads as any other parser would.

    - With a tab around it, a value that frames is refused, and one of Connection means nothing.
    - It knows a fixed list of methods.
    - Behind a request that asks for an upgrade it reads no HTTP, whatever the server wants.
    """
    if _TABBED.search(data):
        return 0
    for number, message in enumerate(messages):
        names = [name for name, _ in message.headers]
        asks = any(
            name == b"connection" and b"upgrade" in value.lower() for name, value in message.headers
        )
        if message.method not in LLHTTP_METHODS or (asks and b"upgrade" in names):
            return number
    return len(messages)
