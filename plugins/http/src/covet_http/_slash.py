"""Paths that lead nowhere, but would with a slash more or less at their end."""

from __future__ import annotations

from typing import Literal, TypeAlias
from urllib.parse import quote, quote_from_bytes

from covet_http._problem import Problems
from covet_http._route import Reply

SlashPolicy: TypeAlias = Literal["strict", "redirect", "ignore"]
"""What becomes of them: nothing is there, clients are sent there, or they are answered."""

# What may stand in a path and query without an escape (RFC 3986, 3.3 and 3.4), and escapes.
_PATH = "/%:@!$&'()*+,;=-._~"
_QUERY = _PATH + "?"


def other_slash(path: str) -> str:
    """The path with a slash more at its end, or without the one it has; empty: there is no other."""
    if not path.startswith("/") or path == "/":
        return ""
    return path[:-1] if path.endswith("/") else path + "/"


class SlashRedirect:
    """The target that sends clients to the path they meant."""

    def __init__(self, problems: Problems) -> None:
        self._common = problems.common

    def reply(self, path: str, query: bytes, root: str = "") -> Reply:
        """A 308 (RFC 9110, 15.4.9), so that method and body are sent again.

        The location is a path on this origin whatever was sent: what browsers read as the beginning
        of a host, two slashes or a backslash, is not in front.

        Args:
            path: As it was sent.
            query: As it was sent.
            root: What of the path belongs to whom this application is mounted in.
        """
        location = "/" + quote(root + other_slash(path), safe=_PATH).lstrip("/")
        if query:
            location += "?" + quote_from_bytes(query, safe=_QUERY)
        lines = [(b"location", location.encode("ascii")), (b"content-length", b"0"), *self._common]
        return 308, lines, b""
