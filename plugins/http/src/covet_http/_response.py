"""What is said about an answer besides its body: ``request.response``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final, Literal

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(r"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\Z")
# RFC 6265, 4.1.1: neither blanks nor what separates attributes, so that nothing need be quoted.
_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*\Z")
_COOKIE_PATH = re.compile(r"/[!-:<-~]*\Z")
_COOKIE_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
_SAME_SITE = {"lax": "Lax", "strict": "Strict", "none": "None"}

SERVERS: Final = frozenset(
    ("connection", "content-length", "date", "keep-alive", "te", "trailer", "transfer-encoding",
     "upgrade")
)  # fmt: skip
"""Headers that only the server may send, since they describe the connection."""


class ResponseHead:
    """Status and headers of one answer. Nothing that could break out of a header gets in.

    What a handler or interceptor adds holds for success; a failure drops it, for an error must not
    be cached or set a cookie as its success would have. Headers added with ``always`` survive.

    Attributes:
        content_type: In place of the route's; ``None``: the route's, empty: none.
        length: How many bytes a stream will have, where that is known.
        headers: Names in lower case, and values, of a success.
        always: The same, of failures too.
    """

    __slots__ = ("_status", "always", "content_type", "headers", "length")

    def __init__(self) -> None:
        self._status: int | None = None
        self.content_type: bytes | None = None
        self.length: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.always: list[tuple[bytes, bytes]] = []

    @property
    def status(self) -> int | None:
        """The status of success; ``None``: the route's.

        Raises:
            ValueError: Set to what is no status of an answer. There is no way to set a reason phrase.
        """
        return self._status

    @status.setter
    def status(self, status: int | None) -> None:
        if status is not None and (type(status) is not int or not 200 <= status <= 599):
            raise ValueError(f"{status!r} is no status of an answer")
        self._status = status

    def add(self, name: str, value: str, *, always: bool = False) -> None:
        """Add a header line.

        Args:
            name: Any case.
            value: Latin-1 text.
            always: Whether a failure carries it too.

        Raises:
            ValueError: It cannot be sent, or is the server's to say.
        """
        line = header_line(name, value)
        if line[0] == b"content-type":
            self.content_type = line[1]
        else:
            (self.always if always else self.headers).append(line)

    def set(self, name: str, value: str, *, always: bool = False) -> None:
        """Add a header in place of those of this name. The arguments are those of `add`."""
        key = name.lower().encode("latin-1", "replace")
        self.headers[:] = [line for line in self.headers if line[0] != key]
        self.always[:] = [line for line in self.always if line[0] != key]
        self.add(name, value, always=always)

    def vary(self, name: str) -> None:
        """Say that the answer, success or not, depends on a request header."""
        line = header_line("vary", name.lower())
        if line not in self.always:
            self.always.append(line)

    def set_cookie(
        self,
        name: str,
        value: str,
        *,
        max_age: int | None = None,
        expires: datetime | None = None,
        path: str = "/",
        domain: str = "",
        secure: bool = True,
        http_only: bool = True,
        same_site: Literal["lax", "strict", "none"] = "lax",
    ) -> None:
        """Set a cookie (RFC 6265bis), by default one that scripts cannot read and plain HTTP cannot carry.

        Args:
            name: A token; ``__Host-`` and ``__Secure-`` are held to what they promise.
            value: Printable ASCII without blanks, quotes, commas, semicolons and backslashes.
            max_age: Seconds it lives; until the browser is closed unless given. 0 removes it.
            expires: The same as a time, with a time zone.
            path: Where it is sent.
            domain: Which hosts get it; only this one unless given.
            secure: Only over TLS.
            http_only: Not to scripts.
            same_site: Whether other sites' requests carry it.

        Raises:
            ValueError: Something in it cannot be sent, or contradicts the rest.
        """
        if not _NAME.match(name):
            raise ValueError(f"{name!r} is no name of a cookie")
        if not _COOKIE_VALUE.match(value):
            raise ValueError(f"the value of the cookie {name!r} has characters that cannot be sent")
        if not _COOKIE_PATH.match(path):
            raise ValueError(f"{path!r} is no path of a cookie")
        if domain and not _COOKIE_DOMAIN.match(domain):
            raise ValueError(f"{domain!r} is no domain of a cookie")
        if same_site not in _SAME_SITE:
            raise ValueError(f"{same_site!r} is not among {', '.join(_SAME_SITE)}")
        prefixed = name.lower()
        if not secure and (same_site == "none" or prefixed.startswith(("__secure-", "__host-"))):
            raise ValueError(f"browsers take the cookie {name!r} only with secure=True")
        if prefixed.startswith("__host-") and (domain or path != "/"):
            raise ValueError(f"the cookie {name!r} has no domain, and '/' for a path")
        parts = [f"{name}={value}", f"Path={path}", f"SameSite={_SAME_SITE[same_site]}"]
        if max_age is not None:
            parts.append(f"Max-Age={int(max_age)}")
        if expires is not None:
            if expires.tzinfo is None:
                raise ValueError("expires has no time zone")
            parts.append(f"Expires={format_datetime(expires.astimezone(UTC), usegmt=True)}")
        if domain:
            parts.append(f"Domain={domain}")
        if secure:
            parts.append("Secure")
        if http_only:
            parts.append("HttpOnly")
        self.headers.append((b"set-cookie", "; ".join(parts).encode("ascii")))

    def delete_cookie(self, name: str, *, path: str = "/", domain: str = "") -> None:
        """Have browsers forget a cookie that was set with this path and domain."""
        self.set_cookie(name, "", max_age=0, path=path, domain=domain)


def header_line(name: str, value: str) -> tuple[bytes, bytes]:
    """A header as servers send it, its name in lower case.

    Raises:
        ValueError: It cannot be sent, or is the server's to say.
    """
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is no header name")
    key = name.lower()
    if key in SERVERS:
        raise ValueError(f"the header {name!r} is the server's to say")
    if not _VALUE.match(value):
        raise ValueError(f"{value!r} cannot be the value of the header {name!r}")
    return key.encode("ascii"), value.encode("latin-1")
