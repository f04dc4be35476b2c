"""Forms through the bare ASGI boundary: covet, Starlette and FastAPI on the same work.

    python tests/benchmarks/http/bench_forms.py [--backend asyncio] [--rounds 11] [--only upload]

No server and no socket: each application is called with the same scope, receive and send; a body
comes in pieces of 64 KiB, as servers give it. CPU is that of the process with its worker threads,
since large files are written there. covet runs its default configuration, with its limits, deadline
and checks on. The rounds of the applications alternate, so that a busy machine slows all of them;
medians, quartiles and ratios are printed.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from time import process_time
from typing import Annotated, Any
from urllib.parse import urlencode

import anyio
import fastapi
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import covet_http as http
from covet_http import Http
from covet_kernel import Plugin
from covet_kernel.testing import run_kernel
from covet_operations import Operations, operations_of

Application = Callable[[Any, Any, Any], Awaitable[None]]
PIECE = 64 * 1024
BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"


class Address(BaseModel):
    name: str
    street: str
    city: str
    postcode: str
    country: str
    age: int
    newsletter: bool
    discount: float
    note: str
    tags: list[str]


FIELDS: list[tuple[str, str]] = [
    ("name", "Ada Lovelace"),
    ("street", "12 St James's Square"),
    ("city", "London"),
    ("postcode", "SW1Y 4JH"),
    ("country", "United Kingdom"),
    ("age", "36"),
    ("newsletter", "on"),
    ("discount", "0.25"),
    ("note", "Leave it with the neighbours, please. " * 21),
    *(("tags", f"tag {number}") for number in range(4)),
]
FORM = urlencode(FIELDS).encode()
PARTS = b"".join(
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    for name, value in FIELDS
)
END = f"--{BOUNDARY}--\r\n".encode()


def upload(size: int) -> bytes:
    """A form with one field and one file of this size."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="title"\r\n\r\nEmma\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    return head.encode() + content + b"\r\n" + END


MULTIPART = f"multipart/form-data; boundary={BOUNDARY}".encode()
URLENCODED = b"application/x-www-form-urlencoded"
# Title, path, content type, body, calls in a round.
WORK: dict[str, tuple[str, bytes, bytes, int]] = {
    f"urlencoded, {len(FORM)} bytes": ("/form", URLENCODED, FORM, 500),
    f"multipart, {len(PARTS + END)} bytes": ("/form", MULTIPART, PARTS + END, 500),
    "upload, 100 KB": ("/upload", MULTIPART, upload(100_000), 100),
    "upload, 10 MB": ("/upload", MULTIPART, upload(10_000_000), 3),
    "streamed, 10 MB": ("/stream", MULTIPART, upload(10_000_000), 3),
}


class Shop(Plugin[None]):
    @http.post("/form")
    async def form(self, form: Annotated[Address, http.Form()]) -> dict[str, int]:
        return {"age": form.age}

    @http.post("/upload")
    async def upload(self, title: str, file: http.Upload) -> dict[str, int]:
        return {"size": file.size}

    @http.post("/stream")
    async def stream(self, parts: http.Parts) -> dict[str, int]:
        size = 0
        async for part in parts:
            async for piece in part:
                size += len(piece)
        return {"size": size}

    def covet_operations(self) -> Any:
        return operations_of(self)


def fastapi_app() -> Application:
    app = fastapi.FastAPI()

    @app.post("/form")
    async def form(form: Annotated[Address, fastapi.Form()]) -> dict[str, int]:
        return {"age": form.age}

    @app.post("/upload")
    async def upload(
        title: Annotated[str, fastapi.Form()], file: fastapi.UploadFile
    ) -> dict[str, int]:
        return {"size": file.size or 0}

    return app


