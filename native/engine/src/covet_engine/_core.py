"""One engine as Python sees it: its events, its arena, and the replies collected for it.

Everything a turn of the event loop has to say to the engine is collected in `Core.parts` and handed
over in one call: a call into C gives the interpreter's lock away and has to get it back.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum, IntFlag
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio

if TYPE_CHECKING:
    from covet_engine._exchange import Exchange
    from covet_engine._tls import Shown
    from covet_engine._wait import Seat

Event: TypeAlias = tuple[int, int, int, int, int, int, int]
"""``handle, at, size, route, kind, flags, extra`` of a ``cv_event``."""

EVENT: Final = Struct("=QIIHBBI")
"""``cv_event``."""
REPLY: Final = Struct("=QIHBB")
"""``cv_reply``: handle, size, code, op, flags."""
NO_LENGTH: Final = 2**64 - 1
"""``cv_request.content_length`` where none was given."""


class Kind(IntEnum):
    """What an event is about: ``enum cv_event_kind``."""

    REQUEST = 1
    BODY = 2
    ROOM = 3
    GONE = 4
    TIMER = 5
    EMPTY = 6
    LOG = 7
    REFUSED = 8
    FLOODED = 9
    MESSAGE = 40
    CLOSED = 41
    DRAINED = 42
    PONG = 43


class Flag(IntFlag):
    """More about an event: ``enum cv_event_flag``."""

    BODY_COMPLETE = 1
    BODY_NONE = 2
    HEAD_ONLY = 4
    BODY_BROKEN = 8
    BODY_JSON = 16
    UPGRADE = 32


class Gone(IntEnum):
    """Why a client is gone: ``enum cv_gone``."""

    CLOSED = 1
    TIMEOUT = 2
    MALFORMED = 3
    STOPPED = 4


# Plain names: looking up a member of an enumeration is a call, and these are used per request.
ANSWER: Final = 1
_REPLY: Final = 2
_CHUNK: Final = 3
_ABORT: Final = 4
_READ: Final = 5
_ARM: Final = 6
_DROP: Final = 7
_TRAILERS: Final = 8
_FILE: Final = 50
_MORE: Final = 1
_CLOSE: Final = 2

_ARMED = Struct("=II")
_HEAD = Struct("=QIHBBI")  # a REPLY and the size of its fields
_PART = Struct("=iIQQ")  # cv_file_part
_SIZE = 4
_LONGEST = 2**32 - 1
_CERTIFICATE_ROOM: Final = 1 << 17


class EngineError(Exception):
    """The engine and Python do not understand each other: a defect of covet."""


class Core:
    """Owns one engine. Used by the one thread that runs the event loop.

    Args:
        lib: The compiled library.
        ffi: Its ``ffi``.
        options: A ``cv_options *``.

    Attributes:
        engine: The ``cv_engine *``.
        fd: Readable when `poll` has something to do.
        arena: All input buffers; offsets in events and requests count from its first byte.
        high_water: Bytes a stream out may send before the first of them have left.
        parts: What is collected for the next `flush`: whole replies.
        live: Calls that wait, by handle; they are told of events.
        soon: Arranges that `flush` is called at the end of this turn of the event loop. Set by
            whoever knows the loop.
        seat: Makes a place for one task to wait in. Set by whoever knows the loop.
        turn: Whether a batch of events is being worked on, which ends with a `flush` anyway.
        stopping: Whether no new connections are taken, and those that are there come to an end.
        round: Changes with each broadcast, so that whoever counts what waits for a client knows of it.
        clock: ``anyio.current_time()`` minus the engine's time, in seconds.
        counters: The engine's ``cv_counters *``, read in place.
        secure: Whether its connections speak TLS.
    """

    def __init__(self, lib: Any, ffi: Any, options: Any) -> None:
        engine = lib.cv_engine_new(options)
        if engine == ffi.NULL:
            raise OSError(ffi.errno, os.strerror(ffi.errno))
        self.lib = lib
        self.ffi = ffi
        self.engine = engine
        self.high_water = int(options.high_water)
        self._max_files = int(options.max_files)
        self._files: list[int] = []
        self.fd: int = lib.cv_engine_fd(engine)
        size = ffi.new("uint64_t *")
        self.arena = memoryview(ffi.buffer(lib.cv_engine_arena(engine, size), size[0]))
        self.parts: list[bytes] = []
        self.live: dict[int, Exchange] = {}
        self.soon: Callable[[], object] = self.flush
        self.seat: Callable[[], Seat] = _no_seat
        self.turn = False
        self.secure = False
        self.stopping = False
        self.round = 0
        self.clock = 0.0
        self.counters = lib.cv_engine_counters(engine)
        self._events = ffi.buffer(lib.cv_engine_events(engine), lib.CV_EVENTS * EVENT.size)
        self._poll = lib.cv_engine_poll
        self._submit = lib.cv_engine_submit
        self._due = False
        self._waiting: list[anyio.Event] = []

    def poll(self) -> Iterator[Event]:
        """Let the engine do what it can without waiting; what has happened."""
        self.turn = True
        # A slice of cffi's buffer is a copy. An iterator over a memoryview instead, left behind by
        # an exception, could crash the garbage collector of Python 3.11.
        return EVENT.iter_unpack(self._events[: self._poll(self.engine) * EVENT.size])

    def flush(self) -> None:
        """Give the engine everything collected, in one call. Ends the turn."""
        self.turn = self._due = False
        if self.parts:
            self.submit()
        if self._waiting:
            self.wake()

    def submit(self) -> None:
        """The same in the middle of a turn, for whoever needs to know what comes of it."""
        parts = self.parts
        replies = b"".join(parts)
        parts.clear()
        if self._submit(self.engine, replies, len(replies)):
            raise EngineError("replies that are none")
        if self._files:
            self._files.clear()

    def waiting(self, handle: int) -> int:
        """What waits for the client of a WebSocket: bytes, and 2**40 times the messages."""
        if self.parts:
            self.submit()
        return 0 if self.engine is None else self.lib.cv_engine_waiting(self.engine, handle)

    def broadcast(self, handles: Sequence[int], message: bytes, flags: int) -> list[int]:
        """Send one message to many WebSockets; the places of those that had no room, or are closed."""
        if self.parts:
            self.submit()
        if self.engine is None:
            return list(range(len(handles)))
        self.round += 1
        count = len(handles)
        left_out = self.ffi.new("uint32_t[]", count)
        number = self.lib.cv_engine_broadcast(
            self.engine,
            self.ffi.from_buffer("uint64_t *", array("Q", handles)),
            count,
            flags,
            message,
            len(message),
            left_out,
        )
        if self._waiting:
            self.wake()
        return self.ffi.unpack(left_out, number) if number else []

    def flush_soon(self) -> None:
        """Flush at the end of this turn of the event loop, once however often this is asked for."""
        if not self.turn and not self._due:
            self._due = True
            self.soon()

    def answer(self, handle: int, code: int, body: bytes) -> None:
        """A complete answer: the head of a template and this body."""
        self.parts += (REPLY.pack(handle, len(body), code, ANSWER, 0), _plain(body))

    def reply(
        self,
        handle: int,
        status: int,
        fields: bytes,
        body: bytes = b"",
        *,
        more: bool = False,
        close: bool = False,
    ) -> None:
        """An answer, or its beginning.

        Args:
            handle: Of the request.
            status: The status code.
            fields: ``name: value`` lines, each with its CRLF, without date, connection and
                transfer-encoding; content-length only where it is known and more is to come.
            body: The first bytes of the body, all of them unless ``more``.
            more: Whether `chunk` follows.
            close: Close the connection behind it.
        """
        body = _plain(body)
        flags = (_MORE if more else 0) | (_CLOSE if close else 0)
        size = len(fields)
        self.parts += (
            _HEAD.pack(handle, _SIZE + size + len(body), status, _REPLY, flags, size), fields, body,
        )  # fmt: skip

    def chunk(self, handle: int, body: bytes, *, more: bool = True) -> None:
        """The next bytes of an answer, its last ones unless ``more``."""
        body = _plain(body)
        self.parts += (REPLY.pack(handle, len(body), 0, _CHUNK, _MORE if more else 0), body)

    def trailers(self, handle: int, fields: bytes) -> None:
        """End a chunked answer with these fields."""
        self.parts += (REPLY.pack(handle, len(fields), 0, _TRAILERS, 0), fields)

    def file(self, handle: int, descriptor: int, at: int, size: int) -> bool:
        """Send bytes of a file as the next of an answer, however long that takes.

        Args:
            handle: Of the request, whose answer has begun.
            descriptor: The file's; it may be closed at once.
            at: Where the bytes are.
            size: How many.

        Returns:
            Whether it will be done: it will not if too many files are open.
        """
        if self.counters.files + len(self._files) >= self._max_files:
            return False
        try:
            copy = os.dup(descriptor)
        except OSError:
            return False
        self._files.append(copy)
        part = _PART.pack(copy, 0, at, size)
        self.parts.append(REPLY.pack(handle, _PART.size, 0, _FILE, 0) + part)
        return True

    def abort(self, handle: int, status: int = 0) -> None:
        """The answer cannot be completed: cut the connection so that it shows.

        Args:
            handle: Of the request.
            status: What the access log says; 0: what was sent.
        """
        self.parts.append(REPLY.pack(handle, 0, status, _ABORT, 0))

    def drop(self, handle: int) -> None:
        """No answer follows and none is needed: the client is gone."""
        self.parts.append(REPLY.pack(handle, 0, 0, _DROP, 0))

    def read(self, handle: int) -> None:
        """Ask for the next piece of a request's body; one BODY event follows."""
        self.parts.append(REPLY.pack(handle, 0, 0, _READ, 0))

    def arm(self, handle: int, number: int, seconds: float) -> None:
        """Ask for a TIMER event with this number in so many seconds, unless answered before."""
        milliseconds = min(max(0, -int(-seconds * 1000 // 1)), _LONGEST)
        self.parts.append(
            REPLY.pack(handle, _ARMED.size, 0, _ARM, 0) + _ARMED.pack(number, milliseconds)
        )

    def certificate(self, handle: int) -> Shown | None:
        """What the client of a request has shown, while its connection lasts."""
        from covet_engine._tls import read_shown

        into = self.ffi.new("uint8_t[]", _CERTIFICATE_ROOM)
        size = self.lib.cv_engine_certificate(self.engine, handle, into, _CERTIFICATE_ROOM)
        return read_shown(bytes(self.ffi.buffer(into, size))) if size else None

    async def quiet(self) -> None:
        """Wait until no request is being answered and every answer is in the engine's hands."""
        while self.turn or self.parts or self.live:
            await self.woken()

    async def woken(self) -> None:
        """Wait until the next flush, or until `wake` is called."""
        event = anyio.Event()
        self._waiting.append(event)
        await event.wait()

    def wake(self) -> None:
        """Let those look again who wait for something to happen in the engine."""
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()

    def close(self) -> None:
        """End every connection and free the engine; its memory is gone after this."""
        if self.engine is not None:
            self.live.clear()
            self.parts.clear()
            for descriptor in self._files:
                os.close(descriptor)
            self._files.clear()
            # Whoever is late finds a released view and a submit that does nothing, not freed memory.
            self._submit = _ignore
            self._events = b""
            self.arena.release()
            self.lib.cv_engine_close(self.engine)
            self.lib.cv_engine_free(self.engine)
            self.engine = None
            self.wake()


def _ignore(engine: Any, replies: bytes, size: int) -> int:
    return 0


def _no_seat() -> Seat:
    raise EngineError("no loop runs the engine")


def _plain(body: Any) -> bytes:
    """What can be joined and has as many bytes as items; anything else is the caller's mistake."""
    return body if body.__class__ is bytes else bytes(memoryview(body))
