"""Media types, as ``Content-Type`` carries them."""

from __future__ import annotations

import re
from typing import Final

EVENT_STREAM: Final = "text/event-stream"

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(
    rf'{_WORD}/{_WORD}(?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|"[\x20!\x23-\x5b\x5d-\x7e]*"))*\Z'
)


def is_media_type(text: str) -> bool:
    """Whether it is a media type, parameters included (RFC 9110, 8.3.1)."""
    return _MEDIA_TYPE.match(text) is not None


def is_json(media_type: str) -> bool:
    """Whether documents of this type are JSON."""
    kind = media_type.partition(";")[0].strip(" \t").lower()
    return kind == "application/json" or kind.endswith("+json")


def with_charset(media_type: str) -> str:
    """The type of a text that is sent as UTF-8: says so, unless it says something itself."""
    if media_type.lower().startswith("text/") and ";" not in media_type:
        return f"{media_type}; charset=utf-8"
    return media_type
