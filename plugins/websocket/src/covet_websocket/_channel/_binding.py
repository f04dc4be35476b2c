"""Where a typed channel is found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

from covet_http import WebSocketBinding
from covet_kernel.contracts import Call, Operation
from covet_operations import mark
from covet_websocket._channel._connection import Connection
from covet_websocket._channel._request import ChannelRequest
from covet_websocket._channel._types import connection_types
from covet_websocket._encodings import ENCODINGS, SUBPROTOCOLS

F = TypeVar("F", bound=Callable[..., Any])
OnInvalid: TypeAlias = Literal["error", "close"]


class ChannelBinding(WebSocketBinding):
    """One path that answers handshakes, with messages of known types.

    Attributes:
        on_invalid: What a client is told that sends something else: an error, or it is closed.
    """

    call_type: ClassVar[type[Call]] = ChannelRequest

    on_invalid: OnInvalid = "error"

    def check(self, operation: Operation) -> Iterable[str]:
        yield from super().check(operation)
        try:
            found = connection_types(operation.handler, Connection)
        except Exception:
            return  # the signature is looked at as well, and says what is wrong with it
        if len(found) != 1:
            yield f"{operation.name} is a channel: have it take one 'Connection[In, Out]'"
        elif not found[0]:
            yield (
                f"{operation.name} does not say what its messages are: write 'Connection[In, Out]'"
            )


def channel(
    path: str,
    *,
    host: str = "",
    on_invalid: OnInvalid = "error",
    encodings: Sequence[Literal["json", "msgpack"]] = ("json", "msgpack"),
    origins: Sequence[str] | None = None,
    max_message_bytes: int | None = None,
    deadline: float | None = None,
) -> Callable[[F], F]:
    """Bind to handshakes of WebSockets; the handler takes a `Connection`.

    ::

        @websocket.channel("/rooms/{room}")
        async def room(room: str, connection: websocket.Connection[Said, Heard]) -> None:
            async for said in connection:
                await connection.send(Heard(text=said.text))

    Args:
        path: A template such as ``"/rooms/{room}"``.
        host: The only host it is found at; every host unless given.
        on_invalid: What becomes of a frame that is no message of the type: ``"error"`` answers it with
            an error, ``"close"`` closes the WebSocket.
        encodings: Those that clients may ask for.
        origins: Whose pages may open one; as of `covet_http.websocket`.
        max_message_bytes: Of a frame that comes, in place of what the configuration says.
        deadline: Seconds until the handler has to accept.
    """
    binding = ChannelBinding(
        protocol="websocket",
        address=f"{host}{path}",
        path=path,
        host=host,
        deadline=deadline,
        subprotocols=tuple(each for each in SUBPROTOCOLS if ENCODINGS[each].name in encodings),
        origins=None if origins is None else tuple(origins),
        max_message_bytes=max_message_bytes,
        on_invalid=on_invalid,
    )
    return mark(binding, effect="write")
