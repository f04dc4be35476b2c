"""Starlette, FastAPI and Django as they are, served by the engine."""

from __future__ import annotations

import contextvars
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from applications import asking, client, serving
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, UploadFile
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from wire import PATIENCE, connected, request

user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


class Seen:
    """What the applications saw, new for each test."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.ticks = 0
        self.inside = anyio.Event()
        self.ended = anyio.Event()


@pytest.fixture
def seen() -> Seen:
    return Seen()


class Ends:
    """Says when the application has returned or raised."""

    def __init__(self, app: Any, seen: Seen) -> None:
        self.app = app
        self.seen = seen

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        finally:
            if scope["type"] == "http":
                self.seen.ended.set()


class Tag(BaseHTTPMiddleware):
    """Sets a context variable, reads the body and adds a field."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        user.set(request.headers.get("x-user", "nobody"))
        size = len(await request.body()) if request.url.path == "/echo" else 0
        response: Response = await call_next(request)
        response.headers["x-tag"] = str(size)
        return response


def starlette(seen: Seen, *middleware: Middleware) -> Starlette:  # noqa: C901
    async def echo(request: Request) -> Response:
        body = await request.body()
        return Response(body, media_type=request.headers.get("content-type"))

    async def count(request: Request) -> Response:
        """Upload and download as streams at once: a line out for each piece in."""

        async def lines() -> AsyncIterator[bytes]:
            total = 0
            async for piece in request.stream():
                total += len(piece)
                if piece:
                    yield b"%d\n" % total

        return StreamingResponse(lines())

    async def sync_stream(request: Request) -> Response:
        return StreamingResponse(str(i) for i in range(100))

    class Ticks:
        """Not a generator: those end when they are collected."""

        def __aiter__(self) -> Ticks:
            return self

        async def __anext__(self) -> bytes:
            await anyio.sleep(0.005)
            seen.ticks += 1
            return b"tick\n"

    async def endless(request: Request) -> Response:
        return StreamingResponse(Ticks())

    async def wait(request: Request) -> Response:
        while not await request.is_disconnected():
            await anyio.sleep(0.005)
        seen.events.append("left")
        seen.ended.set()
        return PlainTextResponse("nobody reads this")

    async def read_late(request: Request) -> Response:
        seen.inside.set()
        try:
            await request.body()
        except ClientDisconnect:
            seen.events.append("incomplete")
            seen.ended.set()
            raise
        return PlainTextResponse("whole")

    async def background(request: Request) -> Response:
        from starlette.background import BackgroundTask

        async def work() -> None:
            seen.events.append("begun")
            await anyio.sleep(0.2)
            seen.events.append(f"done by {user.get()}")

        return PlainTextResponse("accepted", background=BackgroundTask(work))

    async def who(request: Request) -> Response:
        await anyio.sleep(0.001)
        return PlainTextResponse(user.get())

    def threaded(request: Request) -> Response:
        return PlainTextResponse(f"thread of {user.get()}")

    async def fail(request: Request) -> Response:
        raise ValueError("secret")

    async def state(request: Request) -> Response:
        request.state.count += 1
        request.state.shared.append("x")
        return JSONResponse([request.state.count, len(request.state.shared)])

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        seen.events.append("started")
        async with anyio.create_task_group() as tasks:
            yield {"count": 1, "shared": []}
            tasks.cancel_scope.cancel()
        seen.events.append("stopped")

    return Starlette(
        routes=[
            Route("/echo", echo, methods=["GET", "POST", "PUT"]),
            Route("/count", count, methods=["POST"]),
            Route("/sync-stream", sync_stream),
            Route("/endless", endless),
            Route("/wait", wait),
            Route("/late", read_late, methods=["POST"]),
            Route("/background", background),
            Route("/who", who),
            Route("/thread", threaded),
            Route("/fail", fail),
            Route("/state", state),
            Mount("/in", routes=[Route("/{rest:path}", lambda r: PlainTextResponse(str(r.url)))]),
        ],
        middleware=list(middleware),
        lifespan=lifespan,
    )


async def test_starlette_routes_echoes_and_not_found(seen: Seen) -> None:
    async with asking(starlette(seen)) as client:
        found = await client.post("/echo", content=b"abc", headers={"content-type": "text/x"})
        assert (found.status_code, found.text) == (200, "abc")
        assert found.headers["content-type"].startswith("text/x")
        assert (await client.get("/none")).status_code == 404
        assert (await client.delete("/echo")).status_code == 405
        assert (await client.get("/in/a%20b?c=d")).text.endswith("/in/a b?c=d")
        assert (await client.head("/echo")).content == b""
        assert (await client.get("/sync-stream")).text == "".join(map(str, range(100)))
        assert (await client.get("/thread")).text == "thread of nobody"


