"""Other parsers of HTTP/1.1, brought into one form: what covet accepts they have to accept too.

They are laxer than covet in many ways. What matters is where they are stricter, or read the same
bytes as something else; `llhttp_sees` says where that is known and harmless.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import h11
import llhttp  # type: ignore[import-untyped]
from in_process import Message, Outcome


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
    """Read it with h11.

    Each request gets a connection of its own, because h11 takes no empty line before one and never
    keeps a connection of HTTP/1.0.
    """
    outcome = Outcome([])
    while not (outcome.refused or outcome.closed):
        while data.startswith(b"\r\n"):
            data = data[2:]
        if not data:
            break
        data = _read_one_with_h11(data, outcome)
    return outcome


def _read_one_with_h11(data: bytes, outcome: Outcome) -> bytes:
    """Read one request, if it is there, and return what is behind it."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    message = Message()
    try:
        connection.receive_data(data)
        while (event := connection.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Request):
                message = Message(event.method, event.target, event.http_version)
                message.headers = list(event.headers)
                outcome.messages.append(message)
            elif isinstance(event, h11.Data):
                message.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                message.complete = True
                break
    except h11.RemoteProtocolError as error:
        outcome.refused = error.error_status_hint
    if not message.complete:
        return b""
    outcome.closed = connection.their_state is h11.MUST_CLOSE and message.version != b"1.0"
    return bytes(connection.trailing_data[0])


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
