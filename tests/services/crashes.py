"""Processes that are killed between any two calls of their database.

What does it forks, so it has to be a process of its own, without threads: `killed_everywhere` starts one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import anyio

Work = Callable[[], Coroutine[Any, Any, None]]


class Killer:
    """Counts steps, and ends the process at one of them."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._count = 0

    def step(self) -> None:
        """Something is done."""
        self._count += 1
        if self._count == self._number:
            os.kill(os.getpid(), signal.SIGKILL)


class Steps:
    """A database or a session; each of its calls is a step when it has returned."""

    def __init__(self, inner: Any, killer: Killer) -> None:
        self._inner, self._killer = inner, killer
        self.dialect = inner.dialect

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any) -> Any:
            result = await getattr(self._inner, name)(*args)
            self._killer.step()
            return result

        return call

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[Any]:
        async with self._inner.transaction(**options) as session:
            yield Steps(session, self._killer)
        self._killer.step()


def forked(work: Work, backend: str = "asyncio") -> bool:
    """Do it in a process of its own; whether that was killed."""
    child = os.fork()
    if not child:
        anyio.run(work, backend=backend)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0


def kill_everywhere(
    work: Callable[[int], Coroutine[Any, Any, None]], check: Callable[[], object]
) -> int:
    """Run ``work(number)`` killed at each step in turn, and behind each ``work(0)``, which is not.

    Args:
        work: Begins anew, unless the number is 0: then it goes on.
        check: Looks at what came of it.

    Returns:
        How many steps there were.
    """

    async def turn(number: int) -> None:
        # One process for both: starting it is most of what this takes.
        if number > 1:
            await work(0)
            check()
        await work(number)

    for number in count(1):
        if not forked(partial(turn, number)):
            check()
            return number
    raise AssertionError("unreachable")


def killed_everywhere(script: Path, *words: str) -> int:
    """Run a script that ends with printing what `kill_everywhere` has returned."""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, str(script), *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)
