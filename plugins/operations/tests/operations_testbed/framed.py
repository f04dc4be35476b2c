"""A framed TCP transport on real sockets: many calls at once over one connection."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import count
from typing import Any, ClassVar, TypeVar

import anyio
from anyio.abc import ByteStream, SocketStream, TaskGroup
from operations_testbed.client import Refused, bearer, dumps
from operations_testbed.framing import Unpacker, pack

from covet_kernel.contracts import Call, Credentials, Operation
from covet_operations import (
    Codec,
    Endpoint,
    Kind,
    OperationError,
    Pipeline,
    Signature,
    TransportBinding,
    mark,
)

F = TypeVar("F", bound=Callable[..., Any])


class Framed(TransportBinding):
    kinds: ClassVar[frozenset[Kind]] = frozenset(
        {"unary", "server_stream", "client_stream", "bidi"}
    )


def framed(name: str) -> Callable[[F], F]:
    return mark(Framed(protocol="framed", address=name))


class FrameCall(Call):
    __slots__ = ("connection", "frame", "items", "number")

    def __init__(self, endpoint: Endpoint[Any], frame: Any, connection: _Connection) -> None:
        super().__init__(endpoint.operation, endpoint.binding)
        self.frame, self.connection, self.number = frame, connection, frame["id"]
        self.items = anyio.create_memory_object_stream[Any](100)
        if frame.get("timeout") is not None:
            self.deadline = anyio.current_time() + frame["timeout"]

    def credentials(self) -> Credentials | None:
        return bearer(self.frame.get("token"))

    def record(self) -> Any:
        return self.frame["data"]

    async def incoming(self) -> AsyncIterator[Any]:
        async for item in self.items[1]:
            yield item

    async def send(self, item: bytes) -> None:
        await self.connection.send({"id": self.number, "item": json.loads(item)})


def codec(operation: Operation, signature: Signature, binding: Framed) -> Codec[FrameCall]:
    return Codec(document=FrameCall.record)


class _Connection:
    """One client's socket on the server."""

    def __init__(self, server: FramedServer, stream: ByteStream) -> None:
        self._server, self._stream = server, stream
        self._sending = anyio.Lock()
        self._calls: dict[int, tuple[Endpoint[Any], FrameCall]] = {}

    async def send(self, document: Any) -> None:
        async with self._sending:
            await self._stream.send(pack(dumps(document)))

    async def run(self) -> None:
        connection = self._server.pipeline.connection(self._server.serving)
        async with connection as providers, anyio.create_task_group() as tasks:
            with suppress(anyio.BrokenResourceError):
                await self._read(tasks, providers)
            for endpoint, call in self._calls.values():
                endpoint.disconnect(call)

    async def _read(self, tasks: TaskGroup, providers: Any) -> None:
        frames = Unpacker()
        async for data in self._stream:
            for payload in frames.feed(data):
                frame = json.loads(payload)
                known = self._calls.get(frame["id"])
                if known is None and "op" in frame:
                    endpoint = self._server.endpoints[frame["op"]]
                    call = FrameCall(endpoint, frame, self)
                    self._calls[frame["id"]] = endpoint, call
                    tasks.start_soon(self._call, endpoint, call, providers)
                elif known is not None and "item" in frame:
                    known[1].items[0].send_nowait(frame["item"])
                elif known is not None and frame.get("end"):
                    known[1].items[0].close()
                elif known is not None:
                    known[0].disconnect(known[1])

    async def _call(self, endpoint: Endpoint[Any], call: FrameCall, providers: Any) -> None:
        try:
            body = await endpoint.run(call, connection=providers)
            answer = {"id": call.number, "body": json.loads(body) if body else None}
        except OperationError as error:
            answer = {"id": call.number, "error": error.describe()}
        finally:
            del self._calls[call.number]
            for each in call.items:
                each.close()
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self.send(answer)


class FramedServer:
    def __init__(self, pipeline: Pipeline, serving: Any) -> None:
        self.pipeline, self.serving = pipeline, serving
        self.endpoints = {
            each.binding.address: each for each in pipeline.compile(serving, Framed, codec)
        }

    async def handle(self, stream: SocketStream) -> None:
        async with stream:
            await _Connection(self, stream).run()


class FramedClient:
    """One connection; answers are told apart by their number."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._numbers = count()
        self._waiting: dict[int, Any] = {}

    async def read(self) -> None:
        frames = Unpacker()
        try:
            async for data in self._stream:
                for payload in frames.feed(data):
                    frame = json.loads(payload)
                    self._waiting[frame["id"]].send_nowait(frame)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass

    async def write(self, document: Any) -> None:
        await self._stream.send(pack(dumps(document)))

    @asynccontextmanager
    async def _sent(
        self, name: str, data: Any, token: str, timeout: float | None
    ) -> AsyncIterator[_Answers]:
        number = next(self._numbers)
        put, answers = anyio.create_memory_object_stream[Any](100)
        self._waiting[number] = put
        async with put, answers:
            await self.write(
                {"id": number, "op": name, "data": data, "token": token, "timeout": timeout}
            )
            yield _Answers(self, number, answers)

    async def call(
        self, name: str, data: dict[str, Any], *, token: str = "", timeout: float | None = None
    ) -> Any:
        async with self._sent(name, data, token, timeout) as answers:
            return await answers.answer()

    async def upload(
        self, name: str, items: Sequence[Any], *, token: str = "", timeout: float | None = None
    ) -> Any:
        async with self._sent(name, {}, token, timeout) as answers:
            for item in items:
                await self.write({"id": answers.number, "item": item})
            await self.write({"id": answers.number, "end": True})
            return await answers.answer()

    @asynccontextmanager
    async def stream(
        self, name: str, data: dict[str, Any], *, token: str = "", timeout: float | None = None
    ) -> AsyncIterator[AsyncIterator[Any]]:
        async with self._sent(name, data, token, timeout) as answers:
            async with aclosing(answers.items()) as items:
                yield items
            await answers.cancel()
            await answers.drain()

    @asynccontextmanager
    async def abandoned(
        self, name: str, data: dict[str, Any], *, token: str = ""
    ) -> AsyncIterator[_Answers]:
        async with (
            self._sent(name, data, token, None) as answers,
            anyio.create_task_group() as tasks,
        ):
            answers.tasks = tasks
            yield answers
            try:
                answers.result = await answers.answer()
            except Refused as refused:
                answers.result = refused


class _Answers:
    tasks: TaskGroup

    def __init__(self, client: FramedClient, number: int, answers: Any) -> None:
        self._client, self.number, self._answers = client, number, answers
        self._ended = False
        self.result: Any = None

    def leave(self) -> None:
        self.tasks.start_soon(self.cancel)

    async def cancel(self) -> None:
        if not self._ended:
            await self._client.write({"id": self.number, "cancel": True})

    async def drain(self) -> None:
        while not self._ended:
            self._ended = "item" not in await self._answers.receive()

    async def items(self) -> AsyncGenerator[Any, None]:
        while True:
            frame = await self._answers.receive()
            self._ended = "item" not in frame
            if "error" in frame:
                raise Refused("error", frame["error"])
            body = frame.get("item", frame.get("body"))
            if body is not None:
                yield body
            if self._ended:
                return

    async def answer(self) -> Any:
        (item,) = [item async for item in self.items()]
        return item
