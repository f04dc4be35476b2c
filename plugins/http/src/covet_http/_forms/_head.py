"""A part's headers and what they say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from covet_http._forms._filename import base_name
from covet_http._forms._parameters import split_parameters
from covet_http._problem import Malformed

# What browsers send for a field.
_FIELD: Final = re.compile(
    rb'Content-Disposition: form-data; name="([^"\\\x00-\x1f\x7f-\xff]*)"\Z', re.IGNORECASE
)
_LINE: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)\Z")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_MEDIA_TYPE: Final = re.compile(r"[!#$&^_.+0-9A-Za-z-]{1,127}/[!#$&^_.+0-9A-Za-z-]{1,127}\Z")
# Encodings of the content that leave it as it is. RFC 7578, 4.7 has no use for others.
_IDENTITY: Final = ("7bit", "8bit", "binary")
_UTF8: Final = ("utf-8", "utf8", "us-ascii")


class PartHead:
    """What a part's headers say.

    Attributes:
        name: Of the field.
        filename: As the client says, its last segment only; ``None`` for a part that is no file.
        named: Whether the client has chosen a file: browsers send a part for each empty input.
        content_type: Media type in lower case, without parameters; empty if not stated.
        headers: By lower-case name.
    """

    __slots__ = ("content_type", "filename", "headers", "name", "named")

    def __init__(
        self,
        name: str,
        filename: str | None = None,
        content_type: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        named: bool = True,
    ) -> None:
        self.name = name
        self.filename = filename
        self.named = named
        self.content_type = content_type
        self.headers = {} if headers is None else headers


def field_name(lines: Sequence[bytes]) -> str | None:
    """The name of a field whose part has the one header that nearly all of them have."""
    plain = _FIELD.match(lines[0]) if len(lines) == 1 else None
    return None if plain is None else plain[1].decode("ascii")


def part_head(lines: Sequence[bytes]) -> PartHead:
    """Read the header lines of a part.

    Raises:
        Malformed: They are not well-formed, or do not say which field this is.
    """
    try:
        texts = [line.decode("utf-8") for line in lines]
    except UnicodeDecodeError:
        raise Malformed("a part has headers that are not UTF-8") from None
    headers: dict[str, str] = {}
    for text in texts:
        found = _LINE.match(text)
        if found is None or _CONTROL.search(text):
            raise Malformed("a part has a line that is no header")
        name = found[1].lower()
        if name in headers:
            raise Malformed("a part has a header twice")
        headers[name] = found[2].strip(" \t")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()):
        raise Malformed("Content-Length of a part is not a number")
    if headers.get("content-transfer-encoding", "binary").lower() not in _IDENTITY:
        raise Malformed("a part has an encoding that forms do not have")
    return _described(headers)


def _described(headers: dict[str, str]) -> PartHead:
    kind, parameters = split_parameters(headers.get("content-disposition", ""))
    name = parameters.get("name")
    if kind != "form-data" or name is None:
        raise Malformed("a part does not say which field of the form it is")
    filename = parameters.get("filename")
    if filename is None and "filename*" in parameters:
        # RFC 7578, 4.2: must not be used. Taken for a field, a file would be kept in memory.
        raise Malformed("a part has 'filename*' in place of 'filename'")
    content_type, more = split_parameters(headers.get("content-type", ""))
    if content_type and not _MEDIA_TYPE.match(content_type):
        raise Malformed("Content-Type of a part is no media type")
    if filename is None and more.get("charset", "utf-8").lower() not in _UTF8:
        raise Malformed("fields of a form have to be UTF-8")
    return PartHead(
        name,
        None if filename is None else base_name(filename),
        content_type,
        headers,
        named=filename != "",
    )
