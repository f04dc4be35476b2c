"""The ``Cookie`` header, read in one pass and without guessing (RFC 6265, 4.2 and 5.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# Browsers drop cookies whose name and value have more together (RFC 6265bis, 5.6).
_LONGEST: Final = 4096
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
# Opaque to us: what other applications of the host have put there is of all sorts.
_VALUE = re.compile(r"[\x20-\x3a\x3c-\x7e]*\Z")


class TooManyCookiesError(Exception):
    """There are more cookies than accepted."""


def parse_cookies(lines: Iterable[bytes], *, limit: int) -> dict[str, str]:
    """Cookies by name; of one that comes twice the first counts, whose path is the closer one.

    Dropped are those without a name, for a name could be made up from the value; with a name that is
    no token; with control characters, bytes beyond ASCII, or more than 4096 characters. A value is
    what stands there: quotes stay, and nothing is unescaped.

    Args:
        lines: The values of ``Cookie`` headers.
        limit: The most cookies accepted.

    Raises:
        TooManyCookiesError: There are more.
    """
    cookies: dict[str, str] = {}
    left = limit
    for line in lines:
        left -= line.count(b";") + 1
        if left < 0:
            raise TooManyCookiesError(f"more than {limit} cookies")
        for pair in line.decode("latin-1").split(";"):
            name, equals, value = pair.partition("=")
            name, value = name.strip(" \t"), value.strip(" \t")
            if (
                equals
                and len(name) + len(value) <= _LONGEST
                and name not in cookies
                and _NAME.match(name)
                and _VALUE.match(value)
            ):
                cookies[name] = value
    return cookies
