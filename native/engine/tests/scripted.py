"""An engine that only plays back what a test tells it, for what runs above the library.

It speaks the library's binary interface, so that everything from `Core` upwards is the real thing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from itertools import count
from types import SimpleNamespace
from typing import Any

import anyio

from covet_engine._core import EVENT, REPLY, Core, Kind
from covet_engine._pool import Pool
from covet_engine._wait import Loop, current_loop

EVENTS = 64
ARENA = 64 * 1024


class ScriptedLibrary:
    """The library's functions, and what was done with them."""

    CV_EVENTS = EVENTS

    def __init__(self) -> None:
        self.queue: deque[tuple[int, ...]] = deque()
        self.replies: list[tuple[int, int, int, int, bytes]] = []
        self.polls: list[int] = []
        self.submits: list[int] = []
        self.freed = False
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._memory = bytearray(EVENTS * EVENT.size)
        self._arena = bytearray(ARENA)

    def put(self, *events: tuple[int, ...]) -> None:
        self.queue.extend(events)
        os.eventfd_write(self.fd, 1)

    def cv_engine_new(self, options: Any) -> Any:
        return self

    def cv_engine_fd(self, engine: Any) -> int:
        return self.fd

    def cv_engine_arena(self, engine: Any, size: list[int]) -> bytearray:
        size[0] = ARENA
        return self._arena

    def cv_engine_events(self, engine: Any) -> bytearray:
        return self._memory

    def cv_engine_counters(self, engine: Any) -> Any:
        return SimpleNamespace()

    def cv_engine_poll(self, engine: Any) -> int:
        batch = [self.queue.popleft() for _ in range(min(EVENTS, len(self.queue)))]
        for place, event in enumerate(batch):
            EVENT.pack_into(self._memory, place * EVENT.size, *event)
        if not self.queue:
            with suppress(BlockingIOError):
                os.eventfd_read(self.fd)
        self.polls.append(len(batch))
        return len(batch)

    def cv_engine_submit(self, engine: Any, replies: bytes, size: int) -> int:
        assert size == len(replies)
        at = number = 0
        while at < size:
            handle, payload, code, op, flags = REPLY.unpack_from(replies, at)
            at += REPLY.size
            self.replies.append((handle, op, code, flags, replies[at : at + payload]))
            at += payload
            number += 1
        assert at == size
        self.submits.append(number)
        return 0

    def cv_engine_close(self, engine: Any) -> None:
        pass

    def cv_engine_free(self, engine: Any) -> None:
        os.close(self.fd)
        self.freed = True


class ScriptedFfi:
    NULL = None
    errno = 0

    @staticmethod
    def new(kind: str) -> list[int]:
        return [0]

    @staticmethod
    def buffer(memory: bytearray, size: int) -> bytearray:
        assert size == len(memory)
        return memory


Handler = Callable[["Script"], Coroutine[Any, Any, Any]]


class Script:
    """An exchange that runs what a test has given it.

    Attributes:
        cause: Why it was cancelled.
        timeout: Seconds, armed when it first waits.
        events: What it was told.
    """

    def __init__(self, engine: ScriptedEngine, handle: int, handler: Handler) -> None:
        self.engine = engine
        self.handle = handle
        self.handler = handler
        self.scope: anyio.CancelScope | None = None
        self.cause: str | None = None
        self.timeout: float | None = None
        self.events: list[int] = []
        self.waited = False

    def cancel(self, cause: str) -> None:
        self.cause = self.cause or cause
        if self.scope is not None:
            self.scope.cancel()

    def start(self) -> Coroutine[Any, Any, Any] | None:
        return self.handler(self)

    def finish(self, result: Any) -> None:
        self._end(200, repr(result))

    def fail(self, error: BaseException) -> None:
        cancelled = isinstance(error, anyio.get_cancelled_exc_class())
        if self.scope is not None and isinstance(error, BaseExceptionGroup):
            # What a task group makes of the cancellation of the call around it.
            rest = error.split(anyio.get_cancelled_exc_class())[1]
            cancelled = self.scope.cancel_called and rest is None
        self._end(503 if cancelled else 500, str(self.cause) if cancelled else repr(error))

    def suspended(self, scope: anyio.CancelScope) -> None:
        self.waited = True
        self.scope = scope
        core = self.engine.core
        core.live[self.handle] = self
        if self.timeout is not None:
            core.arm(self.handle, 1, self.timeout)
        if self.cause is not None:
            scope.cancel()

    def on_event(self, kind: int, at: int, size: int, flags: int, extra: int) -> None:
        self.events.append(kind)
        if kind == Kind.TIMER:
            self.cancel("deadline")
        elif kind == Kind.GONE:
            self.cancel("disconnect")

    def _end(self, status: int, text: str) -> None:
        core = self.engine.core
        self.scope = None
        core.live.pop(self.handle, None)
        core.reply(self.handle, status, b"", text.encode())


class ScriptedEngine:
    """A core and a pool over a scripted library."""

    def __init__(self, core: Core, library: ScriptedLibrary, pool: Pool) -> None:
        self.core = core
        self.library = library
        self.pool = pool
        self.calls: dict[int, Script] = {}
        self._handles = count(1)
        self._handlers: dict[int, Handler] = {}
        pool.targets = [self._target]

    def _target(self, handle: int, at: int, size: int, flags: int) -> Script:
        call = self.calls[handle] = Script(self, handle, self._handlers[handle])
        return call

    def request(self, *handlers: Handler) -> list[int]:
        """Requests that become readable together; their handles."""
        handles = [next(self._handles) for _ in handlers]
        self._handlers.update(zip(handles, handlers, strict=True))
        self.library.put(*((handle, 0, 0, 0, Kind.REQUEST, 0, 0) for handle in handles))
        return handles

    def event(self, handle: int, kind: Kind) -> None:
        self.library.put((handle, 0, 0, 0, kind, 0, 0))

    def answer_now(self, handle: int) -> tuple[int, str] | None:
        found = [each for each in self.library.replies if each[0] == handle and each[1] in (2, 4)]
        assert len(found) <= 1, "two answers to one request"
        if not found:
            return None
        _, op, status, _, payload = found[0]
        return (status, payload[4:].decode()) if op == 2 else (0, "aborted")

    async def answer(self, handle: int) -> tuple[int, str]:
        """The status and text a request was answered with."""
        with anyio.fail_after(10):
            while (found := self.answer_now(handle)) is None:
                await anyio.lowlevel.checkpoint()
        return found

    async def ask(self, handler: Handler) -> tuple[int, str]:
        return await self.answer(self.request(handler)[0])

    async def settle(self, turns: int = 20) -> None:
        """Let everybody who can run do so."""
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def scripted(*, warm: int = 512, loop: Loop | None = None) -> AsyncIterator[ScriptedEngine]:
    """An engine whose pool runs while the block is entered."""
    library = ScriptedLibrary()
    core = Core(library, ScriptedFfi, SimpleNamespace(high_water=1000, max_files=8))
    loop = loop or current_loop()
    loop.open(core.fd)
    try:
        async with anyio.create_task_group() as tasks:
            pool = Pool(core, loop, tasks, warm=warm)
            engine = ScriptedEngine(core, library, pool)
            pool.start()
            try:
                yield engine
            finally:
                tasks.cancel_scope.cancel()
    finally:
        loop.close()
        core.flush()
        core.close()
