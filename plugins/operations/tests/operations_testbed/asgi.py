"""An ASGI-shaped transport without a server: the smallest HTTP that shows what HTTP needs."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qs, urlencode

import anyio
from operations_testbed.client import Refused, bearer, dumps

from covet_kernel.contracts import Call, Credentials, Operation
from covet_operations import (
    Codec,
    Endpoint,
    ErrorKind,
    Kind,
    OperationError,
    Pipeline,
    Signature,
    TransportBinding,
    mark,
)

F = TypeVar("F", bound=Callable[..., Any])
STATUS = {
    ErrorKind.INVALID: 422, ErrorKind.UNAUTHENTICATED: 401, ErrorKind.FORBIDDEN: 403,
    ErrorKind.NOT_FOUND: 404, ErrorKind.CONFLICT: 409, ErrorKind.DEADLINE_EXCEEDED: 504,
    ErrorKind.CANCELLED: 499, ErrorKind.UNAVAILABLE: 503, ErrorKind.INTERNAL: 500,
    ErrorKind.RATE_LIMITED: 429,
}  # fmt: skip


class Request(Call):
    __slots__ = ("_started", "at", "complete", "path", "query", "receive", "respond", "scope_")

    def __init__(
        self, endpoint: Endpoint[Any], scope: Any, receive: Any, respond: Any, path: Any
    ) -> None:
        super().__init__(endpoint.operation, endpoint.binding)
        self.scope_, self.receive, self.respond, self.path = scope, receive, respond, path
        self.query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
        self.complete = anyio.Event()
        self._started = False
        wanted = self.metadata("x-timeout")
        if wanted is not None:
            self.deadline = anyio.current_time() + float(wanted)

    def metadata(self, name: str) -> str | None:
        value: str | None = self.scope_["headers"].get(name)
        return value

    def credentials(self) -> Credentials | None:
        return bearer((self.metadata("authorization") or "").removeprefix("Bearer "))

    async def read(self) -> bytes:
        return b"".join([part async for part in self.parts()])

    async def parts(self) -> AsyncGenerator[bytes, None]:
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                self.complete.set()
                return
            yield message["body"]
            if not message["more_body"]:
                self.complete.set()
                return

    async def incoming(self) -> AsyncIterator[bytes]:
        async with aclosing(self.parts()) as parts:
            async for part in parts:
                if part:
                    yield part

    async def gone(self) -> None:
        await self.complete.wait()
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def send(self, item: bytes) -> None:
        await self.start(200)
        await self.respond({"type": "http.response.body", "body": item + b"\n", "more_body": True})

    async def start(self, status: int) -> None:
        if not self._started:
            self._started = True
            await self.respond({"type": "http.response.start", "status": status})

    async def finish(self, status: int, body: bytes) -> None:
        await self.start(status)
        await self.respond({"type": "http.response.body", "body": body, "more_body": False})

    async def fail(self, error: OperationError) -> None:
        if self._started:
            await self.respond({"type": "abort", "error": error.describe()})
        else:
            await self.finish(STATUS[error.kind], dumps(error.describe()))


class Route(TransportBinding):
    method: str
    path: str
    kinds: ClassVar[frozenset[Kind]] = frozenset({"unary", "server_stream", "client_stream"})
    call_type: ClassVar[type[Call]] = Request

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(re.findall(r"{(\w+)}", self.path))

    def check(self, operation: Operation) -> tuple[str, ...]:
        if self.method == "GET" and operation.effect != "read":
            return ("GET must not change anything.",)
        return ()

    def check_signature(self, signature: Signature) -> tuple[str, ...]:
        known = {each.name for each in signature.inputs}
        return tuple(
            f"the path names {name!r}, which is no input."
            for name in self.names
            if name not in known
        )


def route(method: str, path: str) -> Callable[[F], F]:
    return mark(Route(protocol="http", address=f"{method} {path}", method=method, path=path))


def codec(operation: Operation, signature: Signature, binding: Route) -> Codec[Request]:
    def from_path(name: str) -> Callable[[Request], str]:
        return lambda request: str(request.path[name])

    def from_query(name: str) -> Callable[[Request], list[str] | None]:
        return lambda request: request.query.get(name)

    text: dict[str, Any] = {name: from_path(name) for name in binding.names}
    where = dict.fromkeys(binding.names, "path")
    if binding.method == "GET":
        for each in signature.inputs:
            if each.name not in text:
                text[each.name], where[each.name] = from_query(each.name), "query"
    document = Request.read if binding.method != "GET" else None
    return Codec(text=text, text_location=where, document=document, location=("body",))


class Asgi:
    """The application and its client."""

    def __init__(self, pipeline: Pipeline, serving: Any) -> None:
        self.routes = [
            (each, re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", each.binding.path) + "$"))
            for each in pipeline.compile(serving, Route, codec)
        ]

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        respond: Callable[[Any], Awaitable[None]],
    ) -> None:
        for endpoint, pattern in self.routes:
            match = pattern.match(scope["path"])
            if match and endpoint.binding.method == scope["method"]:
                break
        else:
            raise LookupError(scope["path"])
        request = Request(endpoint, scope, receive, respond, match.groupdict())
        if request.binding.method == "GET":  # type: ignore[attr-defined]
            request.complete.set()
        try:
            body = await endpoint.run(request, watch=request.gone)
        except OperationError as error:
            await request.fail(error)
        else:
            await request.finish(200, body or b"")

    def _scope(
        self, name: str, data: dict[str, Any], token: str, timeout: float | None
    ) -> tuple[Any, bytes]:
        endpoint = next(each for each, _ in self.routes if each.operation.name == f"shop.{name}")
        rest = dict(data)
        path = re.sub(r"{(\w+)}", lambda found: str(rest.pop(found[1])), endpoint.binding.path)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if timeout is not None:
            headers["x-timeout"] = str(timeout)
        get = endpoint.binding.method == "GET"
        query = urlencode(rest, doseq=True).encode() if get else b""
        scope = {
            "method": endpoint.binding.method,
            "path": path,
            "query_string": query,
            "headers": headers,
        }
        return scope, b"" if get else dumps(rest)

    @asynccontextmanager
    async def _exchange(self, scope: Any, parts: Sequence[bytes]) -> AsyncIterator[_Exchange]:
        to_app, from_client = anyio.create_memory_object_stream[Any](100)
        to_client, from_app = anyio.create_memory_object_stream[Any](0)
        for index, part in enumerate(parts):
            to_app.send_nowait(
                {"type": "http.request", "body": part, "more_body": index < len(parts) - 1}
            )
        async with from_client, from_app, to_app, anyio.create_task_group() as tasks:

            async def serve() -> None:
                async with to_client:
                    await self(scope, from_client.receive, to_client.send)

            tasks.start_soon(serve)
            exchange = _Exchange(to_app, from_app)
            failure: Refused | None = None
            try:
                yield exchange
            except Refused as refused:
                failure = refused
            exchange.leave()
            await exchange.drain()
        if failure is not None:
            raise failure

    async def _answer(self, scope: Any, parts: Sequence[bytes]) -> Any:
        async with self._exchange(scope, parts) as exchange:
            return await exchange.answer()

    async def call(
        self, name: str, data: dict[str, Any], *, token: str = "", timeout: float | None = None
    ) -> Any:
        scope, body = self._scope(name, data, token, timeout)
        return await self._answer(scope, [body])

    async def upload(
        self, name: str, items: Sequence[Any], *, token: str = "", timeout: float | None = None
    ) -> Any:
        scope, _ = self._scope(name, {}, token, timeout)
        return await self._answer(scope, [*(dumps(item) for item in items), b""])

    @asynccontextmanager
    async def stream(
        self, name: str, data: dict[str, Any], *, token: str = "", timeout: float | None = None
    ) -> AsyncIterator[AsyncIterator[Any]]:
        scope, body = self._scope(name, data, token, timeout)
        async with (
            self._exchange(scope, [body]) as exchange,
            aclosing(exchange.items()) as items,
        ):
            yield items

    @asynccontextmanager
    async def abandoned(
        self, name: str, data: dict[str, Any], *, token: str = ""
    ) -> AsyncIterator[_Exchange]:
        scope, body = self._scope(name, data, token, None)
        async with self._exchange(scope, [body]) as exchange:
            yield exchange
            try:
                exchange.result = await exchange.answer()
            except Refused as refused:
                exchange.result = refused


class _Exchange:
    def __init__(self, requests: Any, responses: Any) -> None:
        self._requests, self._responses = requests, responses
        self.result: Any = None

    def leave(self) -> None:
        self._requests.send_nowait({"type": "http.disconnect"})

    async def drain(self) -> None:
        async for _ in self._responses:
            pass

    async def items(self) -> AsyncGenerator[Any, None]:
        status = (await self._responses.receive())["status"]
        async for message in self._responses:
            if message["type"] == "abort":
                raise Refused("abort", message["error"])
            if status != 200:
                raise Refused(status, json.loads(message["body"]))
            if message["body"]:
                yield json.loads(message["body"])
            if not message["more_body"]:
                return

    async def answer(self) -> Any:
        (item,) = [item async for item in self.items()]
        return item
