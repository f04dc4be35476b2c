"""A form's bytes as they arrive, through the parser, within the limit of the whole."""

from __future__ import annotations

from covet_http._forms._limits import FormLimits
from covet_http._forms._multipart import Event, Headers, MultipartParser
from covet_http._problem import Malformed
from covet_http._request import Request
from covet_operations import TooLarge, Unsupported


class FormBody:
    """The events of one multipart form.

    Args:
        request: Its body has not been read.
        boundary: From ``Content-Type``.
        limits: What it may cost.

    Attributes:
        ended: Whether the whole body was read.

    Raises:
        TooLarge: It says that it is larger than it may be.
        Malformed: ``Content-Length`` is not a number.
        Unsupported: It has a content coding.
    """

    __slots__ = ("_declared", "_limit", "_parser", "_request", "_size", "ended")

    def __init__(self, request: Request, boundary: bytes, limits: FormLimits) -> None:
        require_plain(request)
        self._request = request
        self._limit = limits.max_form_bytes
        self._declared = request.declared_length()
        if self._declared is not None and self._declared > self._limit:
            raise self._too_large()
        self._size = 0
        self.ended = False
        self._parser = MultipartParser(
            boundary,
            max_headers=limits.max_part_headers,
            max_header_bytes=limits.max_part_header_bytes,
        )

    def buffered(self) -> bool:
        """Take the whole body if the server has it already; whether it had."""
        body = self._request.buffered
        if body is None:
            return False
        self._feed(body)
        self.ended = True
        return True

    def whole(self) -> tuple[Headers, bytes] | None:
        """The next part at once, if it is there and small."""
        return self._parser.whole()

    def now(self) -> Event | None:
        """The next event, ``None`` if more has to be read, or the form is over."""
        return self._parser.next()

    async def next(self) -> Event | None:
        """The next event, ``None`` behind the last.

        Raises:
            Malformed: It is no form.
            TooLarge: It is larger than it may be.
        """
        while (event := self._parser.next()) is None and await self.more():
            pass
        return event

    async def more(self) -> bool:
        """Read more; whether there was any. Not before `now` has returned ``None``."""
        if self.ended:
            return False
        piece = await self._request.read()
        if not piece:
            self.ended = True
            if self._declared is not None and self._declared != self._size:
                raise Malformed("the body is not as long as Content-Length says")
            return False
        self._feed(piece)
        if self._size == self._declared:
            self._request.body_complete()
            self.ended = True
        return True

    def finish(self) -> None:
        """There are no more events.

        Raises:
            Malformed: The form is not complete.
        """
        self._parser.finish()

    def _feed(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise self._too_large()
        self._parser.feed(piece)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"a form may have {self._limit} bytes")


class PartCount:
    """How many parts there have been, and how large each may be."""

    __slots__ = ("_limits", "fields", "files")

    def __init__(self, limits: FormLimits) -> None:
        self._limits = limits
        self.fields = 0
        self.files = 0

    def begin(self, *, file: bool) -> int:
        """Another part; how many bytes it may have.

        Raises:
            TooLarge: There are too many.
        """
        limits = self._limits
        if file:
            self.files += 1
            if self.files > limits.max_files:
                raise TooLarge(f"a form may have {limits.max_files} files")
            return limits.max_file_bytes
        self.fields += 1
        if self.fields > limits.max_fields:
            raise TooLarge(f"a form may have {limits.max_fields} fields")
        return limits.max_field_bytes

    def too_large(self, *, file: bool) -> TooLarge:
        """The error for a part that has more bytes than it may have."""
        limits = self._limits
        if file:
            return TooLarge(f"a file of a form may have {limits.max_file_bytes} bytes")
        return TooLarge(f"a field of a form may have {limits.max_field_bytes} bytes")


def require_plain(request: Request) -> None:
    """Refuse a form with a content coding, whose limits would have to hold for two sizes.

    Raises:
        Unsupported: It has one.
    """
    if request.require_coding():
        raise Unsupported("a form may not have a Content-Encoding")
