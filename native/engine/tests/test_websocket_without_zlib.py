"""WebSockets in a process that has no zlib, and the same in one that has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

SHIM = Path(__file__).parent / "c" / "no_zlib.c"
# What is said is long enough to be compressed.
TALK = """
import anyio
from test_websocket_wire import echoing
from websocket_client import Client, protocol

async def talk():
    async with echoing() as listener:
        client = Client(listener.connect(), protocol(deflate=True))
        assert (await client.open()).status_code == 101
        said = "said again and again " * 500
        await client.send(said)
        assert await client.receive() == said
        await client.close()
        await listener.stop()
        print(client.response.headers.get("sec-websocket-extensions", "none"))

anyio.run(talk, backend="asyncio")
anyio.run(talk, backend="trio")
"""


@pytest.fixture(scope="module")
def no_zlib(tmp_path_factory: pytest.TempPathFactory) -> str:
    library = tmp_path_factory.mktemp("no_zlib") / "no_zlib.so"
    command = ["cc", "-std=c11", "-shared", "-fPIC", "-O1", "-o", library, SHIM, "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return str(library)


def negotiated(**environment: str) -> list[str]:
    """What a process answers to clients that offer compression, on either event loop, once they have talked."""
    done = subprocess.run(
        [sys.executable, "-c", TALK],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_without_zlib_nothing_is_compressed(no_zlib: str) -> None:
    assert negotiated(LD_PRELOAD=no_zlib) == ["none", "none"]


def test_with_zlib_it_is() -> None:
    """So that it is the library, and nothing else, that the other process lacks."""
    answers = negotiated()
    assert len(answers) == 2
    assert all(each.startswith("permessage-deflate") for each in answers)
