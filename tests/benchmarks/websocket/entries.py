"""Who takes part, how each is started, and the frames that clients send.

Servers, generator and tables are those of the benchmarks of HTTP.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
sys.path[:0] = [str(HERE.parent / "http"), str(PEERS)]

import servers  # noqa: E402 - it has to be found first
from generator import LOAD_CORE, WARNINGS, Work  # noqa: E402
from servers import Recipe, Server, without  # noqa: E402

__all__ = [
    "PROBE",
    "Echo",
    "Recipe",
    "Server",
    "covet",
    "cpu",
    "echo",
    "floor",
    "frame",
    "handshake",
]
__all__ += ["LOAD_CORE", "socketify", "uvicorn", "websockets"]

PROBE = Work("json", "/json", {"message": "hello"})
_ENVIRONMENT = {"PYTHONPATH": str(PEERS)}
_TEXT, _BINARY = 1, 2


def covet(
    name: str, *, module: str = "covet_room", backend: str = "asyncio", settings: str = ""
) -> Recipe:
    """`covet run` with its default configuration but for the port and ``settings``: lines of TOML."""

    def command(port: int, folder: Path) -> list[str]:
        path = folder / f"{name.replace(' ', '-')}.toml"
        path.write_text(
            f'[app]\nmodules = ["{module}"]\n\n'
            f'[plugins.http]\nport = {port}\nserver = "engine"\n{settings}'
        )
        executable = str(Path(sys.executable).parent / "covet")
        return [executable, "run", "-c", str(path), "--backend", backend]

    missing = without("covet_engine") or (
        "plugins.websocket" in settings and without("covet_websocket")
    )
    return Recipe(name, command, _ENVIRONMENT, missing or "")


def websockets(name: str, *options: str, module: str = "websockets_room") -> Recipe:
    def command(port: int, folder: Path) -> list[str]:
        return [sys.executable, str(PEERS / f"{module}.py"), str(port), *options]

    missing = without("websockets") or ("--uvloop" in options and without("uvloop")) or ""
    return Recipe(name, command, _ENVIRONMENT, missing)


def uvicorn(name: str, application: str) -> Recipe:
    """With what its extra ``standard`` has it choose by itself."""
    needed = ("httptools", "uvloop", "websockets")
    missing = next(filter(None, map(without, needed)), "")
    found = servers.uvicorn(name, application)
    return replace(found, environment=_ENVIRONMENT, missing=found.missing or missing)


def socketify() -> Recipe:
    def command(port: int, folder: Path) -> list[str]:
        return [sys.executable, str(PEERS / "socketify_room.py"), str(port)]

    return Recipe("socketify", command, _ENVIRONMENT, without("socketify"))


def floor(message: bytes) -> Recipe:
    """`floor.c`: the frame of a message, and a bare `send` of it for each member."""
    compiler = shutil.which("gcc") or shutil.which("cc")

    def command(port: int, folder: Path) -> list[str]:
        assert compiler is not None
        program, answer = folder / "broadcast-floor", folder / "broadcast-frame"
        source = str(HERE / "floor.c")
        subprocess.run([compiler, *WARNINGS, source, "-o", str(program)], check=True)
        answer.write_bytes(frame(_TEXT, message))
        return [str(program), str(port), str(answer)]

    return Recipe("floor", command, {}, "" if compiler else "there is no C compiler")


def handshake(path: str, *, deflate: bool = False) -> bytes:
    """What asks for a WebSocket, offering compression as browsers do or not at all."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: bench/1.0\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer if deflate else ''}\r\n"
    ).encode()


def frame(opcode: int, payload: bytes, mask: bytes = b"") -> bytes:
    """A whole message; a client's has a mask."""
    size = len(payload)
    masked = 0x80 if mask else 0
    if size < 126:
        head = bytes([0x80 | opcode, masked | size])
    else:
        assert size < 1 << 16
        head = bytes([0x80 | opcode, masked | 126]) + size.to_bytes(2, "big")
    if mask:
        long = (mask * (size // 4 + 1))[:size]
        payload = bytes(a ^ b for a, b in zip(payload, long, strict=True))
    return head + mask + payload


@dataclass(frozen=True)
class Echo(Work):
    """A message, which comes back.

    Attributes:
        opcode: 1 for text, 2 for bytes.
    """

    payload: bytes = b""
    opcode: int = _TEXT

    @property
    def request(self) -> bytes:
        return frame(self.opcode, self.payload, b"\x37\xfa\x21\x3d")

    @property
    def frame_back(self) -> bytes:
        return frame(self.opcode, self.payload)


def echo(name: str, payload: bytes, *, text: bool = False) -> Echo:
    opcode = _TEXT if text else _BINARY
    return Echo(name, "/echo", None, handshake=handshake("/echo"), payload=payload, opcode=opcode)


def cpu(pids: Sequence[int]) -> float:
    """Seconds of CPU that these processes have taken, to the nanosecond (Linux)."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)
