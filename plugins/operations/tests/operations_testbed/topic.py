"""An in-memory topic: each message is an input record; answers go to a reply queue.

One consumer per topic takes one message after another in one task, so it runs them in a `Lane`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import count
from typing import Any, ClassVar, TypeVar

import anyio
from anyio.abc import TaskGroup
from operations_testbed.client import Refused, bearer, dumps

from covet_kernel.contracts import Call, Credentials, Operation
from covet_operations import (
    Codec,
    Endpoint,
    Kind,
    Lane,
    OperationError,
    Pipeline,
    Signature,
    TransportBinding,
    mark,
)

F = TypeVar("F", bound=Callable[..., Any])


class Topic(TransportBinding):
    kinds: ClassVar[frozenset[Kind]] = frozenset({"unary", "server_stream", "client_stream"})
    at_least_once: ClassVar[bool] = True


def topic(name: str) -> Callable[[F], F]:
    return mark(Topic(protocol="topic", address=name))


class Delivery(Call):
    __slots__ = ("message", "queue", "replies")

    def __init__(self, endpoint: Endpoint[Any], message: Any, queue: Any, replies: Any) -> None:
        super().__init__(endpoint.operation, endpoint.binding)
        self.message, self.queue, self.replies = message, queue, replies
        if message["timeout"] is not None:
            self.deadline = anyio.current_time() + message["timeout"]

    def credentials(self) -> Credentials | None:
        return bearer(self.message["token"])

    def document(self) -> bytes:
        body: bytes = self.message["body"]
        return body

    async def incoming(self) -> AsyncIterator[bytes]:
        async for message in self.queue:
            if message["body"] is None:
                return
            yield message["body"]

    async def send(self, item: bytes) -> None:
        await self.replies.send({"item": item})


def codec(operation: Operation, signature: Signature, binding: Topic) -> Codec[Delivery]:
    return Codec(document=Delivery.document)


class Topics:
    """The consumers and their client."""

    def __init__(self, pipeline: Pipeline, serving: Any, tasks: TaskGroup) -> None:
        self._queues: dict[str, Any] = {}
        self._calls: dict[int, tuple[Endpoint[Any], Call]] = {}
        self._streams: list[Any] = []
        self._numbers = count()
        for endpoint in pipeline.compile(serving, Topic, codec):
            queue, messages = self._pipe(100)
            self._queues[endpoint.operation.name] = queue
            tasks.start_soon(self._consume, endpoint, messages)

    def _pipe(self, size: float) -> Any:
        pipe = anyio.create_memory_object_stream[Any](size)
        self._streams += pipe
        return pipe

    def close(self) -> None:
        for each in self._streams:
            each.close()

    async def _consume(self, endpoint: Endpoint[Any], messages: Any) -> None:
        async with Lane() as lane:
            async for message in messages:
                replies = message["replies"]
                call = Delivery(endpoint, message, messages, replies)
                self._calls[message["number"]] = endpoint, call
                try:
                    body = await lane.run(endpoint, call)
                    reply: dict[str, Any] = {"body": body}
                except OperationError as error:
                    reply = {"error": error.describe()}
                del self._calls[message["number"]]
                await replies.send(reply)

    def _publish(
        self, name: str, parts: Sequence[bytes | None], token: str, timeout: float | None
    ) -> _Replies:
        number = next(self._numbers)
        out, replies = self._pipe(0)
        for part in parts:
            self._queues[f"shop.{name}"].send_nowait(
                {"body": part, "token": token, "timeout": timeout, "number": number, "replies": out}
            )
        return _Replies(self, number, replies)

    def cancel(self, number: int) -> None:
        if number in self._calls:
            endpoint, call = self._calls[number]
            endpoint.disconnect(call)

    async def call(
        self, name: str, data: dict[str, Any], *, token: str = "", timeout: float | None = None
    ) -> Any:
        return await self._publish(name, [dumps(data)], token, timeout).answer()

    async def upload(
        self, name: str, items: Sequence[Any], *, token: str = "", timeout: float | None = None
    ) -> Any:
        parts = [b"{}", *(dumps(item) for item in items), None]
        return await self._publish(name, parts, token, timeout).answer()

    @asynccontextmanager
    async def stream(
        self, name: str, data: dict[str, Any], *, token: str = "", timeout: float | None = None
    ) -> AsyncIterator[AsyncIterator[Any]]:
        replies = self._publish(name, [dumps(data)], token, timeout)
        async with aclosing(replies.items()) as items:
            yield items
        replies.leave()
        await replies.drain()

    @asynccontextmanager
    async def abandoned(
        self, name: str, data: dict[str, Any], *, token: str = ""
    ) -> AsyncIterator[_Replies]:
        replies = self._publish(name, [dumps(data)], token, None)
        yield replies
        try:
            replies.result = await replies.answer()
        except Refused as refused:
            replies.result = refused


class _Replies:
    def __init__(self, topics: Topics, number: int, replies: Any) -> None:
        self._topics, self._number, self._replies = topics, number, replies
        self._ended = False
        self.result: Any = None

    def leave(self) -> None:
        self._topics.cancel(self._number)

    async def drain(self) -> None:
        while not self._ended:
            reply = await self._replies.receive()
            self._ended = "item" not in reply

    async def items(self) -> AsyncGenerator[Any, None]:
        while True:
            reply = await self._replies.receive()
            self._ended = "item" not in reply
            if "error" in reply:
                raise Refused("nack", reply["error"])
            body = reply.get("item", reply.get("body"))
            if body is not None:
                yield json.loads(body)
            if self._ended:
                return

    async def answer(self) -> Any:
        (item,) = [item async for item in self.items()]
        return item
