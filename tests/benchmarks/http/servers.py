"""The servers of the benchmark: how each is started, watched and ended."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from generator import SERVER_CORE, Work, ask

PEERS = Path(__file__).resolve().parent / "peers"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Recipe:
    """How a server is started.

    Attributes:
        command: Made from a free port and a folder for files of its own.
        missing: Why it cannot be started here; empty if it can.
    """

    name: str
    command: Callable[[int, Path], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""


class Server:
    """A running server in a process group of its own, pinned to one core.

    Raises:
        RuntimeError: It ended, or did not answer within 30 seconds; with what it printed.
    """

    def __init__(self, recipe: Recipe, folder: Path, probe: Work) -> None:
        self.name = recipe.name
        self.port = free_port()
        self._output = folder / f"{recipe.name}.log"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                recipe.command(self.port, folder),
                cwd=PEERS,
                env={**os.environ, "PYTHONPATH": _path(), **recipe.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_settle,  # noqa: PLW1509 - the harness has one thread
            )
        try:
            self._await(probe)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pids(self) -> list[int]:
        """Of the whole process tree."""
        found = [self._process.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        return found

    def pause(self) -> None:
        """Let it do nothing at all while others are measured."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it, the hard way if it does not go within five seconds."""
        try:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                self.resume()
                self._process.terminate()
                self._process.wait(5)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def memory(self) -> tuple[float, float, float]:
        """Resident, proportional and private kilobytes of the whole tree."""
        total = {"Rss": 0, "Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
        for pid in self.pids:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
                name, _, value = line.partition(":")
                if name in total:
                    total[name] += int(value.split()[0])
        return total["Rss"], total["Pss"], total["Private_Clean"] + total["Private_Dirty"]

    def _await(self, probe: Work) -> None:
        deadline = time.monotonic() + 30
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                ask(probe, self.port)
            except OSError:
                time.sleep(0.05)
            else:
                return
        said = self._output.read_text("utf-8", "replace")[-2000:]
        raise RuntimeError(f"{self.name} does not serve: {said}")


def _path() -> str:
    return os.pathsep.join(filter(None, [str(PEERS), os.environ.get("PYTHONPATH")]))


def _settle() -> None:
    """In the child: one core, every file descriptor there may be, and no life without the parent."""
    os.sched_setaffinity(0, {SERVER_CORE})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def covet(
    name: str, server: str, *, backend: str = "asyncio", python: str = "", **more: object
) -> Recipe:
    """`covet run` with its default configuration but for the port and what ``more`` says.

    Args:
        name: Of the recipe.
        server: ``"engine"`` or ``"hypercorn"``.
        backend: ``"asyncio"`` or ``"trio"``.
        python: Another interpreter than this one, with covet installed.
        more: Keys of `Recipe`, and ``settings``: lines of TOML.
    """
    python = python or sys.executable
    settings = str(more.pop("settings", ""))

    def command(port: int, folder: Path) -> list[str]:
        path = folder / f"{name}.toml"
        path.write_text(
            f'[app]\nmodules = ["covet_app"]\n\n[plugins.bench]\nuse = "covet_app:Bench"\n\n'
            f'[plugins.http]\nport = {port}\nserver = "{server}"\n{settings}'
        )
        executable = str(Path(python).parent / "covet")
        return [executable, "run", "-c", str(path), "--backend", backend]

    missing = more.pop("missing", "") or without(f"covet_{server}", python)
    return Recipe(name, command, missing=str(missing), **more)  # type: ignore[arg-type]


def nginx(*, everywhere: str = "", locations: str = "") -> Recipe:
    """One worker, no access log; the answer is in the configuration.

    Args:
        everywhere: More directives for all servers.
        locations: More locations.
    """
    executable = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

    def command(port: int, folder: Path) -> list[str]:
        assert executable is not None
        path = folder / "nginx.conf"
        temporary = "".join(
            f"    {each}_temp_path {folder}/nginx-{each};\n"
            for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        path.write_text(
            f"daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log stderr error;\n"
            "events {\n    worker_connections 15000;\n}\n"
            f"http {{\n{temporary}    access_log off;\n    keepalive_requests 1000000000;\n"
            f"    {everywhere}\n"
            f"    server {{\n        listen 127.0.0.1:{port};\n"
            "        location = /native {\n            default_type application/json;\n"
            """            return 200 '{"message":"hello"}';\n        }\n"""
            f"        {locations}\n    }}\n}}\n"
        )
        return [executable, "-c", str(path)]

    return Recipe("nginx", command, missing="" if executable else "nginx is not installed")


def socketify(name: str, **environment: str) -> Recipe:
    def command(port: int, folder: Path) -> list[str]:
        return [sys.executable, str(PEERS / "socketify_app.py"), str(port)]

    return Recipe(name, command, environment, without("socketify"))


def granian() -> Recipe:
    def command(port: int, folder: Path) -> list[str]:
        program = str(Path(sys.executable).parent / "granian")
        return [program, "--interface", "rsgi", "--port", str(port), "granian_app:app"]

    return Recipe("granian", command, missing=without("granian"))


def uvicorn(name: str, application: str, *options: str) -> Recipe:
    """Without the access log it has by default, since no other server has one here."""

    def command(port: int, folder: Path) -> list[str]:
        fixed = ["--port", str(port), "--no-access-log", "--log-level", "warning"]
        return [sys.executable, "-m", "uvicorn", application, *fixed, *options]

    return Recipe(name, command, missing=without("uvicorn") or without("fastapi"))


def engine_asgi(name: str, application: str) -> Recipe:
    """An ASGI application on covet's engine, with the event loop that uvicorn chooses by itself."""

    def command(port: int, folder: Path) -> list[str]:
        options = ["--port", str(port), "--backend", "uvloop"]
        return [sys.executable, "-m", "covet_engine", application, *options]

    return Recipe(
        name, command, missing=without("covet_engine") or without("fastapi") or without("uvloop")
    )


def floor(work: Work, answer: bytes, *, pipelined: bool = False) -> Recipe:
    """The floor for one work: these bytes for each request."""
    name = f"floor-{work.name}" + ("-pipelined" if pipelined else "")

    def command(port: int, folder: Path) -> list[str]:
        path = folder / f"{name}.answer"
        path.write_bytes(answer)
        options = ["--port", str(port), "--answer", str(path)]
        return [str(folder / "floor"), *options, "--request-size", str(len(work.request))]

    return Recipe(name, command)


def without(module: str, python: str = "") -> str:
    """Why a module cannot be used; empty if it can."""
    if not python or python == sys.executable:
        found = importlib.util.find_spec(module) is not None
    else:
        code = f"import importlib.util as u; raise SystemExit(u.find_spec({module!r}) is None)"
        found = subprocess.run([python, "-c", code], check=False).returncode == 0
    return "" if found else f"{module.replace('_', '-')} is not installed"
