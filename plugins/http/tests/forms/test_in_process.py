"""What can be measured and cancelled only without a server in between."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest

import covet_http as http
from covet_kernel.testing import cancel_at_every_await

PIECE = b"x" * 65_536


@http.post("/form")
async def form(
    a: Annotated[str, http.Form()] = "",
    b: Annotated[list[str] | None, http.Form()] = None,
    f: list[http.Upload] | None = None,
) -> int:
    size = 0
    for each in f or []:
        async for piece in each:
            size += len(piece)
    return size


@http.post("/parts")
async def parts(parts: http.Parts) -> int:
    size = 0
    async for part in parts:
        async for piece in part:
            size += len(piece)
    return size


def repeated(head: bytes, piece: bytes, times: int, tail: bytes = b"") -> Iterator[bytes]:
    yield head
    for _ in range(times):
        yield piece
    yield tail


async def test_memory_stays_flat_whatever_is_sent(
    forms: Any, in_process_service: Any, tmp_path: Path
) -> None:
    # bad input 46, 48: up to 20 MB of each
    content_type = forms.headers["Content-Type"]
    tail = b"\r\n" + forms.end()
    text, file = forms.part("b", b""), forms.part("f", b"", "")
    config = {"directory": str(tmp_path), "max_file_bytes": 30_000_000}
    async with in_process_service(__name__, forms=config) as service:
        for path, body, status in [
            ("/form", repeated(forms.part("a", b"")[:-2], PIECE, 300, tail), 413),
            ("/form", repeated(forms.part("f", b"", "f")[:-2], PIECE, 300, tail), 200),
            ("/parts", repeated(forms.part("f", b"", "f")[:-2], PIECE, 300, tail), 200),
            ("/form", repeated(b"", PIECE, 300), 400),
            ("/form", repeated(forms.end(), PIECE, 300), 400),
            ("/form", repeated(b"", text * (65_536 // len(text)), 300), 413),
            ("/parts", repeated(b"", text * (65_536 // len(text)), 300), 413),
            ("/form", repeated(b"", file * (65_536 // len(file)), 300), 413),
            ("/parts", repeated(b"", file * (65_536 // len(file)), 300), 413),
            ("/form", repeated(b"", b"\r\n" * 32_768, 300), 400),
        ]:
            tracemalloc.start()
            try:
                assert await service.post(path, content_type, body) == status
                assert tracemalloc.get_traced_memory()[1] < 3_000_000
            finally:
                tracemalloc.stop()
        body = repeated(b"", b"b=&" * 20_000, 300)
        assert await service.post("/form", forms.urlencoded["Content-Type"], body) == 413
    assert os.listdir(tmp_path) == []


async def test_servers_that_do_not_tell_when_a_client_leaves(
    forms: Any, in_process_service: Any
) -> None:
    """Somebody else then waits for that with the same `receive`."""
    content_type = forms.headers["Content-Type"]
    begin, tail = forms.part("f", b"", "f")[:-2], b"\r\n" + forms.end()
    async with in_process_service(__name__) as service:
        with anyio.fail_after(10):
            for path in ("/form", "/parts"):
                for times, end, status in [(20, tail, 200), (20, b"\r\n--", 400), (0, tail, 200)]:
                    body = repeated(begin, PIECE, times, end)
                    assert await service.post(path, content_type, body, tells=False) == status


@pytest.mark.parametrize("path", ["/form", "/parts"])
async def test_cancelled_at_every_await(
    forms: Any, in_process_service: Any, tmp_path: Path, path: str
) -> None:
    piece = b"x" * 100_000
    begin = forms.part("f", b"", "f")[:-2]
    more = b"\r\n" + begin
    opened = []

    def body() -> Iterator[bytes]:
        yield from (begin, piece, piece, piece, more, piece, b"\r\n" + forms.end())
        opened.append(len(forms.open_files(tmp_path)))

    async def check() -> None:
        assert forms.open_files(tmp_path) == []
        assert os.listdir(tmp_path) == []

    config = {"directory": str(tmp_path), "spool_bytes": 50_000}
    async with in_process_service(__name__, forms=config) as service:
        with anyio.fail_after(60):
            awaits = await cancel_at_every_await(
                lambda: service.post(path, forms.headers["Content-Type"], body()), check=check
            )
    assert awaits >= 7
    assert opened[-1] == (2 if path == "/form" else 0)
