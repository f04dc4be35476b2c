"""What the server answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Self

from pydantic_core import from_json

from covet_http.testing._events import Events, Lines
from covet_http.testing._headers import Headers
from covet_http.testing._read import Head

_PROBLEM = "application/problem+json"


class Answer:
    """A whole answer.

    Attributes:
        status: The status code.
        headers: Its fields.
        body: Its bytes.
        trailers: Fields behind the body.
        method: Of the request.
        path: Of the request, with its query; empty where only bytes were sent.
    """

    def __init__(
        self, head: Head, body: bytes, trailers: Headers, *, method: str, path: str = ""
    ) -> None:
        self.status = head.status
        self.headers = head.headers
        self.body = body
        self.trailers = trailers
        self.method = method
        self.path = path

    @property
    def media_type(self) -> str:
        """``Content-Type`` without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode("utf-8")

    def json(self) -> Any:
        """The body, which has to be JSON and to say so.

        Raises:
            AssertionError: ``Content-Type`` says something else.
            ValueError: The body is no JSON.
        """
        kind = self.media_type
        if kind != "application/json" and not kind.endswith("+json"):
            raise AssertionError(f"{self!r} is {kind or 'nothing'}, not JSON: {self.body[:500]!r}")
        return from_json(self.body)

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document (RFC 9457), whose status has to be the answer's.

        Raises:
            AssertionError: The answer is none.
        """
        if self.media_type != _PROBLEM:
            raise AssertionError(f"{self!r} is no problem: {self.body[:500]!r}")
        problem: dict[str, Any] = self.json()
        if problem.get("status") != self.status:
            raise AssertionError(f"{self!r} says in its body: {problem!r}")
        return problem

    def __repr__(self) -> str:
        where = f" to {self.method} {self.path}" if self.path else ""
        return f"<Answer {self.status}{where}>"


class StreamedAnswer:
    """An answer whose body is read as it comes. Nothing is read that the test has not asked for.

    Attributes:
        status: The status code.
        headers: Its fields.
        trailers: Fields behind the body, once that has been read.
        complete: Whether the body has been read to its end.
    """

    def __init__(
        self, head: Head, piece: Callable[[], Awaitable[bytes]], trailers: Callable[[], Headers]
    ) -> None:
        self.status = head.status
        self.headers = head.headers
        self.complete = False
        self._piece = piece
        self._trailers = trailers

    @property
    def trailers(self) -> Headers:
        return self._trailers()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self.complete:
            piece = await self._piece()
            if piece:
                return piece
            self.complete = True
        raise StopAsyncIteration

    async def read(self) -> bytes:
        """All that is left of the body."""
        return b"".join([piece async for piece in self])

    def lines(self) -> Lines:
        """The body's lines, as they come."""
        return Lines(self)

    def events(self) -> Events:
        """The server-sent events of a body of ``text/event-stream``, as they come.

        Raises:
            AssertionError: ``Content-Type`` says something else.
        """
        kind = self.headers.get("content-type", "")
        if kind.partition(";")[0].strip() != "text/event-stream":
            raise AssertionError(f"{kind!r} are no server-sent events")
        return Events(Lines(self))