async def test_the_lifespan_runs_around_everything_and_its_state_is_each_requests_own(
    seen: Seen,
) -> None:
    async with asking(starlette(seen)) as client:
        assert seen.events == ["started"]
        assert (await client.get("/state")).json() == [2, 1]
        assert (await client.get("/state")).json() == [2, 2]
    assert seen.events == ["started", "stopped"]


async def test_a_stream_in_and_a_stream_out_at_once(seen: Seen) -> None:
    async with serving(starlette(seen)) as port, connected(port) as client:
        head = b"POST /count HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        await client.send(head + b"3\r\nabc\r\n")
        got = b""
        while b"3\n" not in got:
            got += await client.receive()
        await client.send(b"4\r\ndefg\r\n")
        while b"7\n" not in got:
            got += await client.receive()
        await client.send(b"0\r\n\r\n")
        while not got.endswith(b"0\r\n\r\n"):
            got += await client.receive()


async def test_an_upload_of_megabytes_passes_through_middleware(seen: Seen) -> None:
    body = b"0123456789abcdef" * (256 << 10)
    async with asking(starlette(seen, Middleware(Tag))) as client:
        found = await client.post("/echo", content=body)
        assert found.content == body
        assert found.headers["x-tag"] == str(len(body))


async def test_compression_middleware(seen: Seen) -> None:
    async with asking(starlette(seen, Middleware(GZipMiddleware))) as client:
        found = await client.post("/echo", content=b"a" * 10_000)
        assert found.headers["content-encoding"] == "gzip"
        assert found.content == b"a" * 10_000


async def test_context_variables_of_concurrent_requests_do_not_mix(seen: Seen) -> None:
    async def ask(asked: Any, name: str, path: str) -> None:
        found = await asked.get(path, headers={"x-user": name})
        assert found.text.endswith(name)

    async with asking(starlette(seen, Middleware(Tag))) as asked:
        async with anyio.create_task_group() as tasks:
            for i in range(30):
                tasks.start_soon(ask, asked, f"user{i}", "/thread" if i % 3 == 0 else "/who")
    assert user.get() == "nobody"


async def test_a_background_task_runs_behind_the_answer(seen: Seen) -> None:
    async with serving(starlette(seen)) as port, connected(port) as client:
        assert (await client.ask("/background")).body == b"accepted"
        # The connection is free for the next request while the task goes on.
        assert (await client.ask("/who")).body == b"nobody"
        assert "done by nobody" not in seen.events
    # Stopping waits for it.
    assert seen.events == ["started", "begun", "done by nobody", "stopped"]


