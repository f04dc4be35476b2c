"""Topics of a `Broker` as a transport: a message is a call, the answer goes to a topic it names.

A request is acknowledged once its answer is published. One that was cut off before goes back to
its group, and is delivered again to the next phase or process.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

import anyio
from anyio.abc import TaskStatus
from operations_testbed.client import bearer, dumps
from operations_testbed.framed import Multiplexed
from operations_testbed.topic import Topic

from covet_kernel import Context, Plugin, Serving
from covet_kernel.contracts import BROKER, Broker, Call, Capability, Credentials, Message, Operation
from covet_operations import OPERATIONS, Codec, Endpoint, OperationError, Signature

GROUP = "shop"
WITHDRAWN = "withdrawn"
"""Where callers publish the ``caller`` and ``id`` of calls they gave up."""


class Delivery(Call):
    """One delivered request."""

    __slots__ = ("_broker", "_message")

    def __init__(self, endpoint: Endpoint[Topic], message: Message, broker: Broker) -> None:
        super().__init__(endpoint.operation, endpoint.binding)
        self._message, self._broker = message, broker
        timeout = self.metadata("timeout")
        if timeout is not None:
            self.deadline = anyio.current_time() + float(timeout)

    def metadata(self, name: str) -> str | None:
        return self._message.headers.get(name)

    def credentials(self) -> Credentials | None:
        return bearer(self.metadata("token"))

    def document(self) -> bytes:
        return self._message.body

    async def incoming(self) -> AsyncIterator[bytes]:
        """Items have a topic of their own; nothing is sent there before somebody listens."""
        async with self._broker.subscribe(items_of(self._message.headers)) as items:
            await self.reply({"ready": True})
            async for item in items:
                await item.ack()
                if "end" in item.headers:
                    return
                yield item.body

    async def send(self, item: bytes) -> None:
        await self.reply({"item": json.loads(item)})

    async def reply(self, document: dict[str, Any]) -> None:
        headers = self._message.headers
        body = dumps({"id": int(headers["id"]), **document})
        await self._broker.publish(headers["caller"], body, key=headers["id"])


def items_of(headers: Any) -> str:
    """The topic of one call's items."""
    return f"{headers['caller']}.{headers['id']}"


def codec(operation: Operation, signature: Signature, binding: Topic) -> Codec[Delivery]:
    return Codec(document=Delivery.document)


class TopicsService:
    """Attributes:
    listening: Set once requests of the first phase have their group.
    """

    def __init__(self) -> None:
        self.listening = anyio.Event()


TOPICS: Final = Capability[TopicsService]("topics.service")


class Topics(Plugin[None]):
    """Serves every operation that has a `Topic` binding."""

    requires = (OPERATIONS, BROKER)
    provides = (TOPICS,)
    implies = ("operations",)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._broker = ctx.require(BROKER)
        self._endpoints: tuple[Endpoint[Topic], ...] = ()
        self._calls: dict[str, tuple[Endpoint[Topic], Delivery]] = {}
        pipeline, service = ctx.require(OPERATIONS), TopicsService()

        def compile_all(serving: Serving) -> None:
            self._endpoints = pipeline.compile(serving, Topic, codec)

        async def serve(serving: Serving) -> None:
            async with anyio.create_task_group() as beside:
                await beside.start(self._withdraw)
                async with anyio.create_task_group() as consumers:
                    for endpoint in self._endpoints:
                        await consumers.start(self._consume, endpoint, serving)
                    service.listening.set()
                beside.cancel_scope.cancel()

        ctx.provide(TOPICS, service)
        ctx.compile(compile_all)
        ctx.serve(serve)
        yield

    async def _consume(
        self, endpoint: Endpoint[Topic], serving: Serving, *, task_status: TaskStatus[None]
    ) -> None:
        """Take requests until the phase drains; the subscription outlives them, to acknowledge."""
        async with (
            self._broker.subscribe(endpoint.binding.address, group=GROUP) as messages,
            anyio.create_task_group() as calls,
        ):
            taking = anyio.CancelScope()

            async def stop_taking() -> None:
                await serving.draining.wait()
                taking.cancel()

            calls.start_soon(stop_taking)
            task_status.started()
            with taking:
                async for message in messages:
                    calls.start_soon(self._answer, endpoint, message)

    async def _answer(self, endpoint: Endpoint[Topic], message: Message) -> None:
        call = Delivery(endpoint, message, self._broker)
        name = items_of(message.headers)
        self._calls[name] = endpoint, call
        try:
            body = await endpoint.run(call)
            answer = {"body": json.loads(body) if body else None}
        except OperationError as error:
            answer = {"error": error.describe()}
        finally:
            del self._calls[name]
        await call.reply(answer)
        await message.ack()

    async def _withdraw(self, *, task_status: TaskStatus[None]) -> None:
        async with self._broker.subscribe(WITHDRAWN) as messages:
            task_status.started()
            async for message in messages:
                await message.ack()
                if (known := self._calls.get(message.body.decode())) is not None:
                    endpoint, call = known
                    endpoint.disconnect(call)


class TopicClient(Multiplexed):
    """Publishes requests; answers come to a topic of its own."""

    def __init__(self, broker: Broker) -> None:
        super().__init__()
        self._broker = broker
        self._name = f"caller-{uuid4().hex}"
        self._heard: dict[int, anyio.Event] = {}

    async def read(self, *, task_status: TaskStatus[None]) -> None:
        async with self._broker.subscribe(self._name) as messages:
            task_status.started()
            async for message in messages:
                frame = json.loads(message.body)
                self._heard[frame["id"]].set()
                if "ready" not in frame:
                    self.answered(frame)
                await message.ack()

    async def write(self, document: Any) -> None:
        number = document["id"]
        headers = {"caller": self._name, "id": str(number)}
        if "op" in document:
            self._heard[number] = anyio.Event()
            optional = {name: document.get(name) for name in ("token", "timeout")}
            headers |= {name: str(value) for name, value in optional.items() if value}
            await self._broker.publish(
                ADDRESSES[document["op"]], dumps(document["data"]), headers=headers
            )
        elif "cancel" in document:
            await self._broker.publish(WITHDRAWN, items_of(headers).encode())
        else:
            # Until the call listens, or is refused.
            await self._heard[number].wait()
            if document.get("end"):
                headers["end"] = "true"
            body = dumps(document.get("item"))
            await self._broker.publish(items_of(headers), body, key=str(number), headers=headers)

    @asynccontextmanager
    async def vanishing(
        self, name: str, data: dict[str, Any], *, token: str = "", items: Sequence[Any] = ()
    ) -> AsyncIterator[None]:
        """A call in flight, which the caller withdraws when the block ends."""
        async with self.sent(name, data, token, None) as answers:
            for item in items:
                await self.write({"id": answers.number, "item": item})
            yield
            await answers.cancel()
            await answers.drain()


ADDRESSES = {
    "list_books": "books.list",
    "get_book": "books.get",
    "place_order": "orders.place",
    "watch_stock": "stock.watch",
    "import_books": "books.import",
    "edition": "edition",
}


@asynccontextmanager
async def topic_client(broker: Broker) -> AsyncIterator[TopicClient]:
    async with anyio.create_task_group() as tasks:
        client = TopicClient(broker)
        await tasks.start(client.read)
        yield client
        tasks.cancel_scope.cancel()
