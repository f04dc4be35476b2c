"""Subscriptions as server-sent events, by the protocol of graphql-sse.

In the mode of distinct connections each operation is a request of its own, whose answer is its events.
In that of a single connection a client reserves a stream (PUT), reads it (GET), begins operations on it
(POST) and ends them (DELETE); the reservation is known to the process that has made it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from functools import partial
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from pydantic_core import from_json, to_json

import covet_http as http
from covet_graphql._config import GraphqlConfig
from covet_graphql._http import Endpoint, asked_by_query
from covet_graphql._request import Answer, Asked, BadRequestError, asked
from covet_graphql._subscriptions import (
    Caller,
    Operations,
    Subscriptions,
    TooManyOperations,
    id_of,
)
from covet_kernel import Serving
from covet_kernel.contracts import Operation
from covet_operations import (
    Conflict,
    NotFound,
    operation,
    operations_of,
)

if TYPE_CHECKING:
    from covet_graphql._service import Service

TOKEN: Final = "x-graphql-event-stream-token"  # noqa: S105 - a header's name
_MOST_UNREAD: Final = 1000
"""Streams that are reserved and not read. Of more the oldest go: whoever means it reads at once."""
_MOST_EARLY: Final = 10
"""Operations that may begin on such a stream."""
_COMPLETE: Final[http.Event[Any]] = http.Event(event="complete", text="")


class NoSuchStream(NotFound):
    """There is no stream of this token."""


class StreamTaken(Conflict):
    """The stream is read by somebody already."""


class OperationKnown(Conflict):
    """The stream has an operation of this id already."""


class _Stream:
    """One reserved stream and the operations on it."""

    def __init__(self, most: int) -> None:
        self.events: MemoryObjectSendStream[http.Event[Any]]
        self.receive: MemoryObjectReceiveStream[http.Event[Any]]
        self.events, self.receive = anyio.create_memory_object_stream[http.Event[Any]](0)
        self.operations = Operations(most)
        self.reserved = anyio.current_time()

    def close(self) -> None:
        """End everything on it."""
        self.operations.stop_all()
        self.events.close()
        self.receive.close()


class EventEndpoint:
    """Where streams of events are taken from.

    Args:
        config: The path, and limits.
        endpoint: Has the service of the present phase.
        subscriptions: Runs operations.
    """

    def __init__(
        self, config: GraphqlConfig, endpoint: Endpoint, subscriptions: Subscriptions
    ) -> None:
        self._config = config
        self._endpoint = endpoint
        self._subscriptions = subscriptions
        self._unread: dict[str, _Stream] = {}
        self._streams: dict[str, _Stream] = {}
        self._reserved: anyio.Event | None = None

    def operations(self) -> Iterator[Operation]:
        """What serves the path."""
        path = self._config.stream_path

        @operation(name="covet_graphql.stream.post", anonymous=True, effect="write")
        @http.post(path, stream="events")
        @http.openapi(hidden=True)
        async def post(request: http.Request) -> AsyncIterator[http.Event[Any]]:
            given = await self._asked(request)
            if request.header(TOKEN.encode()) is None:
                async with aclosing(self._distinct(given, request)) as events:
                    async for event in events:
                        yield event
            else:
                self._begin(await self._endpoint.service(), given, request)
                request.response.status = 202
                request.response.content_type = b""

        @operation(name="covet_graphql.stream.get", anonymous=True, effect="read")
        @http.get(path, stream="events")
        @http.openapi(hidden=True)
        async def get(request: http.Request) -> AsyncIterator[http.Event[Any]]:
            token = _token(request)
            found = (
                self._distinct(_asked_by_query(request), request)
                if token is None
                else self._single(token)
            )
            async with aclosing(found) as events:
                async for event in events:
                    yield event

        @operation(name="covet_graphql.stream.reserve", anonymous=True, effect="idempotent")
        @http.put(path)
        @http.openapi(hidden=True)
        async def reserve(request: http.Request) -> http.Content:
            return self._reserve()

        @operation(name="covet_graphql.stream.stop", anonymous=True, effect="idempotent")
        @http.delete(path)
        @http.openapi(hidden=True)
        async def stop(request: http.Request) -> http.Content:
            self._stop(request)
            # Clients take 200 for success, and nothing else.
            return http.Content("", "text/plain", status=200)

        for each in (post, get, reserve, stop):
            yield from operations_of(each)

    def close(self) -> None:
        """Forget every reservation: the service stops."""
        for each in (self._unread, self._streams):
            while each:
                each.popitem()[1].close()

    async def _asked(self, request: http.Request) -> Asked:
        body = request.json_soon()
        if not isinstance(body, bytes):
            body = await body
        try:
            return asked(from_json(body, allow_inf_nan=False))
        except ValueError:
            raise http.Malformed("the body is no JSON") from None
        except BadRequestError as error:
            raise http.Malformed(str(error)) from None

    async def _distinct(
        self, given: Asked, request: http.Request
    ) -> AsyncGenerator[http.Event[Any], None]:
        """The events of one operation."""
        service = await self._endpoint.service()
        try:
            ready = service.prepare(given)
        except BadRequestError as error:
            yield _next(service.refusal(error))
            yield _COMPLETE
            return
        if request.method == "GET" and not (ready.streams or ready.reads):
            raise http.Malformed("GET is for queries and subscriptions")
        send, receive = anyio.create_memory_object_stream[http.Event[Any]](0)

        async def put(answer: Answer) -> None:
            await send.send(_next(answer))

        async def over() -> None:
            await send.send(_COMPLETE)
            send.close()

        scope = anyio.CancelScope()
        try:
            caller = Caller(request, request.headers)
            self._subscriptions.begin(scope, service, ready, caller, put, over)
            async for event in receive:
                yield event
        finally:
            scope.cancel()
            receive.close()
            send.close()

    def _reserve(self) -> http.Content:
        token = token_urlsafe(24)
        self._unread[token] = _Stream(self._config.max_subscriptions)
        if len(self._unread) > _MOST_UNREAD:
            self._unread.pop(next(iter(self._unread))).close()
        if self._reserved is not None:
            self._reserved.set()
        return http.Content(token, "text/plain", status=201)

    async def run(self, serving: Serving) -> None:
        """End streams that were reserved and are not read in time, until the phase drains."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._forget_unread)
            await serving.draining.wait()
            tasks.cancel_scope.cancel()

    async def _forget_unread(self) -> None:
        while True:
            # They are in the order of their reservation.
            token = next(iter(self._unread), None)
            if token is None:
                self._reserved = anyio.Event()
                await self._reserved.wait()
                continue
            await anyio.sleep_until(self._unread[token].reserved + self._config.init_timeout)
            late = self._unread.pop(token, None)
            if late is not None:
                late.close()

    async def _single(self, token: str) -> AsyncGenerator[http.Event[Any], None]:
        """The events of everything on a reserved stream."""
        stream = self._unread.pop(token, None)
        if stream is None:
            raise StreamTaken if token in self._streams else NoSuchStream
        self._streams[token] = stream
        try:
            yield http.Event(comment="reserved")
            async for event in stream.receive:
                yield event
        finally:
            self._streams.pop(token, None)
            stream.close()

    def _begin(self, service: Service, given: Asked, request: http.Request) -> None:
        """Begin an operation on a reserved stream."""
        token = _token(request)
        stream = self._found(token)
        operations = stream.operations
        name = id_of(given.extensions.get("operationId"))
        if name is None:
            raise http.Malformed("'extensions' has to name an 'operationId'")
        if name in operations:
            raise OperationKnown
        if operations.is_full or (token in self._unread and operations.running >= _MOST_EARLY):
            raise TooManyOperations
        try:
            ready = service.prepare(given)
        except BadRequestError as error:
            raise http.Malformed(str(error)) from None
        scope = operations.begin(name)

        async def put(answer: Answer) -> None:
            await stream.events.send(_next({"id": name, "payload": answer}))

        async def over() -> None:
            operations.release(name, scope)
            await stream.events.send(http.Event(event="complete", text=_json({"id": name})))

        caller = Caller(request, request.headers)
        ended = partial(operations.end, name, scope)
        self._subscriptions.begin(scope, service, ready, caller, put, over, ended)

    def _stop(self, request: http.Request) -> None:
        stream = self._found(_token(request))
        name = request.query.get("operationId")
        if isinstance(name, str):
            stream.operations.stop(name)

    def _found(self, token: str | None) -> _Stream:
        stream = self._streams.get(token or "") or self._unread.get(token or "")
        if stream is None:
            raise NoSuchStream
        return stream


def _token(request: http.Request) -> str | None:
    said = request.header(TOKEN.encode())
    if said is not None:
        return said.decode("latin-1")
    found = request.query.get("token")
    return found if isinstance(found, str) else None


def _asked_by_query(request: http.Request) -> Asked:
    try:
        return asked_by_query(request)
    except BadRequestError as error:
        raise http.Malformed(str(error)) from None


def _json(value: Any) -> str:
    return to_json(value).decode()


def _next(answer: Any) -> http.Event[Any]:
    return http.Event(event="next", text=_json(answer))
