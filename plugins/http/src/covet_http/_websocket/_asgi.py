"""Handshakes by ASGI: from a scope to what answers it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from covet_http._asgi_target import target_of
from covet_http._mounts import Mounted, MountedCall
from covet_http._route import Reply
from covet_http._server import Message, Receive, Scope, Send
from covet_http._websocket._asgi_channel import DENIAL, AsgiChannel
from covet_http._websocket._channel import CHANNEL, Channel
from covet_http._websocket._handshake import AsgiHandshake
from covet_http._websocket._messages import ChannelMessages
from covet_http._websocket._route import WebSocketRoute
from covet_http._websocket._socket import WebSocket

if TYPE_CHECKING:
    from covet_http._asgi import AsgiApplication


def answer_websocket(
    application: AsgiApplication, scope: Scope, receive: Receive, send: Send
) -> Coroutine[Any, Any, None]:
    """What answers a handshake, from whichever server it comes, and stays to the end of the WebSocket."""
    dispatcher = application.websockets
    target = target_of(scope)[1]
    found = dispatcher.resolve(target, scope["headers"])
    where, values, path = found
    channel: Channel | None = (scope.get("extensions") or {}).get(CHANNEL)
    if isinstance(where, Mounted):
        if target[:1] != b"/":
            # In absolute form, of which an application is told no more than the path.
            scope = {**scope, "path": unquote(path), "raw_path": path.encode("ascii")}  # type: ignore[union-attr]
        if channel is not None:
            messages = ChannelMessages(channel, dispatcher.limits)
            receive, send = messages.receive, messages.send
            scope = {**scope, "extensions": {**scope["extensions"], DENIAL: {}}}
        return _call(application, where, scope, receive, send)
    answer: Reply | AsgiHandshake
    if isinstance(where, WebSocketRoute):
        answer = dispatcher.class_of(where)(scope, receive, send, path, values)  # type: ignore[arg-type]
    else:
        answer = found  # type: ignore[assignment]
    if channel is not None:
        return _answer(application, answer, channel)
    return _by_messages(application, answer, AsgiChannel(scope, receive, send))


async def _by_messages(
    application: AsgiApplication, answer: Reply | AsgiHandshake, outer: AsgiChannel
) -> None:
    async with outer.running():
        await _answer(application, answer, outer)


def _answer(
    application: AsgiApplication, answer: Reply | AsgiHandshake, channel: Channel
) -> Coroutine[Any, Any, None]:
    if isinstance(answer, tuple):
        return channel.deny(*answer)
    route = answer.websocket_route
    answer.websocket = WebSocket(answer, channel, route.limits, route.problems)
    return route.run(answer, channel, application.in_flight)


async def _call(
    application: AsgiApplication, mounted: Mounted, scope: Scope, receive: Receive, send: Send
) -> None:
    """Have a mounted application do everything."""
    call = MountedCall()
    application.in_flight.add(call)

    async def refuse(status: int, body: bytes) -> None:
        if DENIAL not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1011, "reason": ""})
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        start: Message = {"type": f"{DENIAL}.start", "status": status, "headers": headers}
        await send(start)
        await send({"type": f"{DENIAL}.body", "body": body})

    try:
        await call.run(mounted, scope, receive, send, refuse)
    finally:
        application.in_flight.discard(call)