def starlette_app() -> Application:
    async def form(request: Request) -> JSONResponse:
        async with request.form() as given:
            values: dict[str, Any] = dict(given)
            values["tags"] = given.getlist("tags")
            return JSONResponse({"age": Address.model_validate(values).age})

    async def upload(request: Request) -> JSONResponse:
        async with request.form() as given:
            return JSONResponse({"size": given["file"].size})  # type: ignore[union-attr]

    return Starlette(
        routes=[
            Route("/form", form, methods=["POST"]),
            Route("/upload", upload, methods=["POST"]),
        ]
    )


class Captured:
    """A server that only remembers the application it was given."""

    application: Application

    @asynccontextmanager
    async def listen(self, sockets: Any, options: Any) -> Any:
        yield self

    def begin(self, application: Any) -> None:
        self.application = application

    async def pause(self) -> None: ...

    async def stop(self) -> None: ...


CAPTURED = Captured()


class Server(Plugin[None]):
    provides = (http.HTTP_SERVER,)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Any) -> Any:
        ctx.provide(http.HTTP_SERVER, CAPTURED)
        yield


async def measure(
    app: Application, path: str, content_type: bytes, body: bytes, calls: int
) -> float:
    """Microseconds of CPU per call."""
    status: list[int] = []
    headers = [
        (b"host", b"localhost:8000"),
        (b"user-agent", b"bench/1.0"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip, deflate"),
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
    ]
    extensions: dict[str, Any] = {}
    if app is CAPTURED:
        extensions[http.DISCONNECT] = {"subscribe": lambda callback: None}
        app = CAPTURED.application
    pieces = [body[at : at + PIECE] for at in range(0, len(body), PIECE)]

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    began = process_time()
    for _ in range(calls):
        left = iter(range(len(pieces)))

        async def receive() -> Any:
            at = next(left)  # noqa: B023 - this call's
            more = at + 1 < len(pieces)
            return {"type": "http.request", "body": pieces[at], "more_body": more}

        await app(
            {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "http_version": "1.1",
                "method": "POST",
                "scheme": "http",
                "path": path,
                "raw_path": path.encode(),
                "query_string": b"",
                "root_path": "",
                "headers": headers,
                "client": ("127.0.0.1", 40000),
                "server": ("127.0.0.1", 8000),
                "extensions": extensions,
                "state": {},
            },
            receive,
            send,
        )
    took = process_time() - began
    assert status == [200] * calls, status
    return took / calls * 1e6


async def main(rounds: int, only: str) -> None:
    # Under the name of the server that covet-http asks for.
    classes = {"operations": Operations, "hypercorn": Server, "http": Http, "shop": Shop}
    async with run_kernel(classes, {"http": {"port": 0, "server": "hypercorn"}}):
        await anyio.wait_all_tasks_blocked()
        apps: dict[str, Any] = {
            "covet": CAPTURED,
            "starlette": starlette_app(),
            "fastapi": fastapi_app(),
        }
        print(f"{'us of CPU per request':24}" + "".join(f"{name:>24}" for name in apps))
        for title, (path, content_type, body, calls) in WORK.items():
            if only not in title:
                continue
            rivals = [name for name in apps if name == "covet" or path != "/stream"]
            times: dict[str, list[float]] = {name: [] for name in rivals}
            for number in range(rounds + 1):
                for name in rivals:
                    taken = await measure(apps[name], path, content_type, body, calls)
                    if number:
                        times[name].append(taken)
            print(f"{title:24}" + "".join(_shown(times[name]) for name in rivals))
            middle = {name: statistics.median(values) for name, values in times.items()}
            ratios = [f"{value / middle['covet']:23.2f}x" for value in middle.values()]
            print(f"{'  against covet':24}" + "".join(ratios))


def _shown(values: list[float]) -> str:
    low, _, high = statistics.quantiles(values, n=4)
    return f"{f'{statistics.median(values):.0f} [{low:.0f}, {high:.0f}]':>24}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "trio"])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", default="", help="work whose title has this in it")
    given = parser.parse_args()
    anyio.run(main, given.rounds, given.only, backend=given.backend)
