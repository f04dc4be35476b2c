"""Autobahn's cases of WebSocket for both servers and for that of `websockets`, side by side: no case ends
worse for one of ours.

The suite runs on Python 2.7 alone, and is installed into a temporary folder there.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Record = Callable[[str, Any], None]

SUITE = ["autobahntestsuite==25.10.1", "wsaccel==0.6.6"]
"""With the second, masks and UTF-8 are C's: a tenth of the time."""
FRAMES = [
    *(f"{part}.*" for part in (1, 2, 3, 4, 5, 6, 7, 10)),
    "9.1.1",
    "9.2.1",
    "9.3.1",
    "9.4.1",
    "9.7.1",
]
"""Frames, fragments, UTF-8, closing; large messages only in part."""
COMPRESSED = [*(f"12.{part}" for part in range(1, 6)), *(f"13.{part}" for part in range(1, 8))]
"""Of permessage-deflate, by what is sent and what is offered: each 18 sizes of message and fragment."""
MESSAGES = 1000
"""That a compressed case has, given time enough."""
A_SECOND = 6
"""So many of every case of a part, to all servers."""
# Whether what came before a broken frame is answered before the end is a matter of when bytes arrive.
GOOD = ("OK", "INFORMATIONAL", "NON-STRICT")

OURS = """
import socket, sys, anyio
from {module} import {name}Config as Config, {name}Server as Server
from covet_http import CHANNEL, ChannelLimits, ServerOptions, WebSocketClosed
many = 1 << 26
limits = ChannelLimits(compression=True, compress_from=0, max_message_bytes=many,
    max_fragments=many, max_control_frames=many, max_queue_bytes=many)
async def app(scope, receive, send):
    channel = scope["extensions"][CHANNEL]
    await channel.accept(None, [], limits)
    try:
        while True:
            message = await channel.receive()
            while not channel.offer(message):
                await channel.drained()
    except WebSocketClosed:
        pass
async def main():
    bound = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    bound.setblocking(False)
    async with Server(Config()).listen([bound], ServerOptions()) as listener:
        listener.begin(app)
        print("up", flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""
PEER = """
import asyncio, sys
from websockets.asyncio.server import serve
async def echo(socket):
    async for message in socket:
        await socket.send(message)
async def main():
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=1 << 26) as server:
        print("up", flush=True)
        await server.serve_forever()
asyncio.run(main())
"""
SERVERS = {
    "engine": OURS.format(module="covet_engine", name="Engine"),
    "hypercorn": OURS.format(module="covet_hypercorn", name="Hypercorn"),
    "websockets": PEER,
}
RUN = """
import site, sys
site.addsitedir(sys.argv[1])
from autobahntestsuite.case import Cases
for each in Cases:
    if each.__name__.startswith(("Case12_", "Case13_")):
        each.COUNT = min(each.COUNT, int(sys.argv[3]))
sys.argv = ["wstest", "-m", "fuzzingclient", "-s", sys.argv[2]]
from autobahntestsuite.wstest import run
run()
"""


def old_python() -> dict[str, str] | None:
    """The environment in which ``python2.7`` runs, ``None`` if there is none."""
    for version in ("", "2.7.18"):
        environment = {**os.environ, **({"PYENV_VERSION": version} if version else {})}
        if (
            shutil.which("python2.7")
            and not subprocess.run(
                ["python2.7", "-c", ""], check=False, capture_output=True, env=environment
            ).returncode
        ):
            return environment
    return None


@contextmanager
def serving(program: str) -> Iterator[int]:
    """Run an echo server; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
    command = [sys.executable, "-c", program, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == b"up\n"
            yield port
        finally:
            running.kill()


@dataclass(frozen=True)
class Suite:
    """Autobahn's, installed into a folder."""

    site: Path
    environment: dict[str, str]

    def run(
        self, cases: list[str], folder: Path, messages: int = MESSAGES
    ) -> dict[str, dict[str, str]]:
        """How each case ended, by server."""
        with ExitStack() as stack:
            servers = [
                {"agent": agent, "url": f"ws://127.0.0.1:{stack.enter_context(serving(program))}"}
                for agent, program in SERVERS.items()
            ]
            specification = {
                "outdir": str(folder / "reports"), "servers": servers, "cases": cases,
                "exclude-cases": [], "exclude-agent-cases": {},
            }  # fmt: skip
            (folder / "spec.json").write_text(json.dumps(specification))
            (folder / "run.py").write_text(RUN)
            command = ["python2.7", "run.py", str(self.site), "spec.json", str(messages)]
            subprocess.run(
                command, check=True, capture_output=True, env=self.environment, cwd=folder
            )
        found = json.loads((folder / "reports" / "index.json").read_text())
        return {
            agent: {case: said["behavior"] for case, said in cases.items()}
            for agent, cases in found.items()
        }


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    environment = old_python()
    if environment is None:
        pytest.skip("Autobahn's suite needs Python 2.7, and there is none")
    folder = tmp_path_factory.mktemp("autobahn")
    site = folder / "site"
    install = ["python2.7", "-m", "pip", "install", "-q", "--target", str(site), *SUITE]
    subprocess.run(install, check=True, capture_output=True, env=environment, cwd=folder)
    return Suite(site, environment)


def judge(found: dict[str, dict[str, str]], record: Record) -> None:
    """No case has failed, and none is worse than with the peer."""
    peers = found["websockets"]
    for agent, cases in found.items():
        assert cases.keys() == peers.keys()
        counted = Counter(cases.values())
        record(agent, ", ".join(f"{many} {kind}" for kind, many in sorted(counted.items())))
    ours = [(agent, found[agent]) for agent in SERVERS if agent != "websockets"]
    worse = [
        (agent, case, how)
        for agent, cases in ours
        for case, how in cases.items()
        if how == "FAILED" or (how not in GOOD and peers[case] in GOOD)
    ]
    assert not worse, worse


def test_no_case_is_worse_than_with_websockets(
    suite: Suite, tmp_path: Path, record_property: Record
) -> None:
    judge(suite.run(FRAMES, tmp_path), record_property)


@pytest.mark.parametrize("part", COMPRESSED)
def test_no_compressed_case_is_worse_than_with_websockets(
    part: str, suite: Suite, share: float, tmp_path: Path, record_property: Record
) -> None:
    messages = max(20, min(MESSAGES, round(share * A_SECOND)))
    record_property("messages a case", messages)
    judge(suite.run([f"{part}.*"], tmp_path, messages), record_property)
