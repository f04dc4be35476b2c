"""`Pieces`: a body that its sender makes one piece after the other, of a type known only when it begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from covet_http._media import is_media_type
from covet_http._request import Request
from covet_http._results import LaterContent, LaterResult
from covet_operations import Cancelled

SendPiece: TypeAlias = Callable[[bytes], Awaitable[None]]


class Pieces(LaterResult):
    """A body that is sent while it is made: ``return http.Pieces(send, "multipart/mixed")``.

    Where every answer of a route is a stream, return an ``AsyncIterator`` instead; this is for a route
    whose answers are now and then. The call is over when the first piece is sent, its transaction
    committed and its deadline met: what takes long has to have one of its own.

    Args:
        send: Is given what sends a piece, which waits while the client is slow.
        media_type: Such as ``"multipart/mixed"``.

    Raises:
        ValueError: The media type is none.
    """

    __slots__ = ("_media_type", "_send")

    def __init__(self, send: Callable[[SendPiece], Awaitable[None]], media_type: str) -> None:
        if not is_media_type(media_type):
            raise ValueError(f"{media_type!r} is no media type")
        self._send = send
        self._media_type = media_type

    async def answer(self, request: Request) -> LaterContent:
        request.response.content_type = self._media_type.encode("ascii")
        return _PiecesContent(self._send)


class _PiecesContent(LaterContent):
    __slots__ = ("_send",)

    def __init__(self, send: Callable[[SendPiece], Awaitable[None]]) -> None:
        self._send = send

    async def send(self, request: Request) -> None:
        if request.head_only:
            await request.send(b"")
            return

        async def piece(data: bytes) -> None:
            await request.send(data)
            if request.disconnected:
                raise Cancelled("the client is gone")

        await self._send(piece)
