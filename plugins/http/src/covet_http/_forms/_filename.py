"""The name a client gives its file, made harmless."""

from __future__ import annotations

import re
from typing import Final

_MAX_LENGTH: Final = 255
# What Windows forbids in a name: a colon leads to a drive or another stream of the file.
_FORBIDDEN: Final = re.compile(r'[<>:"|?*]')
# Control characters, and those that turn the direction of writing: they hide an extension.
_INVISIBLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_DEVICE: Final = re.compile(
    r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)\s*(?:\.|\Z)"
)


def base_name(given: str) -> str:
    """The last segment of what may be a path, safe as a file's name on every system.

    Empty if nothing is left of it. It still is what the client says: two files may have one name.
    """
    name = given.replace("\\", "/").rpartition("/")[2]
    name = _FORBIDDEN.sub("_", _INVISIBLE.sub("", name)).strip(" ").rstrip(". ")
    if _DEVICE.match(name.lower()):
        name = f"_{name}"
    if len(name.encode("utf-8", "replace")) > _MAX_LENGTH:
        name = _shortened(name)
    return name


def _shortened(name: str) -> str:
    """At most 255 bytes, which is what file systems take, with the extension if that is short."""
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension.encode()) > 16:
        stem, extension = name, ""
    else:
        extension = dot + extension
    room = _MAX_LENGTH - len(extension.encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") + extension
