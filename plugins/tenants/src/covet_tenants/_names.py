"""What a tenant may be called, since schemas and files are named for it."""

from __future__ import annotations

import re

NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?", re.ASCII)


def is_name(text: object) -> bool:
    """Whether it can be a tenant's: at most 40 of a to z, 0 to 9, and ``_`` and ``-`` within."""
    return isinstance(text, str) and NAME.fullmatch(text) is not None


def quoted(name: str) -> str:
    """An identifier, as every dialect here reads it."""
    return '"' + name.replace('"', '""') + '"'
