"""A framed TCP transport on real sockets: many calls at once over one connection."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import count
from typing import Any, ClassVar, TypeVar

import anyio
from anyio.abc import ByteStream, SocketStream, TaskGroup
from anyio.lowlevel import checkpoint
from operations_testbed.client import Refused, bearer, dumps
from operations_testbed.flights import Flights
from operations_testbed.framing import FrameError, Unpacker, pack

from covet_kernel.contracts import Call, Credentials, Operation
from covet_operations import (
    Codec,
    Endpoint,
    Kind,
    OperationError,
    Signature,
    TransportBinding,
    Unimplemented,
    mark,
)

F = TypeVar("F", bound=Callable[..., Any])
GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError)
PATIENCE = 5.0


class Framed(TransportBinding):
    kinds: ClassVar[frozenset[Kind]] = frozenset(
        {"unary", "server_stream", "client_stream", "bidi"}
    )


def framed(name: str) -> Callable[[F], F]:
    return mark(Framed(protocol="framed", address=name))


class FrameCall(Call):
    __slots__ = ("flight", "frame")

    def __init__(self, endpoint: Endpoint[Any], flight: _Flight) -> None:
        super().__init__(endpoint.operation, endpoint.binding)
        self.flight, self.frame = flight, flight.frame
        if self.frame.get("timeout") is not None:
            self.deadline = anyio.current_time() + self.frame["timeout"]

    def credentials(self) -> Credentials | None:
        return bearer(self.frame.get("token"))

    def record(self) -> Any:
        return self.frame["data"]

    async def incoming(self) -> AsyncIterator[Any]:
        async for item in self.flight.items:
            yield item

    async def send(self, item: bytes) -> None:
        await self.flight.connection.send({"id": self.frame["id"], "item": json.loads(item)})


def codec(operation: Operation, signature: Signature, binding: Framed) -> Codec[FrameCall]:
    return Codec(document=FrameCall.record)


class _Flight:
    """A call as its connection knows it, from its first frame on."""

    def __init__(self, frame: Any, connection: _Connection) -> None:
        self.frame, self.connection = frame, connection
        self.put, self.items = anyio.create_memory_object_stream[Any](100)
        self._found: tuple[Endpoint[Any], FrameCall] | None = None
        self._left = False

    async def run(self, endpoint: Endpoint[Any], flights: Flights) -> Any:
        call = FrameCall(endpoint, self)
        self._found = endpoint, call
        if self._left:
            endpoint.disconnect(call)
        return await flights.run(endpoint, call)

    def leave(self) -> None:
        """The caller is no longer interested."""
        self._left = True
        if self._found is not None:
            endpoint, call = self._found
            endpoint.disconnect(call)

    def close(self) -> None:
        self.put.close()
        self.items.close()


class _Connection:
    """One client's socket on the server."""

    def __init__(self, flights: Flights, stream: ByteStream) -> None:
        self._flights, self._stream = flights, stream
        self._sending = anyio.Lock()
        self._known: dict[int, _Flight] = {}

    async def send(self, document: Any) -> None:
        """Send a frame, whole whatever cancels the call; dropped if the client has gone."""
        # A handler that does nothing but send has to notice that it was cancelled.
        await checkpoint()
        async with self._sending:
            with suppress(*GONE), anyio.move_on_after(PATIENCE, shield=True) as patience:
                await self._stream.send(pack(dumps(document)))
            if patience.cancelled_caught:
                await self._stream.aclose()

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            # Who does not speak frames is not spoken to.
            with suppress(*GONE, FrameError, ValueError, KeyError, TypeError):
                await self._read(tasks)
            for flight in self._known.values():
                flight.leave()

    async def _read(self, tasks: TaskGroup) -> None:
        frames = Unpacker()
        async for data in self._stream:
            for payload in frames.feed(data):
                frame = json.loads(payload)
                known = self._known.get(frame["id"])
                if known is None and "op" in frame:
                    self._known[frame["id"]] = flight = _Flight(frame, self)
                    tasks.start_soon(self._answer, flight)
                elif known is not None and "item" in frame:
                    with suppress(*GONE):
                        await known.put.send(frame["item"])
                elif known is not None and frame.get("end"):
                    known.put.close()
                elif known is not None:
                    known.leave()

    async def _answer(self, flight: _Flight) -> None:
        number = flight.frame["id"]
        async with self._flights.inside() as endpoints:
            try:
                endpoint = endpoints.get(flight.frame["op"])
                if endpoint is None:
                    raise Unimplemented("there is no such operation")
                body = await flight.run(endpoint, self._flights)
                answer = {"id": number, "body": json.loads(body) if body else None}
            except OperationError as error:
                answer = {"id": number, "error": error.describe()}
            finally:
                del self._known[number]
                flight.close()
            await self.send(answer)


