"""A browser without windows, which tests tell what to do over the DevTools protocol."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from services.missing import skipped_without
from websockets.sync.client import ClientConnection, connect

START = 60.0
"""Seconds that a start may take."""
PATIENCE = 60.0
"""Seconds for one thing that it is told, or that is waited for."""


class BrowserMissing(Exception):
    """There is no Chromium here."""


class Page:
    """One page that is open."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page; a promise's, once it has one.

        Raises:
            AssertionError: It throws.
        """
        answer = self._browser.call(
            "Runtime.evaluate",
            self._session,
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str) -> Any:
        """The value of an expression once it is true."""
        end = time.monotonic() + PATIENCE
        while not (value := self.evaluate(script)):
            assert time.monotonic() < end, f"it never is: {script}"
            time.sleep(0.02)
        return value


class Browser:
    """A Chromium that runs."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = count(1)

    def call(self, method: str, session: str | None = None, /, **params: Any) -> dict[str, Any]:
        """Tell it something; what it answers.

        Raises:
            AssertionError: It cannot.
        """
        number = next(self._numbers)
        said: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            said["sessionId"] = session
        self._connection.send(json.dumps(said))
        while True:
            answer = json.loads(self._connection.recv(PATIENCE))
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                found: dict[str, Any] = answer["result"]
                return found

    def open(self, url: str) -> Page:
        """Open a page, and wait until it is loaded."""
        target = self.call("Target.createTarget", url=url)["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        page = Page(self, attached["sessionId"])
        page.until(f"location.href.startsWith({url!r}) && document.readyState === 'complete'")
        return page


def program() -> str:
    """The browser.

    Raises:
        BrowserMissing: It is not installed.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise BrowserMissing("no chromium is installed")


def skip_without_chromium() -> None:
    """Skip the test where there is no browser; in CI that is a failure."""
    with skipped_without(BrowserMissing):
        program()


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own, which reaches nothing but this machine."""
    skip_without_chromium()
    with tempfile.TemporaryDirectory(
        prefix="covet-chromium-", ignore_cleanup_errors=True
    ) as profile:
        command = [
            program(),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        environment = {**os.environ, "HOME": profile, "XDG_CONFIG_HOME": profile}
        log = Path(profile, "output")
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment
            )
        try:
            with connect(_address(Path(profile), process, log), max_size=None) as connection:
                yield Browser(connection)
                connection.send(json.dumps({"id": 0, "method": "Browser.close"}))
                process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()


def _address(profile: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + START
    written = profile / "DevToolsActivePort"
    while time.monotonic() < end and process.poll() is None:
        lines = written.read_text().split("\n") if written.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    raise AssertionError(f"chromium does not start:\n{log.read_text(errors='replace')[-2000:]}")