# Starlette's middleware leaves it to the garbage collector, of which trio tells whoever cares.
@pytest.mark.filterwarnings("ignore:Async generator 'starlette:ResourceWarning")
@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_client_that_leaves_ends_a_stream(
    seen: Seen, wrapped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    middleware = [Middleware(Ends, seen)] + [Middleware(Tag)] * wrapped
    async with serving(starlette(seen, *middleware)) as port:
        async with connected(port) as client:
            await client.send(request("/endless"))
            await client.receive()
        with anyio.fail_after(PATIENCE):
            await seen.ended.wait()
        ticks = seen.ticks
        await anyio.sleep(0.05)
        assert seen.ticks == ticks
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_is_disconnected_turns_true(seen: Seen) -> None:
    async with serving(starlette(seen)) as port:
        async with connected(port) as client:
            await client.send(request("/wait"))
            await anyio.sleep(0.02)
        with anyio.fail_after(PATIENCE):
            await seen.ended.wait()
    assert "left" in seen.events


async def test_an_upload_that_breaks_off_is_client_disconnect(seen: Seen) -> None:
    async with serving(starlette(seen)) as port:
        async with connected(port) as client:
            await client.send(
                b"POST /late HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc"
            )
            await seen.inside.wait()
            client.reset()
        with anyio.fail_after(PATIENCE):
            await seen.ended.wait()
    assert "incomplete" in seen.events


async def test_an_unexpected_exception_is_500_without_its_words(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    async with asking(starlette(seen, Middleware(Tag))) as client:
        found = await client.get("/fail")
        assert found.status_code == 500
        assert "secret" not in found.text
        assert (await client.get("/who")).status_code == 200
    assert "ValueError: secret" in caplog.text


# FastAPI.


class Item(BaseModel):
    name: str
    price: float


def fastapi(seen: Seen) -> FastAPI:
    app = FastAPI()

    async def resource() -> AsyncIterator[str]:
        seen.events.append("opened")
        try:
            yield "resource"
        finally:
            seen.events.append("closed")

    @app.get("/items/{number}")
    async def read(number: int, q: str | None = None) -> dict[str, Any]:
        if number == 404:
            raise HTTPException(404, "no such item")
        return {"number": number, "q": q}

    @app.post("/items", status_code=201)
    async def add(item: Item) -> Item:
        return item

    @app.get("/sync")
    def sync(held: str = Depends(resource)) -> str:
        return held

    @app.post("/files")
    async def files(file: UploadFile) -> dict[str, Any]:
        return {"name": file.filename, "size": len(await file.read())}

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> str:
        tasks.add_task(seen.events.append, "in the background")
        return "accepted"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def numbers() -> AsyncIterator[bytes]:
            for number in range(1000):
                yield b"%d," % number

        return StreamingResponse(numbers())

    return app


async def test_fastapi_validates_answers_and_documents(seen: Seen) -> None:
    async with asking(fastapi(seen)) as client:
        assert (await client.get("/items/7?q=x")).json() == {"number": 7, "q": "x"}
        assert (await client.get("/items/seven")).status_code == 422
        assert (await client.get("/items/404")).json() == {"detail": "no such item"}
        item = {"name": "Emma", "price": 7.5}
        found = await client.post("/items", json=item)
        assert (found.status_code, found.json()) == (201, item)
        assert (await client.post("/items", json={"name": 1})).status_code == 422
        assert (await client.post("/items", content=b"{")).status_code == 422
        assert (await client.get("/openapi.json")).json()["openapi"].startswith("3.")
        assert (await client.get("/stream")).text == "".join(f"{i}," for i in range(1000))


async def test_fastapi_dependencies_threads_files_and_background_tasks(seen: Seen) -> None:
    async with asking(fastapi(seen)) as client:
        assert (await client.get("/sync")).json() == "resource"
        assert seen.events == ["opened", "closed"]
        content = b"x" * 300_000
        found = await client.post("/files", files={"file": ("a.txt", content)})
        assert found.json() == {"name": "a.txt", "size": len(content)}
        assert (await client.get("/background")).json() == "accepted"
    assert seen.events[-1] == "in the background"


async def test_many_clients_of_fastapi_at_once(seen: Seen) -> None:
    async def talk(port: int, first: int) -> None:
        async with client(port) as asked:
            for number in range(first, first + 20):
                found = await asked.get(f"/items/{number}", params={"q": str(number)})
                assert found.json() == {"number": number, "q": str(number)}

    async with serving(fastapi(seen)) as port, anyio.create_task_group() as tasks:
        for first in range(0, 200, 20):
            tasks.start_soon(talk, port, first)


# Django, which knows asyncio alone.


@pytest.fixture(scope="module")
def django() -> Any:
    """An application of plain and of async views."""
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            DEBUG=False,
            SECRET_KEY="tests",
            ROOT_URLCONF=__name__,
            ALLOWED_HOSTS=["*"],
            MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
            LOGGING_CONFIG=None,
        )
    import django as package
    from django.core.asgi import get_asgi_application

    package.setup()
    return get_asgi_application()


def _urlpatterns() -> list[Any]:
    from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
    from django.urls import path

    def plain(request: Any, number: int) -> Any:
        return JsonResponse({"number": number, "method": request.method, "query": request.GET})

    async def waiting(request: Any) -> Any:
        await anyio.sleep(0.001)
        return HttpResponse(request.body, content_type="application/octet-stream", status=202)

    async def stream(request: Any) -> Any:
        async def pieces() -> AsyncIterator[bytes]:
            for i in range(10):
                yield b"%d" % i

        return StreamingHttpResponse(pieces())

    return [path("plain/<int:number>", plain), path("waiting", waiting), path("stream", stream)]


def __getattr__(name: str) -> Any:
    # Django asks the module for it, once it has been configured.
    if name == "urlpatterns":
        return _urlpatterns()
    raise AttributeError(name)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_django(django: Any, anyio_backend: str) -> None:
    async with asking(django) as client:
        found = await client.get("/plain/7?a=b")
        assert found.json() == {"number": 7, "method": "GET", "query": {"a": "b"}}
        body = bytes(range(256)) * 500
        found = await client.post("/waiting", content=body)
        assert (found.status_code, found.content) == (202, body)
        assert (await client.get("/stream")).text == "0123456789"
        assert (await client.get("/none")).status_code == 404
        assert json.loads((await client.head("/plain/7")).content or b"null") is None