async def serve_frames(flights: Flights, stream: SocketStream) -> None:
    """One connection, until the client closes it."""
    async with stream:
        await _Connection(flights, stream).run()


class Multiplexed(ABC):
    """A client whose answers come as frames and are told apart by their number."""

    def __init__(self) -> None:
        self._numbers = count()
        self._waiting: dict[int, Any] = {}

    @abstractmethod
    async def write(self, document: Any) -> None:
        """Send a frame: a call's first, an item, the end of the items, or that it is cancelled."""

    def answered(self, frame: Any) -> None:
        """Hand an answer to who waits for it."""
        self._waiting[frame["id"]].send_nowait(frame)

    @asynccontextmanager
    async def sent(
        self, name: str, data: Any, token: str, timeout: float | None
    ) -> AsyncIterator[Answers]:
        number = next(self._numbers)
        put, answers = anyio.create_memory_object_stream[Any](100)
        self._waiting[number] = put
        async with put, answers:
            await self.write(
                {"id": number, "op": name, "data": data, "token": token, "timeout": timeout}
            )
            yield Answers(self, number, answers)

    async def call(
        self, name: str, data: dict[str, Any], *, token: str = "", timeout: float | None = None
    ) -> Any:
        async with self.sent(name, data, token, timeout) as answers:
            return await answers.answer()

    async def upload(
        self, name: str, items: Sequence[Any], *, token: str = "", timeout: float | None = None
    ) -> Any:
        async with self.sent(name, {}, token, timeout) as answers:
            for item in items:
                await self.write({"id": answers.number, "item": item})
            await self.write({"id": answers.number, "end": True})
            return await answers.answer()

    @asynccontextmanager
    async def stream(
        self, name: str, data: dict[str, Any], *, token: str = "", timeout: float | None = None
    ) -> AsyncIterator[AsyncIterator[Any]]:
        async with self.sent(name, data, token, timeout) as answers:
            async with aclosing(answers.items()) as items:
                yield items
            await answers.cancel()
            await answers.drain()

    @asynccontextmanager
    async def abandoned(
        self, name: str, data: dict[str, Any], *, token: str = ""
    ) -> AsyncIterator[Answers]:
        async with (
            self.sent(name, data, token, None) as answers,
            anyio.create_task_group() as tasks,
        ):
            answers.tasks = tasks
            yield answers
            try:
                answers.result = await answers.answer()
            except Refused as refused:
                answers.result = refused


class FramedClient(Multiplexed):
    """One connection."""

    def __init__(self, stream: SocketStream) -> None:
        super().__init__()
        self._stream = stream
        self._sending = anyio.Lock()

    async def read(self) -> None:
        frames = Unpacker()
        with suppress(*GONE):
            async for data in self._stream:
                for payload in frames.feed(data):
                    self.answered(json.loads(payload))

    async def write(self, document: Any) -> None:
        async with self._sending:
            await self._stream.send(pack(dumps(document)))


class Answers:
    tasks: TaskGroup

    def __init__(self, client: Multiplexed, number: int, answers: Any) -> None:
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
