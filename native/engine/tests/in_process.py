"""Feeds bytes to an engine without sockets, and sees the requests it makes of them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

EVENT = struct.Struct("<QIIHBBI")
REPLY = struct.Struct("<QIHBB")
STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) ")
PATIENCE = 10_000


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


class Feeder:
    """An engine that leads every request to Python, which answers each with an empty 200."""

    def __init__(self, native: Any) -> None:
        self._ffi, self._lib = native.ffi, native.lib
        options = self._ffi.new("cv_options *")
        self._lib.cv_options_default(options)
        self._engine = self._lib.cv_engine_new(options)
        if self._engine == self._ffi.NULL:
            raise OSError(self._ffi.errno, "no engine")
        routes = self._lib.cv_routes_new()
        self._lib.cv_routes_set_everything(routes, 0, 0)
        self._lib.cv_engine_begin(self._engine, routes)
        size = self._ffi.new("uint64_t *")
        arena = self._lib.cv_engine_arena(self._engine, size)
        self._arena = self._ffi.buffer(arena, size[0])
        events = self._lib.cv_engine_events(self._engine)
        self._events = self._ffi.buffer(events, self._lib.CV_EVENTS * EVENT.size)
        self._into = self._ffi.new("uint8_t[]", 1 << 16)

    def close(self) -> None:
        """Give everything back."""
        self._lib.cv_engine_free(self._engine)

    @property
    def connections(self) -> int:
        """How many are open."""
        return int(self._lib.cv_engine_counters(self._engine).connections)

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answer."""
        return int(self._lib.cv_engine_counters(self._engine).in_flight)

    def feed(self, pieces: Iterable[bytes]) -> Outcome:
        """Feed a connection of its own with bytes that come in these pieces."""
        connection = self._lib.cv_engine_open(self._engine)
        assert connection != 0
        outcome = Outcome([])
        held: dict[int, Message] = {}
        sent = bytearray()
        for piece in pieces:
            left = piece
            for _ in range(PATIENCE):
                taken = self._lib.cv_engine_feed(self._engine, connection, left, len(left))
                if taken < 0:
                    outcome.closed = True
                    break
                left = left[taken:]
                self._turn(connection, outcome, held, sent)
                if not left or outcome.closed:
                    break
            else:
                raise AssertionError("the engine takes no more bytes")
            if outcome.closed:
                break
        statuses = [int(status) for status in STATUS.findall(sent)]
        outcome.refused = next((status for status in statuses if status >= 400), 0)
        if not outcome.closed:
            self._lib.cv_engine_drop(self._engine, connection)
            while self._poll_and_submit(outcome, held):
                pass
        assert not held, "an event is missing"
        return outcome

    def _turn(
        self, connection: int, outcome: Outcome, held: dict[int, Message], sent: bytearray
    ) -> None:
        """Let the engine do all it can do."""
        busy = True
        while busy:
            busy = self._poll_and_submit(outcome, held)
            size = self._lib.cv_engine_drain(self._engine, connection, self._into, len(self._into))
            if size > 0:
                sent += self._ffi.buffer(self._into, size)
                busy = True
            outcome.closed = size < 0

    def _poll_and_submit(self, outcome: Outcome, held: dict[int, Message]) -> bool:
        count = self._lib.cv_engine_poll(self._engine)
        events = list(EVENT.iter_unpack(self._events[: count * EVENT.size]))
        replies = b"".join(self._replies(events, outcome, held))
        if replies:
            assert self._lib.cv_engine_submit(self._engine, replies, len(replies)) == 0
        return bool(count > 0)

    def _replies(
        self, events: list[tuple[int, ...]], outcome: Outcome, held: dict[int, Message]
    ) -> Iterator[bytes]:
        lib = self._lib
        for handle, at, size, _, kind, flags, _ in events:
            if kind == lib.CV_REQUEST:
                message = self._message(at, flags)
                outcome.messages.append(message)
                held[handle] = message
                if not message.complete:
                    yield REPLY.pack(handle, 0, 0, lib.CV_READ, 0)
            elif kind == lib.CV_BODY and handle in held:
                message = held[handle]
                message.body += self._arena[at : at + size]
                message.complete = bool(flags & lib.CV_BODY_COMPLETE)
                if not flags & (lib.CV_BODY_COMPLETE | lib.CV_BODY_BROKEN):
                    yield REPLY.pack(handle, 0, 0, lib.CV_READ, 0)
                elif flags & lib.CV_BODY_BROKEN:
                    yield self._answered(handle, held, lib.CV_DROP)
            elif kind == lib.CV_GONE and handle in held:
                yield self._answered(handle, held, lib.CV_DROP)
            if handle in held and held[handle].complete:
                yield self._answered(handle, held, lib.CV_REPLY)

    def _answered(self, handle: int, held: dict[int, Message], op: int) -> bytes:
        del held[handle]
        if op == self._lib.CV_DROP:
            return REPLY.pack(handle, 0, 0, op, 0)
        return REPLY.pack(handle, 4, 200, op, 0) + bytes(4)  # no fields, no body

    def _message(self, at: int, flags: int) -> Message:
        request = self._ffi.from_buffer("cv_request *", self._arena[at : at + 240])
        head = self._arena[request.head : request.head + request.head_size]
        method = head[request.method_at : request.method_at + request.method_size]
        target = head[request.target_at : request.target_at + request.target_size]
        message = Message(method, target, b"1.%d" % request.minor)
        for line in head.split(b"\r\n")[1:-2]:
            name, _, value = line.partition(b":")
            message.headers.append((name, value.strip(b" \t")))
        message.complete = bool(flags & (self._lib.CV_BODY_COMPLETE | self._lib.CV_BODY_NONE))
        if flags & self._lib.CV_BODY_COMPLETE:
            message.body = self._arena[request.body : request.body + request.body_size]
        return message
