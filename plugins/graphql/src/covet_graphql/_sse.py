"""Subscriptions as server-sent events, by the protocol of graphql-sse.

In the mode of distinct connections each operation is a request of its own, whose answer is its events.
In that of a single connection a client reserves a stream (PUT), reads it (GET), begins operations on it
(POST) and ends them (DELETE); the reservation is known to the process that has made it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from pydantic_core import from_json, to_json

import covet_http as http
from covet_graphql._config import GraphqlConfig
from covet_graphql._http import Endpoint, asked_by_query
from covet_graphql._request import Answer, Asked, BadRequestError, asked
from covet_graphql._subscriptions import Caller, Subscriptions
from covet_kernel.contracts import Operation
from covet_operations import (
    Conflict,
    NotFound,
    RateLimited,
    Unavailable,
    operation,
    operations_of,
)

if TYPE_CHECKING:
    from covet_graphql._service import Service

TOKEN: Final = "x-graphql-event-stream-token"  # noqa: S105 - a header's name
_MOST_RESERVED: Final = 10_000
_LONGEST_ID: Final = 256
_COMPLETE: Final[http.Event[Any]] = http.Event(event="complete", text="")


class NoSuchStream(NotFound):
    """There is no stream of this token."""


class StreamTaken(Conflict):
    """The stream is read by somebody already."""


class OperationKnown(Conflict):
    """The stream has an operation of this id already."""


class TooManyOperations(RateLimited):
    """The stream has as many operations as it may."""


class _Stream:
    """One reserved stream and the operations on it."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.events: MemoryObjectSendStream[http.Event[Any]]
        self.receive: MemoryObjectReceiveStream[http.Event[Any]]
        self.events, self.receive = anyio.create_memory_object_stream[http.Event[Any]](0)
        self.operations: dict[str, anyio.CancelScope] = {}
        self.is_open = False
        self.reserved = anyio.current_time()

    def close(self) -> None:
        """End everything on it."""
        for scope in self.operations.values():
            scope.cancel()
        self.operations.clear()
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
        self._streams: dict[str, _Stream] = {}

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
            return self._reserve(request)

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
        while self._streams:
            self._streams.popitem()[1].close()

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

        caller = Caller(request, request.headers)
        scope = self._subscriptions.begin(service, ready, caller, put, over)
        if scope.cancel_called:
            raise Unavailable("the service is stopping")
        try:
            async for event in receive:
                yield event
        finally:
            scope.cancel()
            receive.close()
            send.close()

    def _reserve(self, request: http.Request) -> http.Content:
        self._forget_unread()
        if len(self._streams) >= _MOST_RESERVED:
            raise Unavailable("too many streams are reserved")
        token = token_urlsafe(24)
        self._streams[token] = _Stream(Caller(request, request.headers))
        return http.Content(token, "text/plain", status=201)

    def _forget_unread(self) -> None:
        """Drop what was reserved and never read."""
        late = anyio.current_time() - self._config.init_timeout
        for token, stream in tuple(self._streams.items()):
            if stream.is_open:
                continue
            if stream.reserved > late:
                break  # they are in the order of their reservation
            self._streams.pop(token).close()

    async def _single(self, token: str) -> AsyncGenerator[http.Event[Any], None]:
        """The events of everything on a reserved stream."""
        stream = self._found(token)
        if stream.is_open:
            raise StreamTaken
        stream.is_open = True
        try:
            yield http.Event(comment="reserved")
            async for event in stream.receive:
                yield event
        finally:
            self._streams.pop(token, None)
            stream.close()

    def _found(self, token: str | None) -> _Stream:
        stream = self._streams.get(token or "")
        if stream is None:
            raise NoSuchStream
        return stream

    def _begin(self, service: Service, given: Asked, request: http.Request) -> None:
        """Begin an operation on a reserved stream."""
        stream = self._found(_token(request))
        name = given.extensions.get("operationId")
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_ID:
            raise http.Malformed("'extensions' has to name an 'operationId'")
        if name in stream.operations:
            raise OperationKnown
        if len(stream.operations) >= self._config.max_subscriptions:
            raise TooManyOperations
        try:
            ready = service.prepare(given)
        except BadRequestError as error:
            raise http.Malformed(str(error)) from None

        async def put(answer: Answer) -> None:
            await stream.events.send(_next({"id": name, "payload": answer}))

        async def over() -> None:
            stream.operations.pop(name, None)
            await stream.events.send(http.Event(event="complete", text=_json({"id": name})))

        caller = Caller(request, request.headers)
        stream.operations[name] = self._subscriptions.begin(service, ready, caller, put, over)

    def _stop(self, request: http.Request) -> None:
        stream = self._found(_token(request))
        name = request.query.get("operationId")
        scope = stream.operations.pop(name, None) if isinstance(name, str) else None
        if scope is not None:
            scope.cancel()


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
