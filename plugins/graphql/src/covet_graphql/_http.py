"""GraphQL over HTTP: one path that takes GET and POST."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import anyio.to_thread
from pydantic_core import from_json, to_json

import covet_http as http
from covet_graphql._accept import JSON, LONGEST, RESPONSE, chosen, takes_parts
from covet_graphql._config import GraphqlConfig
from covet_graphql._request import (
    MALFORMED,
    Answer,
    Asked,
    BadRequestError,
    NotAQueryError,
    asked,
    malformed,
)
from covet_kernel.contracts import Operation
from covet_operations import operation, operations_of

if TYPE_CHECKING:
    from covet_graphql._service import Prepared, Service

_MULTIPART: Final = 'multipart/mixed; boundary="-"'
_PART: Final = b"Content-Type: application/json; charset=utf-8\r\n\r\n"
_BETWEEN: Final = b"\r\n---\r\n"
_END: Final = b"\r\n-----\r\n"
_BAD: Final = 400
_NOT_ALLOWED: Final = 405
_NOT_ACCEPTABLE: Final = 406
SendPiece: TypeAlias = Callable[[bytes], Awaitable[None]]
_PARAMETERS: Final = frozenset(("query", "operationName", "variables", "extensions"))


class Endpoint:
    """Where requests are taken.

    Args:
        config: The path.
    """

    def __init__(self, config: GraphqlConfig) -> None:
        self._config = config
        self._service: Service | None = None
        self._make: Callable[[], Service]
        self._lock = anyio.Lock()

    def begin(self, make: Callable[[], Service]) -> None:
        """A phase begins.

        Args:
            make: What answers requests in it, made when the first is there; takes a moment.
        """
        self._service = None
        self._make = make

    def prepare(self) -> None:
        """Make it now.

        Raises:
            ConfigurationError: The schema cannot be made.
        """
        self._service = self._make()

    async def service(self) -> Service:
        """What answers requests."""
        if self._service is None:
            async with self._lock:
                if self._service is None:
                    self._service = await anyio.to_thread.run_sync(self._make)
        return self._service

    def operations(self) -> Iterator[Operation]:
        """What serves the path."""
        path = self._config.path

        async def post(request: http.Request) -> http.Content:
            answer = await self._post(request)
            assert isinstance(answer, http.Content)
            return answer

        async def post_in_parts(request: http.Request) -> http.Content | http.Pieces:
            return await self._post(request)

        # What may be sent in pieces costs each answer a little, and few services have any.
        hidden = http.openapi(hidden=True)
        handler = hidden(post_in_parts if self._config.incremental else post)
        posted = operation(name="covet_graphql.post", anonymous=True, effect="write")(
            http.post(path)(handler)
        )

        @operation(name="covet_graphql.get", anonymous=True, effect="read")
        @http.get(path)
        @http.openapi(hidden=True)
        async def get(request: http.Request) -> http.Content:
            return await self._get(request)

        for each in (posted, get):
            yield from operations_of(each)

    async def _post(self, request: http.Request) -> http.Content | http.Pieces:
        media_type = self._media_type(request)
        if media_type is None:
            return _not_acceptable()
        service = self._service or await self.service()
        body = request.json_soon()
        if not isinstance(body, bytes):
            body = await body
        try:
            document = from_json(body, allow_inf_nan=False)
        except ValueError:
            return _sent({"errors": [_said("The body is no JSON.")]}, media_type, _BAD)
        if isinstance(document, list):
            return await self._batch(service, document, request, media_type)
        try:
            ready = service.prepare(asked(document))
        except BadRequestError as error:
            return _refused(service, error, media_type)
        if ready.in_parts and takes_parts(accepted(request)):
            return await self._in_parts(service, ready, request)
        return await self._answer(service, ready, request, media_type)

    async def _in_parts(
        self, service: Service, ready: Prepared, request: http.Request
    ) -> http.Content | http.Pieces:
        """The answer to a request that may come in parts."""
        answer, run = await service.begin(ready, request)
        if run is None:
            return _sent(answer, JSON, 200)

        async def send(piece: SendPiece) -> None:
            async def part(answer: Answer) -> None:
                end = _BETWEEN if answer["hasNext"] else _END
                await piece(_PART + to_json(answer) + end)

            await piece(_BETWEEN)
            await part(answer)
            await run.rest(part, self._config.deferred_timeout)

        return http.Pieces(send, _MULTIPART)

    async def _get(self, request: http.Request) -> http.Content:
        if self._config.explorer and not request.query_string and wants_page(request):
            from covet_graphql._explorer import POLICY, page

            request.response.set("content-security-policy", POLICY)
            return http.Content(page(self._config.path, self._config.stream_path), "text/html")
        media_type = self._media_type(request)
        if media_type is None:
            return _not_acceptable()
        service = self._service or await self.service()
        try:
            ready = service.prepare(asked_by_query(request), only_queries=True)
        except BadRequestError as error:
            return _refused(service, error, media_type)
        except NotAQueryError:
            request.response.set("allow", "POST")
            said = _said("GET is for queries: send this one with POST.")
            return _sent({"errors": [said]}, media_type, _NOT_ALLOWED)
        return await self._answer(service, ready, request, media_type)

    async def _batch(
        self, service: Service, documents: list[Any], request: http.Request, media_type: str
    ) -> http.Content:
        most = self._config.max_batch
        if most == 1:
            error = malformed("One request has one operation: batches are not taken.")
            return _refused(service, error, media_type)
        if not documents or len(documents) > most:
            error = malformed(f"A batch has between one and {most} operations.")
            return _refused(service, error, media_type)
        try:
            given = [asked(each) for each in documents]
        except BadRequestError as error:
            return _refused(service, error, media_type)
        answers: list[Answer] = []
        for each in given:
            try:
                answers.append(await service.answer(service.prepare(each), request))
            except BadRequestError as error:
                answers.append(service.refusal(error))
        return _sent(answers, media_type, 200)

    @staticmethod
    async def _answer(
        service: Service, ready: Prepared, request: http.Request, media_type: str
    ) -> http.Content:
        answer = await service.answer(ready, request)
        status = _BAD if ready.streams and media_type == RESPONSE else 200
        return _sent(answer, media_type, status)

    @staticmethod
    def _media_type(request: http.Request) -> str | None:
        line = accepted(request)
        return chosen(line) or (JSON if takes_parts(line) else None)


def accepted(request: http.Request) -> str:
    """What a client says it takes, as far as that is read."""
    return request.header_list(b"accept").decode("latin-1")[:LONGEST]


def wants_page(request: http.Request) -> bool:
    """Whether a browser asks for something to look at."""
    return b"text/html" in request.header_list(b"accept")


def asked_by_query(request: http.Request) -> Asked:
    """What the query of a URL asks.

    Raises:
        BadRequestError: It is no request.
    """
    found: dict[str, Any] = {}
    for name in _PARAMETERS:
        value = request.query.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise malformed(f"'{name}' comes more than once.")
        if name in ("variables", "extensions"):
            if not value:
                continue
            try:
                found[name] = from_json(value, allow_inf_nan=False)
            except ValueError:
                raise malformed(f"'{name}' has to be JSON.") from None
        else:
            found[name] = value
    return asked(found)


def _said(message: str, code: str = "graphql-malformed") -> dict[str, Any]:
    return {"message": message, "extensions": {"code": code}}


def _refused(service: Service, error: BadRequestError, media_type: str) -> http.Content:
    # To older clients every answer to what is a request of GraphQL's is a success.
    well_formed = error.code != MALFORMED and media_type == JSON
    return _sent(service.refusal(error), media_type, 200 if well_formed else _BAD)


def _sent(answer: Any, media_type: str, status: int) -> http.Content:
    return http.Content(to_json(answer), media_type, status=status)


def _not_acceptable() -> http.Content:
    message = f"Answers come as {RESPONSE} or {JSON}."
    return _sent({"errors": [_said(message)]}, JSON, _NOT_ACCEPTABLE)
