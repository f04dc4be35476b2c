"""Results that only HTTP can send: `Redirect` and `Content`, and the base of all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Literal

from covet_http._media import is_media_type, with_charset
from covet_http._origin import is_path_here, is_url
from covet_http._request import Request
from covet_operations import TransportResult


class HttpResult(TransportResult):
    """Base of results that only HTTP can send. An operation that returns one is bound to HTTP only.

    Class attributes:
        streamed: Whether it is an item of a stream.
    """

    __slots__ = ()

    streamed: ClassVar[bool] = False


class PlainResult(HttpResult):
    """One that is ready as it is, without anything being read or waited for."""

    __slots__ = ()

    def answer(self, request: Request) -> bytes:
        """Say to ``request.response`` what there is to say; the body."""
        raise NotImplementedError


class LaterResult(HttpResult):
    """One that is sent behind the call, as much of it as is not at hand."""

    __slots__ = ()

    async def answer(self, request: Request) -> bytes | LaterContent:
        """Say to ``request.response`` what there is to say; the body, or what sends it later."""
        raise NotImplementedError


class LaterContent:
    """A body that is not held in memory: what ``request.body`` is then."""

    __slots__ = ()

    async def send(self, request: Request) -> None:
        """Send everything.

        Raises:
            OperationError: It could not be; what was sent is not complete.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what it comes from, whether it was sent or not."""


async def deliver(request: Request, chain: Callable[[Request], Awaitable[Any]]) -> Any:
    """Run a call whose answer may be more than is held in memory, and send that behind it."""
    try:
        result = await chain(request)
        content = request.body
        if isinstance(content, LaterContent):
            request.unlimited()
            await content.send(request)
        return result
    finally:
        if request.content is not None:
            request.content.close()


class Redirect(PlainResult):
    """Send the client elsewhere: ``return http.Redirect("/books/7")``.

    Args:
        to: A path on this server, starting with one ``/``, percent-encoded.
        status: 303 has the client GET the target whatever the method was; 307 and 308 (for good) have
            it repeat method and body; 302 and 301 (for good) leave that open.
        external: ``to`` is an ``https://`` or ``http://`` URL instead.
        otherwise: Where to lead instead if ``to``, which a client may have given, leads off this server.

    Raises:
        ValueError: The target leads elsewhere than it says, or this is no redirect.
    """

    __slots__ = ("status", "to")

    def __init__(
        self,
        to: str,
        status: Literal[301, 302, 303, 307, 308] = 303,
        *,
        external: bool = False,
        otherwise: str | None = None,
    ) -> None:
        if status not in (301, 302, 303, 307, 308):
            raise ValueError(f"{status!r} is no status of a redirect")
        if otherwise is not None and not external and not is_path_here(to):
            to = otherwise
        if external and not is_url(to):
            raise ValueError(f"{to!r} is no https or http URL in plain ASCII")
        if not external and not is_path_here(to):
            raise ValueError(
                f"{to!r} is no path on this server: it starts with one '/' and has neither backslashes"
                " nor what has to be percent-encoded; say external=True for a URL of another server"
            )
        self.to = to
        self.status = status

    def answer(self, request: Request) -> bytes:
        response = request.response
        response.status = self.status
        response.content_type = b""
        response.set("location", self.to)
        return b""


class Content(PlainResult):
    """A body that is not JSON, of a type that is known only when it is made.

    Where the type is always the same, say it at the route (``media_type=``) and return the body itself.

    Args:
        body: Text is sent as UTF-8.
        media_type: Such as ``"image/png"``.
        status: The status, unless it is the route's.

    Raises:
        ValueError: The media type is none, the text cannot be encoded, or the status is no answer's.
    """

    __slots__ = ("body", "media_type", "status")

    def __init__(self, body: bytes | str, media_type: str, *, status: int | None = None) -> None:
        if not is_media_type(media_type):
            raise ValueError(f"{media_type!r} is no media type")
        if status is not None and not 200 <= status <= 599:
            raise ValueError(f"{status!r} is no status of an answer")
        text = isinstance(body, str)
        self.body = body.encode("utf-8") if isinstance(body, str) else bytes(body)
        self.media_type = with_charset(media_type) if text else media_type
        self.status = status

    def answer(self, request: Request) -> bytes:
        response = request.response
        if self.status is not None:
            response.status = self.status
        response.content_type = self.media_type.encode("ascii")
        return self.body
