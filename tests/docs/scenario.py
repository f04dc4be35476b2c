"""Runs a page: writes its files, types its commands, compares what they print.

A page whose blocks carry these marks is a test:

- a block whose first line is ``# file: NAME``, or ``//``, ``/* */`` or ``<!-- -->`` in place of ``#``, is
  written to ``NAME``;
- a block fenced as ``console run`` is typed: each ``$ command`` is run, and the lines below it are
  its output, in which ``...`` stands for anything. A command that ends in ``&`` stays up until
  ``kill %1`` or the end of the page, which waits until its port answers; it has to stop cleanly at
  SIGTERM.

Port 8000 of the page becomes a free one. ``curl`` is answered here, by httpx.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from services.process import free_port

from docs.pages import blocks

PATIENCE = 90.0
"""Seconds after which a command that says nothing is taken to hang."""


def is_scenario(text: str) -> bool:
    """Whether a page has anything to run."""
    return any(block.runs for block in blocks(text))


def commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with the output below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        while line.endswith("\\"):
            more, _, output = output.partition("\n")
            line = line[:-1] + more
        yield line.strip(), output.strip()


def matches(expected: str, actual: str) -> bool:
    """Whether an output is the expected one: ``...`` stands for anything, any space for any."""
    parts = (re.escape(part) for part in " ".join(expected.split()).split("..."))
    return re.fullmatch(".*".join(parts), " ".join(actual.split())) is not None


def form_part(argument: str, folder: Path) -> tuple[str, tuple[str | None, bytes, str | None]]:
    """A field or a file of a form as httpx takes it, for ``name=value`` or ``name=@path;type=x/y``."""
    name, _, value = argument.partition("=")
    if not value.startswith("@"):
        return name, (None, value.encode(), None)
    path, _, content_type = value[1:].partition(";type=")
    return name, (path, (folder / path).read_bytes(), content_type or "application/octet-stream")


def curl(arguments: list[str], folder: Path = Path()) -> str:
    """What ``curl`` would print."""
    parser = ArgumentParser(prog="curl")
    parser.add_argument("url")
    parser.add_argument("-i", action="store_true")
    parser.add_argument("-I", dest="head", action="store_true")
    parser.add_argument("-N", action="store_true")
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("-F", dest="form", action="append", default=[])
    parser.add_argument("--json")
    parser.add_argument("--cacert")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    options = parser.parse_args(arguments)
    url = options.url if "//" in options.url else f"http://{options.url}"
    headers = dict(re.split(r":\s*", line, maxsplit=1) for line in options.headers)
    body = options.data if options.json is None else options.json
    if body is not None:
        form = "application/x-www-form-urlencoded" if options.json is None else "application/json"
        headers.setdefault("content-type", form)
    parts = [form_part(each, folder) for each in options.form]
    method = options.method or ("GET" if body is None and not parts else "POST")
    method = "HEAD" if options.head else method
    verify = ssl.create_default_context(
        cafile=str(folder / options.cacert) if options.cacert else None
    )
    if options.cert:
        verify.load_cert_chain(folder / options.cert, folder / options.key)
    reply = httpx.request(
        method, url, content=body, files=parts or None, headers=headers, timeout=PATIENCE,
        trust_env=False, verify=verify,
    )  # fmt: skip
    head = [f"HTTP/1.1 {reply.status_code}", *(f"{k}: {v}" for k, v in reply.headers.items()), ""]
    return "\n".join([*(head if options.i or options.head else []), reply.text])


@dataclass
class Shell:
    """A folder, a port, and the commands that are still up."""

    folder: Path
    port: int = field(default_factory=free_port)
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """As a reader's, with this Python's commands first."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        names = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
        if any("[plugins.http" in each.read_text("utf-8") for each in self.folder.glob("*.toml")):
            names["COVET_PLUGINS__HTTP__PORT"] = str(self.port)
        return names

    def type(self, command: str) -> str:
        """Run one command; what it printed, and its exit code if that is not 0."""
        words = shlex.split(command.replace(":8000", f":{self.port}"))
        if words[0] == "curl":
            return curl(words[1:], self.folder)
        if words == ["kill", "%1"]:
            assert len(self.running) == 1, f"{command} of {list(self.running)}"
            self.stop()
            return ""
        environment = self.environment()
        if words[-1] == "&":
            log = (self.folder / f".output-{len(self.running)}").open("w+")
            with log:
                self.running[command] = subprocess.Popen(
                    words[:-1], cwd=self.folder, env=environment, text=True, stdout=log, stderr=log
                )
            return self.wait(command)
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )
        code = f"\nexit code {done.returncode}" if done.returncode else ""
        return (done.stdout.strip() + code).replace(f":{self.port}", ":8000")

    def output(self, position: int) -> str:
        """What a command that stays up has printed."""
        return (self.folder / f".output-{position}").read_text("utf-8")

    def wait(self, command: str) -> str:
        """Until the port answers."""
        until = time.monotonic() + PATIENCE
        position = list(self.running).index(command)
        while time.monotonic() < until and self.running[command].poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return ""
            time.sleep(0.05)
        raise AssertionError(f"{command} does not answer:\n{self.output(position)}")

    def stop(self) -> None:
        """End what is up; it has to end well."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for position, (command, process) in enumerate(self.running.items()):
            try:
                code = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            assert code == 0, f"{command} ended with {code}:\n{self.output(position)}"
        self.running.clear()


def play(text: str, folder: Path) -> None:
    """Run a page in an empty folder.

    Raises:
        AssertionError: A command failed, or printed something else.
    """
    shell = Shell(folder)
    try:
        for block in blocks(text):
            if block.file:
                path = folder / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, "utf-8")
            elif block.runs:
                for command, expected in commands(block.text):
                    actual = shell.type(command)
                    if expected:
                        assert matches(expected, actual), f"$ {command}\n{actual}"
                    else:
                        assert "\nexit code" not in actual, f"$ {command}\n{actual}"
    finally:
        shell.stop()
