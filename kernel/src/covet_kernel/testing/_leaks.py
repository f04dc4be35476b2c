"""What a test must not leave behind: tasks, threads and open file descriptors."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import anyio

POOLS = ("AnyIO worker thread", "Trio thread", "asyncio_")
"""Names of threads that belong to the event loop's pool, which keeps them for the next call."""

_DESCRIPTORS = next((path for path in ("/proc/self/fd", "/dev/fd") if Path(path).is_dir()), "")


class LeakError(AssertionError):
    """A test left something behind."""


def open_descriptors() -> dict[int, str]:
    """What each open file descriptor leads to; empty where the system does not tell.

    Devices are left out: libraries open the likes of ``/dev/urandom`` once and for good.
    """
    found = {}
    for name in os.listdir(_DESCRIPTORS) if _DESCRIPTORS else ():
        try:
            target = os.readlink(f"{_DESCRIPTORS}/{name}")
        except OSError:
            continue  # the descriptor of the listing itself, or no link on this system
        if not target.startswith("/dev/"):
            found[int(name)] = target
    return found


def running_threads() -> set[threading.Thread]:
    """Live threads, except those that wait in a pool, and those not made by `threading`.

    The latter are only heard of when they log something, and never heard of again.
    """
    return {
        thread
        for thread in threading.enumerate()
        if not (thread.name.startswith(POOLS) or isinstance(thread, threading._DummyThread))
    }


class Snapshot:
    """Threads and descriptors as they were when this was made."""

    def __init__(self) -> None:
        self._descriptors = open_descriptors()
        self._threads = running_threads()

    def check(self) -> None:
        """Compare with what is there now.

        Raises:
            LeakError: There is more than before.
        """
        threads = running_threads() - self._threads
        for thread in threads:
            thread.join(1.0)  # told to end a moment ago, perhaps
        # Or one of a pool that was at work still, and waits there by now.
        if alive := [thread.name for thread in threads & running_threads()]:
            raise LeakError(f"threads are left running: {', '.join(alive)}")
        if self._left():
            gc.collect()
        if left := self._left():
            raise LeakError(f"file descriptors are left open: {left}")

    def _left(self) -> dict[int, str]:
        now = open_descriptors()
        return {
            number: now[number]
            for number in sorted(now)
            if self._descriptors.get(number) != now[number]
        }


async def check_tasks(before: set[int]) -> None:
    """Compare the tasks of this event loop with those of ``before``.

    Raises:
        LeakError: There are others, and a few turns of the event loop do not end them.
    """
    left: list[str] = []
    for _ in range(10):
        left = [task.name or "?" for task in anyio.get_running_tasks() if task.id not in before]
        if not left:
            return
        await anyio.lowlevel.checkpoint()
    raise LeakError(f"tasks are left running: {', '.join(left)}")


def tasks_now() -> set[int]:
    """The identities of the tasks of this event loop."""
    return {task.id for task in anyio.get_running_tasks()}
