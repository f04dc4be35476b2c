"""Autobahn's cases of WebSocket for the engine and for the server of `websockets`, side by side: no case
ends worse for the engine.

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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SUITE = "autobahntestsuite==25.10.1"
CASES = [*(f"{part}.*" for part in (1, 2, 3, 4, 5, 6, 7, 10)),
         "9.1.1", "9.2.1", "9.3.1", "9.4.1", "9.7.1", "12.1.1", "12.1.2", "12.1.3", "12.2.3",
         *(f"13.{part}.1" for part in range(1, 8))]  # fmt: skip
# Whether what came before a broken frame is answered before the end is a matter of when bytes arrive.
GOOD = ("OK", "INFORMATIONAL", "NON-STRICT")

ENGINE = """
import socket, sys, anyio
from covet_engine import EngineConfig, EngineServer
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
    async with EngineServer(EngineConfig()).listen([bound], ServerOptions()) as listener:
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
RUN = """
import site, sys
site.addsitedir(sys.argv[1])
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


def test_no_case_is_worse_than_with_websockets(
    tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    environment = old_python()
    if environment is None:
        pytest.skip("Autobahn's suite needs Python 2.7, and there is none")
    site = tmp_path / "site"
    install = ["python2.7", "-m", "pip", "install", "-q", "--target", str(site), SUITE]
    subprocess.run(install, check=True, capture_output=True, env=environment, cwd=tmp_path)
    with serving(ENGINE) as ours, serving(PEER) as peers:
        servers = [
            {"agent": agent, "url": f"ws://127.0.0.1:{port}"}
            for agent, port in (("engine", ours), ("websockets", peers))
        ]
        specification = {
            "outdir": str(tmp_path / "reports"), "servers": servers, "cases": CASES,
            "exclude-cases": [], "exclude-agent-cases": {},
        }  # fmt: skip
        (tmp_path / "spec.json").write_text(json.dumps(specification))
        (tmp_path / "run.py").write_text(RUN)
        command = ["python2.7", "run.py", str(site), "spec.json"]
        subprocess.run(command, check=True, capture_output=True, env=environment, cwd=tmp_path)
    found = json.loads((tmp_path / "reports" / "index.json").read_text())
    ours_, theirs = found["engine"], found["websockets"]
    for agent in found:
        counted = Counter(each["behavior"] for each in found[agent].values())
        record_property(agent, ", ".join(f"{many} {kind}" for kind, many in counted.items()))
    worse = [
        case
        for case, said in ours_.items()
        if said["behavior"] not in GOOD and theirs[case]["behavior"] in GOOD
    ]
    assert not worse, worse
    assert not [case for case, said in ours_.items() if said["behavior"] == "FAILED"]
