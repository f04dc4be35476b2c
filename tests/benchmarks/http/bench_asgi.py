"""Requests through the bare ASGI boundary: covet, Starlette and FastAPI on the same work.

    python tests/benchmarks/http/bench_asgi.py [--backend asyncio] [--rounds 15] [--calls 1000]

No server and no socket: each application is called with the same scope, receive and send. covet
runs its default configuration, with its limits, deadline and checks on. The rounds of the
applications alternate, so that a busy machine slows all of them; medians and ratios are printed.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Awaitable, Callable
from time import process_time
from typing import Any

import anyio
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import covet_http as http
from covet_http import Http, HttpListener
from covet_kernel import Plugin
from covet_kernel.testing import run_kernel
from covet_operations import Operations, operations_of

Application = Callable[[Any, Any, Any], Awaitable[None]]


class Line(BaseModel):
    book_id: int
    quantity: int
    note: str = ""


class Order(BaseModel):
    customer: str
    lines: list[Line]


class Item(BaseModel):
    id: int
    q: str
    limit: int


ORDER = Order(
    customer="a customer",
    lines=[Line(book_id=n, quantity=n, note="x" * 20) for n in range(16)],
)
BODY = ORDER.model_dump_json().encode()


class Shop(Plugin[None]):
    @http.get("/json")
    async def json(self) -> dict[str, str]:
        return {"message": "hello"}

    @http.get("/items/{id}")
    async def item(self, id: int, q: str = "", limit: int = 10) -> Item:
        return Item(id=id, q=q, limit=limit)

    @http.post("/orders", status=201)
    async def order(self, order: Order) -> Order:
        return order

    def covet_operations(self) -> Any:
        return operations_of(self)


def fastapi() -> Application:
    app = FastAPI()

    @app.get("/json")
    async def json() -> dict[str, str]:
        return {"message": "hello"}

    @app.get("/items/{id}")
    async def item(id: int, q: str = "", limit: int = 10) -> Item:
        return Item(id=id, q=q, limit=limit)

    @app.post("/orders", status_code=201)
    async def order(order: Order) -> Order:
        return order

    @app.get("/text", response_class=PlainTextResponse)
    async def text() -> str:
        return "hello"

    return app


def starlette() -> Application:
    async def json(request: Request) -> JSONResponse:
        return JSONResponse({"message": "hello"})

    async def item(request: Request) -> JSONResponse:
        query = request.query_params
        found = Item(
            id=request.path_params["id"], q=query.get("q", ""), limit=int(query.get("limit", 10))
        )
        return JSONResponse(found.model_dump())

    async def order(request: Request) -> JSONResponse:
        given = Order.model_validate_json(await request.body())
        return JSONResponse(given.model_dump(), status_code=201)

    return Starlette(
        routes=[
            Route("/json", json),
            Route("/items/{id:int}", item),
            Route("/orders", order, methods=["POST"]),
        ]
    )


class Captured:
    """A server that only remembers the application it was given."""

    application: Application

    def listen(self, sockets: Any, options: Any) -> Any:
        return self

    async def __aenter__(self) -> HttpListener:
        return self  # type: ignore[return-value]

    async def __aexit__(self, *exc_info: object) -> None: ...

    def begin(self, application: Any) -> None:
        self.application = application

    async def pause(self) -> None: ...

    async def stop(self) -> None: ...


CAPTURED = Captured()


class Server(Plugin[None]):
    provides = (http.HTTP_SERVER,)

    def covet_lifespan(self, ctx: Any) -> Any:
        from contextlib import asynccontextmanager

        @asynccontextmanager
        async def life() -> Any:
            ctx.provide(http.HTTP_SERVER, CAPTURED)
            yield

        return life()


HEADERS = [
    (b"host", b"localhost:8000"),
    (b"user-agent", b"bench/1.0"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
]
WORK: dict[str, tuple[str, bytes, bytes, bytes]] = {
    "json": ("GET", b"/json", b"", b""),
    "typed parameters": ("GET", b"/items/42", b"q=some%20words&limit=20", b""),
    "validated POST": ("POST", b"/orders", b"", BODY),
}


async def measure(app: Application, work: tuple[str, bytes, bytes, bytes], calls: int) -> float:
    """Microseconds of CPU per call."""
    method, path, query, body = work
    status: list[int] = []
    headers = list(HEADERS)
    if body:
        headers += [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ]
    extensions: dict[str, Any] = {}
    if app is CAPTURED:
        extensions["covet.disconnect"] = {"subscribe": lambda callback: None}
        app = CAPTURED.application

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    began = process_time()
    for _ in range(calls):
        await app(
            {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "http_version": "1.1",
                "method": method,
                "scheme": "http",
                "path": path.decode(),
                "raw_path": path,
                "query_string": query,
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
    assert len(status) == calls
    assert set(status) <= {200, 201}
    return took / calls * 1e6


async def main(rounds: int, calls: int) -> None:
    # Under the name of the server that covet-http asks for.
    classes = {"operations": Operations, "hypercorn": Server, "http": Http, "shop": Shop}
    async with run_kernel(classes, {"http": {"port": 0, "server": "hypercorn"}}):
        await anyio.wait_all_tasks_blocked()
        apps: dict[str, Any] = {"covet": CAPTURED, "starlette": starlette(), "fastapi": fastapi()}
        print(f"{'us of CPU per request':24}" + "".join(f"{name:>12}" for name in apps))
        for title, work in WORK.items():
            times: dict[str, list[float]] = {name: [] for name in apps}
            for _ in range(rounds):
                for name, app in apps.items():
                    times[name].append(await measure(app, work, calls))
            medians = {name: statistics.median(values) for name, values in times.items()}
            print(f"{title:24}" + "".join(f"{value:12.1f}" for value in medians.values()))
            ratios = [f"{value / medians['covet']:11.2f}x" for value in medians.values()]
            print(f"{'  against covet':24}" + "".join(ratios))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "trio"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=1000)
    given = parser.parse_args()
    anyio.run(main, given.rounds, given.calls, backend=given.backend)
