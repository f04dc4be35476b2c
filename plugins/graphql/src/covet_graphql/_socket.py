"""Operations over a WebSocket, by the protocol ``graphql-transport-ws``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.abc import TaskGroup
from pydantic_core import from_json, to_json

import covet_http as http
from covet_graphql._config import GraphqlConfig
from covet_graphql._http import Endpoint
from covet_graphql._request import Answer, BadRequestError, asked, of_operation
from covet_graphql._subscriptions import Caller, Operations, TooManyOperations, carry, id_of
from covet_kernel.contracts import Credentials, Operation
from covet_operations import operation, operations_of

if TYPE_CHECKING:
    from covet_graphql._service import Prepared, Service

SUBPROTOCOL: Final = "graphql-transport-ws"
BAD: Final = 4400
UNAUTHORIZED: Final = 4401
NOT_ACCEPTABLE: Final = 4406
INIT_TIMEOUT: Final = 4408
KNOWN: Final = 4409
TOO_MANY_INITS: Final = 4429
_LONGEST_SHOWN: Final = 80


class _Refused(Exception):
    """The client does not keep to the protocol.

    Attributes:
        code: What the socket is closed with.
        reason: What is said with it.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class SocketEndpoint:
    """Where sockets are opened: the path that requests have, too.

    Args:
        config: The path, and limits.
        endpoint: Has the service of the present phase.
    """

    def __init__(self, config: GraphqlConfig, endpoint: Endpoint) -> None:
        self._config = config
        self._endpoint = endpoint

    def operations(self) -> Iterator[Operation]:
        """What serves the path."""

        @operation(name="covet_graphql.socket", anonymous=True)
        @http.websocket(self._config.path, subprotocols=(SUBPROTOCOL,))
        async def open_socket(socket: http.WebSocket) -> None:
            await self._serve(socket)

        yield from operations_of(open_socket)

    async def _serve(self, socket: http.WebSocket) -> None:
        if SUBPROTOCOL not in socket.offered:
            # A handshake that fails tells a client of another protocol nothing.
            await socket.accept()
            socket.close(NOT_ACCEPTABLE, "Subprotocol not acceptable")
            return
        service = await self._endpoint.service()
        await socket.accept(SUBPROTOCOL)
        try:
            async with anyio.create_task_group() as tasks:
                conversation = _Conversation(socket, service, self._config, tasks)
                try:
                    await conversation.run()
                except _Refused as refused:
                    socket.close(refused.code, refused.reason)
                tasks.cancel_scope.cancel()
        except* http.WebSocketClosed:
            pass  # it has nobody to tell


class _Conversation:
    """What is said on one socket."""

    def __init__(
        self, socket: http.WebSocket, service: Service, config: GraphqlConfig, tasks: TaskGroup
    ) -> None:
        self._socket = socket
        self._service = service
        self._config = config
        self._tasks = tasks
        self._caller: Caller | None = None
        self._operations = Operations(config.max_subscriptions)
        self._said: dict[str, Callable[[dict[str, Any]], Any]] = {
            "connection_init": self._init,
            "subscribe": self._subscribe,
            "complete": self._complete,
            "ping": self._ping,
            "pong": self._pong,
        }

    async def run(self) -> None:
        """Take messages until the socket is closed.

        Raises:
            _Refused: The client does not keep to the protocol.
        """
        with anyio.move_on_after(self._config.init_timeout) as patience:
            while self._caller is None:
                if not await self._take():
                    return
        if patience.cancelled_caught and self._caller is None:
            raise _Refused(INIT_TIMEOUT, "Connection initialisation timeout")
        while await self._take():
            pass

    async def _take(self) -> bool:
        """Take one message; whether there was one."""
        try:
            text = await self._socket.receive()
        except http.WebSocketClosed:
            return False
        try:
            message = from_json(text, allow_inf_nan=False)
        except ValueError:
            raise _Refused(BAD, "Invalid message received") from None
        kind = message.get("type") if isinstance(message, dict) else None
        heard = self._said.get(kind) if isinstance(kind, str) else None
        if heard is None:
            raise _Refused(BAD, "Invalid message received")
        await heard(message)
        return True

    async def _send(self, kind: str, **more: Any) -> None:
        await self._socket.send(to_json({"type": kind, **more}).decode())

    async def _init(self, message: dict[str, Any]) -> None:
        if self._caller is not None:
            raise _Refused(TOO_MANY_INITS, "Too many initialisation requests")
        request = self._socket.request
        self._caller = Caller(request, request.headers, _credentials(message.get("payload")))
        await self._send("connection_ack")

    async def _ping(self, message: dict[str, Any]) -> None:
        payload = message.get("payload")
        await (self._send("pong") if payload is None else self._send("pong", payload=payload))

    async def _pong(self, message: dict[str, Any]) -> None:
        """A sign of life that nobody has asked for."""

    async def _complete(self, message: dict[str, Any]) -> None:
        self._operations.stop(_named(message))

    async def _subscribe(self, message: dict[str, Any]) -> None:
        caller = self._caller
        if caller is None:
            raise _Refused(UNAUTHORIZED, "Unauthorized")
        name = _named(message)
        operations = self._operations
        if name in operations:
            raise _Refused(KNOWN, f"Subscriber for {_short(name)} already exists")
        if not await operations.has_room():
            await self._fail(name, {"errors": [of_operation(TooManyOperations())]})
            return
        try:
            given = asked(message.get("payload"))
        except BadRequestError:
            raise _Refused(BAD, "Invalid message received") from None
        try:
            ready = self._service.prepare(given)
        except BadRequestError as error:
            await self._fail(name, self._service.refusal(error))
            return
        self._tasks.start_soon(self._run, name, operations.begin(name), ready, caller)

    async def _run(
        self, name: str, scope: anyio.CancelScope, ready: Prepared, caller: Caller
    ) -> None:
        try:
            with scope:
                failure = await carry(self._service, ready, caller, partial(self._next, name))
                # From here on the name may be used again.
                self._operations.release(name, scope)
                if failure is None:
                    await self._send("complete", id=name)
                else:
                    await self._fail(name, failure)
        finally:
            self._operations.end(name, scope)

    async def _next(self, name: str, answer: Answer) -> None:
        await self._send("next", id=name, payload=answer)

    async def _fail(self, name: str, answer: Answer) -> None:
        await self._send("error", id=name, payload=answer["errors"])


def _named(message: dict[str, Any]) -> str:
    name = id_of(message.get("id"))
    if name is None:
        raise _Refused(BAD, "Invalid message received")
    return name


def _short(name: str) -> str:
    """As much of a name as there is room for in the reason of a close, which has 123 bytes."""
    return name.encode()[:_LONGEST_SHOWN].decode(errors="ignore")


def _credentials(payload: object) -> Credentials | None:
    """What a client shows behind the handshake, for browsers can put no header into that."""
    if not isinstance(payload, dict):
        return None
    line = payload.get("authorization", payload.get("Authorization"))
    if not isinstance(line, str):
        return None
    scheme, _, value = line.partition(" ")
    return Credentials(scheme=scheme.lower(), value=value.strip(" \t"))
