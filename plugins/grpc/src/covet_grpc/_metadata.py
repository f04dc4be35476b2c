"""Metadata: header fields that applications send, and how texts and bytes travel in them."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from typing import Final, TypeAlias

from covet_operations import Invalid

Lines: TypeAlias = list[tuple[bytes, bytes]]
"""Header fields, as ASGI has them."""

_NAME: Final = re.compile(r"[0-9a-z_.-]+\Z")
_ASCII: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
_UNSAFE: Final = re.compile(rb"[^\x20-\x24\x26-\x7e]")
_RESERVED: Final = frozenset(
    ("connection", "content-length", "content-type", "date", "host", "keep-alive", "te", "trailer",
     "transfer-encoding", "upgrade")
)  # fmt: skip


def metadata_line(name: str, value: str | bytes) -> tuple[bytes, bytes]:
    """A header field, as servers send it.

    Args:
        name: Lower case; one that ends in ``-bin`` takes bytes, every other printable ASCII.
        value: What it says.

    Raises:
        ValueError: It cannot be sent, or is the protocol's to say.
    """
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is no name of metadata: lower-case letters, digits, '-_.'")
    if name in _RESERVED or name.startswith("grpc-"):
        raise ValueError(f"the metadata {name!r} is the protocol's to say")
    if name.endswith("-bin"):
        if isinstance(value, str):
            raise ValueError(f"the metadata {name!r} takes bytes")
        return name.encode("ascii"), b64encode(value).rstrip(b"=")
    if isinstance(value, bytes):
        raise ValueError(f"the metadata {name!r} takes text; bytes go under a name in '-bin'")
    if value and not _ASCII.match(value):
        raise ValueError(f"the value of the metadata {name!r} is no printable ASCII")
    return name.encode("ascii"), value.encode("ascii")


def bytes_of(name: str, value: bytes) -> list[bytes]:
    """The values of a ``-bin`` field, which may be joined by commas and lack their padding.

    Raises:
        Invalid: One of them is no base64.
    """
    found = []
    for part in value.split(b","):
        text = part.strip(b" \t")
        try:
            found.append(b64decode(text + b"=" * (-len(text) % 4), validate=True))
        except binascii.Error:
            raise Invalid(f"the metadata {name!r} is no base64") from None
    return found


def percent_encoded(text: str) -> bytes:
    """A status message as a header's value: UTF-8, what is not printable as ``%XX``."""
    raw = text.encode("utf-8", "replace")
    return raw if not _UNSAFE.search(raw) else _UNSAFE.sub(_escaped, raw)


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]
