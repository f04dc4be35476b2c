"""A thread that runs one job after another for the event loop, on asyncio and trio."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from time import monotonic
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import current_token

from covet_sql.driver import Reply, current_scheduler

T = TypeVar("T")

POLL = 0.02
"""Seconds between two interrupts of a cancelled job: one may come just before its statement starts."""


class Job:
    """One function to run, and what became of it.

    Attributes:
        reply: What is waited for, if anybody waits.
        done: The loop knows that it is over.
    """

    __slots__ = ("cancelled", "deadline", "done", "error", "function", "reply", "result")

    def __init__(
        self, function: Callable[[], Any], deadline: float, reply: Reply | None = None
    ) -> None:
        self.function = function
        self.deadline = deadline
        self.reply = reply
        self.cancelled = self.done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def over(self) -> None:
        """Wake whoever waits for it; in the loop's thread."""
        self.done = True
        if self.reply is not None and not self.reply.done():
            self.reply.set_result(None)


class Worker:
    """A thread of its own; jobs run in the order they were given.

    A pooled thread (``anyio.to_thread``) costs half as much again per job, and a SQLite connection
    is happiest when one thread owns it.

    Attributes:
        job: What runs now; the thread's callbacks ask it whether to go on.
        lost: A job did not end in time after its cancellation. The thread finishes it, runs what
            was posted, and ends; nothing more may be asked of it.
    """

    def __init__(self, name: str, interrupt: Callable[[], None], cleanup_timeout: float) -> None:
        token: Any = current_token().native_token
        # The loop's own door for threads, under the name each of the two gives it.
        self._call_soon: Callable[[Callable[[], object]], object] = (
            getattr(token, "call_soon_threadsafe", None) or token.run_sync_soon
        )
        self._scheduler = current_scheduler()
        self._interrupt = interrupt
        self._cleanup_timeout = cleanup_timeout
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self.job: Job | None = None
        self.lost = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self.job = job
            if not job.cancelled:
                try:
                    job.result = job.function()
                except BaseException as error:  # it belongs to whoever waits for the job
                    job.error = error
            self.job = None
            with suppress(RuntimeError):  # the loop is gone, and whoever waited with it
                self._call_soon(job.over)
            del job

    async def run(self, function: Callable[[], T], timeout: float) -> T:
        """Run ``function`` in the thread; its result, or what it raised.

        When cancelled, the job is interrupted and waited for, so that the thread is free and
        nothing of it is still going on when this returns; past the clean-up time it is ``lost``.
        """
        reply = self._scheduler.reply()
        job = Job(function, monotonic() + timeout, reply)
        self._jobs.put(job)
        try:
            await reply
        except BaseException:
            job.cancelled = True
            await self._stop(job)
            raise
        if job.error is not None:
            try:
                raise job.error
            finally:
                del job  # the error's traceback holds this frame: no cycle
        result: T = job.result
        return result

    async def _stop(self, job: Job) -> None:
        with anyio.move_on_after(self._cleanup_timeout, shield=True):
            while True:
                self._interrupt()
                with anyio.move_on_after(POLL):
                    job.reply = self._scheduler.reply()
                    if not job.done:
                        await job.reply
                    return
        self.lost = True

    def post(self, function: Callable[[], object]) -> None:
        """Have ``function`` run after everything given so far, without waiting for it."""
        self._jobs.put(Job(function, float("inf")))

    def end(self) -> None:
        """End the thread after everything given so far; wait for it unless it is lost."""
        self._jobs.put(None)
        if not self.lost:
            self._thread.join(self._cleanup_timeout)
