"""The forms a call comes in: gRPC over HTTP/2, and gRPC-Web, which has its trailers in the body."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import Final

from covet_grpc._frames import PREFIX
from covet_grpc._metadata import Lines
from covet_operations import Invalid

_TRAILERS: Final = 0x80


class Form:
    """One content type.

    Attributes:
        content_type: As the answer has it.
        web: Whether it is gRPC-Web.
        text: Whether bodies are base64.
    """

    __slots__ = ("content_type", "head", "text", "web")

    def __init__(self, content_type: bytes, *, web: bool = False, text: bool = False) -> None:
        self.content_type = content_type
        self.web = web
        self.text = text
        self.head: Lines = [(b"content-type", content_type)]

    def reader(self) -> Base64 | None:
        """What undoes the form of a body that comes in pieces; ``None``: nothing has to be undone."""
        return Base64() if self.text else None

    def written(self, data: bytes) -> bytes:
        """A piece of the answer in this form."""
        return b64encode(data) if self.text else data

    def last(self, lines: Lines) -> bytes:
        """The trailers as the end of a body."""
        text = b"".join(b"%b: %b\r\n" % line for line in lines)
        return PREFIX.pack(_TRAILERS, len(text)) + text


class Base64:
    """Reads base64 that comes in pieces, each of which may have been padded by itself."""

    def __init__(self) -> None:
        self._rest = b""

    def __call__(self, data: bytes) -> bytes:
        data = self._rest + data
        usable = len(data) - len(data) % 4
        self._rest = data[usable:]
        found = []
        at = 0
        while at < usable:
            # To the end of a group that is padded, behind which another text may begin.
            pad = data.find(b"=", at, usable)
            end = usable if pad < 0 else min(usable, pad - pad % 4 + 4)
            try:
                found.append(b64decode(data[at:end], validate=True))
            except binascii.Error:
                raise Invalid("the body is no base64") from None
            at = end
        return b"".join(found)

    @property
    def incomplete(self) -> bool:
        """Whether a group has begun and not ended."""
        return bool(self._rest)


def _forms() -> dict[bytes, Form]:
    found = {}
    for name, web, text in (
        (b"application/grpc", False, False),
        (b"application/grpc-web", True, False),
        (b"application/grpc-web-text", True, True),
    ):
        for full in (name, name + b"+proto"):
            found[full] = Form(full, web=web, text=text)
    return found


FORMS: Final = _forms()
"""By content type."""


def form_of(content_type: bytes | None) -> Form | None:
    """The form a request's content type announces, ``None`` if that is not gRPC's."""
    if content_type is None:
        return None
    found = FORMS.get(content_type)
    if found is None:
        found = FORMS.get(content_type.partition(b";")[0].strip().lower())
    return found
