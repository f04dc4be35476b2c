"""What a call is answered with: head, messages and trailers, in the form that the call came in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from covet_grpc._forms import Form
    from covet_grpc._metadata import Lines
    from covet_http import Message, Send


class Answer:
    """What a call is answered with, in the form it came in.

    Attributes:
        form: The form.
        head: The headers of the answer.
        started: Whether they are sent.
    """

    __slots__ = ("_send", "form", "head", "started")

    def __init__(self, form: Form, send: Send, allowed: Lines) -> None:
        self.form = form
        self._send = send
        self.head: Lines = [*form.head, *allowed]
        self.started = False

    async def start(self, leading: Lines | None) -> None:
        """Send the head, and the metadata with it."""
        self.started = True
        message: Message = {
            "type": "http.response.start",
            "status": 200,
            "headers": [*self.head, *leading] if leading else self.head,
        }
        if not self.form.web:
            message["trailers"] = True
        await self._send(message)

    async def piece(self, data: bytes) -> None:
        """Send a piece of the body; more follows."""
        body = self.form.written(data) if self.form.text else data
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, data: bytes, lines: Lines) -> None:
        """Send the last piece and the trailers."""
        form = self.form
        if form.web:
            body = form.written(data + form.last(lines))
            await self._send({"type": "http.response.body", "body": body})
            return
        await self._send({"type": "http.response.body", "body": data})
        await self._send({"type": "http.response.trailers", "headers": lines})

    async def fail(self, lines: Lines, leading: Lines | None = None) -> None:
        """End the answer with a status other than success: alone if nothing was sent yet."""
        if self.started:
            await self.end(b"", lines)
            return
        self.started = True
        headers = [*self.head, *(leading or ()), *lines]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": b""})
