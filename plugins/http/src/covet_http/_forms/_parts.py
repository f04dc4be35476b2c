"""A multipart form as it arrives: one part after the other, nothing kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from covet_http._forms._limits import FormLimits
from covet_http._problem import Malformed
from covet_http._request import Request
from covet_operations import TooLarge, Unsupported

if TYPE_CHECKING:
    # The name of this class is at the public door, the parser is needed where a form arrives.
    from covet_http._forms._body import FormBody, PartCount
    from covet_http._forms._head import PartHead


class Part:
    """One part of a form that is still arriving: iterate over its content, in pieces as they come.

    Attributes:
        name: Of the field.
        filename: The last segment of what the client calls it, safe as a name; ``None`` for a part
            that is no file.
        content_type: The media type the client says, without parameters; empty if it says none.
        headers: By lower-case name.
    """

    __slots__ = ("_over", "_parts", "content_type", "filename", "headers", "name")

    def __init__(self, head: PartHead, parts: Parts) -> None:
        self.name = head.name
        self.filename = head.filename
        self.content_type = head.content_type
        self.headers: Mapping[str, str] = head.headers
        self._parts = parts
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._over:
            piece = await self._parts._piece(self)
            if piece is not None:
                return piece
            self._over = True
        raise StopAsyncIteration

    async def read(self, most: int | None = None) -> bytes:
        """What is left of the content, in memory.

        Args:
            most: Bytes it may have; ``max_field_bytes`` unless given.

        Raises:
            TooLarge: It has more.
        """
        if most is None:
            most = self._parts.limits.max_field_bytes
        pieces, size = [], 0
        async for piece in self:
            size += len(piece)
            if size > most:
                raise TooLarge(f"this part may have {most} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    async def text(self) -> str:
        """What is left of the content as text, at most ``max_field_bytes`` of it.

        Raises:
            Malformed: It is not UTF-8.
            TooLarge: It has more.
        """
        try:
            return (await self.read()).decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("a part of the form is not UTF-8") from None


class Parts:
    """The parts of a multipart form as they arrive.

    As a parameter of a handler::

        @http.post("/videos")
        async def add(parts: http.Parts) -> int:
            size = 0
            async for part in parts:
                async for piece in part:
                    size += len(piece)
            return size

    Nothing is kept: bytes are read from the client when the handler asks for them. A part that is
    left unread is passed over, within the same limits. One task at a time may iterate.

    Attributes:
        limits: What the form may cost; ``max_body_bytes``, ``spool_bytes`` and ``timeout`` have no
            part in it.
    """

    __slots__ = ("_body", "_count", "_current", "_most", "_over", "_request", "_size", "limits")

    def __init__(self, request: Request) -> None:
        self.limits: FormLimits = request.limits.forms
        self._request = request
        self._body: FormBody | None = None
        self._count: PartCount
        self._current: Part | None = None
        self._over = False
        self._most = 0
        self._size = 0

    def limited(
        self,
        *,
        max_form_bytes: int | None = None,
        max_file_bytes: int | None = None,
        max_files: int | None = None,
    ) -> Parts:
        """The same parts within other limits, before any was taken: ``parts.limited(max_form_bytes=10**10)``.

        Args:
            max_form_bytes: The whole body.
            max_file_bytes: One file.
            max_files: Files.

        Raises:
            RuntimeError: The first part was taken.
            ValueError: A limit is negative.
        """
        if self._body is not None:
            raise RuntimeError("the form is being read already")
        given = {
            "max_form_bytes": max_form_bytes,
            "max_file_bytes": max_file_bytes,
            "max_files": max_files,
        }
        changed = {name: value for name, value in given.items() if value is not None}
        parts = Parts(self._request)
        parts.limits = FormLimits.model_validate({**self.limits.model_dump(), **changed})
        return parts

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Part:
        if self._over:
            raise StopAsyncIteration
        body = self._body or self._begin()
        if self._current is not None:
            while await self._piece(self._current) is not None:
                pass
            self._current._over = True
        event = await body.next()
        if not isinstance(event, list):
            # What may come behind the form's end has its limits too.
            while event is not None:
                event = await body.next()
            self._over = True
            self._current = None
            body.finish()
            raise StopAsyncIteration
        from covet_http._forms._head import part_head

        head = part_head(event)
        self._size = 0
        self._most = self._count.begin(file=head.filename is not None)
        self._current = Part(head, self)
        return self._current

    def _begin(self) -> FormBody:
        from covet_http._forms._body import FormBody, PartCount
        from covet_http._forms._media_type import MULTIPART, boundary_of

        boundary = boundary_of(self._request)
        if boundary is None:
            raise Unsupported(f"the body has to be {MULTIPART}, and 'Content-Type' has to say so")
        self._count = PartCount(self.limits)
        self._body = FormBody(self._request, boundary, self.limits)
        return self._body

    async def _piece(self, part: Part) -> bytes | None:
        """The next piece of the current part, ``None`` behind its last."""
        body = self._body
        if part is not self._current or body is None or part._over:
            return None
        event = await body.next()
        if isinstance(event, bytes):
            self._size += len(event)
            if self._size > self._most:
                raise self._count.too_large(file=part.filename is not None)
            return event
        part._over = True
        if event is None:
            body.finish()
        return None
