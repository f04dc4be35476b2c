"""A service as its users run it: a process, a port, signals."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from services import mariadb, postgres
from services.process import free_port

from layout.checkout import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "bookshop"
SCRIPTS = Path(sys.executable).parent
COVET = str(SCRIPTS / "covet")
CONTRACT = "plugins.http.openapi.contract=true"
"""Every answer has to be what the shop's OpenAPI document announces."""
PATIENCE = 30.0
"""Seconds after which a process that neither answers nor ends is taken to hang."""


def copy_example(folder: Path) -> Path:
    """The bookshop's folder as a user would copy it, without what a run left behind."""
    ignored = shutil.ignore_patterns("*.db*", "covers", "__pycache__", "tests")
    return Path(shutil.copytree(EXAMPLE, folder, ignore=ignored))


SQLITE = '# A file beside this one, created on the first start.\n[plugins.sqlite]\npath = "bookshop.db"\n'
"""The three lines of the shop's configuration that say which database it is on."""
SHOPS: dict[str, tuple[str, Callable[[], AbstractContextManager[str]]]] = {
    "postgresql": ("postgres", postgres.fresh_database),
    "mariadb": ("mysql", mariadb.fresh_database),
}
"""What else it can be on: by which plugin, and where an empty database is to be had."""


@contextmanager
def bookshop_folder(folder: Path, database: str, url: str = "") -> Iterator[Path]:
    """A copy of the example whose shop is on an empty database, as its ``covet.toml`` says how to.

    Args:
        folder: Is made.
        database: ``"sqlite"``, ``"postgresql"`` or ``"mariadb"``.
        url: Of the database, if it is to be this one.
    """
    copy_example(folder)
    with ExitStack() as stack:
        if database in SHOPS:
            plugin, open_database = SHOPS[database]
            url = url or stack.enter_context(open_database())
            file = folder / "covet.toml"
            text = file.read_text("utf-8")
            assert text.count(SQLITE) == 1
            lines = f'# The database that is empty at first.\n[plugins.{plugin}]\nurl = "{url}"\n'
            file.write_text(text.replace(SQLITE, lines), "utf-8")
        yield folder


def environment(**extra: str) -> dict[str, str]:
    """This process's, without settings of covet's, and with Python's cache, which users have."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COVET_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, **extra}


def covet(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command of ``covet`` to its end."""
    return subprocess.run(
        [COVET, *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@dataclass
class Service:
    """A server process and what it wrote.

    As a context manager it waits until the port answers, and ends the process whatever happened.
    """

    command: Sequence[str]
    port: int
    log: Path
    env: Mapping[str, str]

    def __enter__(self) -> Self:
        self.start()
        self.wait_until_up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                if error is None:
                    raise AssertionError(f"does not stop:\n{self.output}") from None

    def start(self) -> None:
        """Begin the process; does not wait."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command), env=dict(self.env), stdout=log, stderr=log
            )

    def wait_until_up(self) -> None:
        """Until a connection is accepted."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise AssertionError(f"does not answer:\n{self.output}")

    @property
    def output(self) -> str:
        """Everything the process has written so far."""
        return self.log.read_text("utf-8", "replace")

    def wait_for(self, words: str, times: int = 1) -> None:
        """Until the process has written ``words`` that often."""
        until = time.monotonic() + PATIENCE
        while self.output.count(words) < times:
            if time.monotonic() > until or self.process.poll() is not None:
                raise AssertionError(f"does not say {words!r}:\n{self.output}")
            time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask it to stop, wait, and give its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request on a connection of its own."""
        with self.client() as client:
            return client.request(method, path, **more)

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE, trust_env=False
        )


def bookshop(folder: Path, backend: str, *overrides: str, port: int | None = None) -> Service:
    """``covet run`` on a copy of the example in ``folder``; not started yet."""
    port = free_port() if port is None else port
    settings = [f"plugins.http.port={port}", *overrides]
    command = [COVET, "run", "-c", str(folder / "covet.toml")]
    command += ["--backend", backend]
    command += [word for setting in settings for word in ("--set", setting)]
    return Service(command, port, folder.parent / f"{folder.name}-{port}.log", environment())


def peer(folder: Path) -> Service:
    """The same shop in FastAPI, on the same catalogue, with a database of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    app = ROOT / "tests" / "benchmarks" / "peers" / "bookshop_fastapi"
    command = [str(SCRIPTS / "uvicorn"), "--app-dir", str(app), "main:app"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    # What it does not use need not be loaded: nobody opens a WebSocket.
    command += ["--ws", "none"]
    names = {
        "BOOKSHOP_DATABASE": str(folder / "peer.db"),
        "BOOKSHOP_CATALOGUE": str(EXAMPLE / "books.csv"),
    }
    return Service(command, port, folder / f"peer-{port}.log", environment(**names))
