"""A server that tests start: a process in a temporary folder, which ends with them, however they end."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import cycle
from pathlib import Path

PR_SET_PDEATHSIG = 1
START = 60.0
"""Seconds that a start may take."""
OLD = 3600.0
"""Seconds after which what killed processes have left is removed."""


_FIRST_PORT = 20_000 + 500 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 20)
_PORTS = cycle(range(_FIRST_PORT, _FIRST_PORT + 500))
"""Below those that systems choose from when they are asked for any."""


def free_port() -> int:
    """A loopback port nobody listens at, of this worker's own.

    One that the system chooses may be chosen for another worker while a test stops a server and starts
    the next on the same port. Another program may be faster, so be ready to take another.
    """
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def account(name: str) -> str | None:
    """Who is to run a server that refuses to be run by root: this account if there is one."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(each for each in (name, "nobody") if each in names)


def end_with_parent(how: signal.Signals) -> Callable[[], object]:
    """For a child: have the kernel end it, whatever becomes of the process that runs the tests."""
    return partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, how)


class ServerProcess:
    """A server in a temporary folder of its own.

    A subclass says how it is started, in `command`, and whether it answers, in `answers`.

    Attributes:
        title: What it is called.
        prefix: What its folders begin with.
        user: Who runs it where that must not be root.
        politely: The signal with which an administrator stops it.
        at_once: The one that does not let it finish anything.
        port: Where it listens, on 127.0.0.1, before and after a restart.
        environment: Variables that it has besides the tests'.
    """

    title: str
    prefix: str
    user: str
    politely: signal.Signals
    at_once: signal.Signals

    def __init__(self) -> None:
        self._user = account(self.user)
        for folder in Path(tempfile.gettempdir()).glob(f"{self.prefix}*"):
            with suppress(OSError):
                if self.is_left(folder):
                    shutil.rmtree(folder)
        self._folder = Path(tempfile.mkdtemp(prefix=self.prefix))
        self._data = self._folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.environment: Mapping[str, str] = {}

    def is_left(self, folder: Path) -> bool:
        """Whether a folder is one that a killed process has left, an hour ago or more."""
        raise NotImplementedError

    def command(self, port: int) -> Sequence[str]:
        """What starts it at a port."""
        raise NotImplementedError

    def answers(self, port: int) -> bool:
        """Whether it does already."""
        raise NotImplementedError

    def _own(self, *paths: Path) -> None:
        """Give files to who runs the server."""
        if self._user is not None:
            for path in paths:
                shutil.chown(path, self._user)

    def _run(self, program: str, *arguments: str) -> None:
        """Run a program of the server's to its end."""
        done = subprocess.run(
            [program, *arguments],
            user=self._user,
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start it and wait until it answers; again at the same port after a `stop`."""
        for _ in range(5):
            port = self.port or free_port()
            if self._started(port):
                self.port = port
                return
        said = (self._folder / "log").read_text("utf-8", "replace")[-4000:]
        raise RuntimeError(f"{self.title} does not start:\n{said}")

    def _started(self, port: int) -> bool:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(port),
                user=self._user,
                cwd=self._folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent(self.at_once),  # noqa: PLW1509 - it takes no lock
            )
        limit = time.monotonic() + START
        while self._process.poll() is None:
            if self.answers(port):
                return True
            if time.monotonic() > limit:
                break
            time.sleep(0.02)
        self.stop()
        return False

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def stop(self, how: signal.Signals | None = None) -> None:
        """Stop it, politely unless another signal is given."""
        if (process := self._process) is None:
            return
        process.send_signal(how or self.politely)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._process = None

    def close(self) -> None:
        """Stop it and remove its folder."""
        self.stop(self.at_once)
        shutil.rmtree(self._folder, ignore_errors=True)
