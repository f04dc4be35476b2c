"""What HTTP/2 and HTTP/3 have in common: which requests are sound, and how an answer's head is written.

Nothing in a request may be taken for something else where it is HTTP/1 shaped: behind a proxy that
translates, and in the scope of an application (RFC 9113, 8.2 and 8.3; RFC 9114, 4.2 and 4.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from covet_hypercorn._strict import HOST

_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_PATH = re.compile(rb"/[\x21\x22\x24-\x7e]*\Z")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+\Z")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
_LENGTH = re.compile(rb"\d{1,18}\Z")
# Method and protocol of a request for a WebSocket (RFC 8441, 4).
WEBSOCKET: Final = (b"CONNECT", b"websocket")
_SCHEMES: Final = frozenset((b"http", b"https"))
_PSEUDO: Final = frozenset((b":method", b":scheme", b":authority", b":path"))
# About one connection of HTTP/1.1 (RFC 9114, 4.2).
_OF_CONNECTIONS: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)

Field = tuple[bytes, bytes]


def is_sound(pseudo: dict[bytes, bytes], headers: Sequence[Field]) -> bool:
    """Whether a request of known form can be passed on.

    Args:
        pseudo: What begins with a colon.
        headers: The other fields, of which the order is kept.
    """
    method, path = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    if not _METHOD.match(method):
        return False
    extended = b":protocol" in pseudo
    if extended and method != b"CONNECT":
        return False
    if method != b"CONNECT" or extended:
        asterisk = path == b"*" and method == b"OPTIONS"
        if not (_PATH.match(path) or asterisk) or pseudo.get(b":scheme") not in _SCHEMES:
            return False
    hosts = [value for name, value in headers if name == b"host"]
    authority = pseudo.get(b":authority")
    named = [*hosts, *([authority] if authority is not None else [])]
    if not named or len(hosts) > 1 or not all(HOST.match(each) for each in named):
        return False
    lengths = [value for name, value in headers if name == b"content-length"]
    if len(lengths) > 1 or not all(_LENGTH.match(each) for each in lengths):
        return False
    return all(_NAME.match(name) and _VALUE.match(value) for name, value in headers)


def read_request(fields: Iterable[Field]) -> tuple[dict[bytes, bytes], list[Field]] | None:
    """The pseudo-headers and the headers of a request, ``None`` if it is malformed.

    For a protocol whose library says nothing about it. Crumbs of a cookie are put together.
    """
    pseudo: dict[bytes, bytes] = {}
    headers: list[Field] = []
    crumbs: list[bytes] = []
    for name, value in fields:
        if name[:1] == b":":
            if headers or crumbs or name in pseudo or name not in _PSEUDO:
                return None
            pseudo[name] = value
        elif name == b"cookie":
            crumbs.append(value)
        elif not _may_be_sent(name, value):
            return None
        else:
            headers.append((name, value))
    if crumbs:
        headers.append((b"cookie", b"; ".join(crumbs)))
    if not is_sound(pseudo, headers):
        return None
    hosts = {value for name, value in headers if name == b"host"}
    hosts |= {value for name, value in pseudo.items() if name == b":authority"}
    return (pseudo, headers) if len(hosts) == 1 and b"" not in hosts else None


def are_trailers(fields: Iterable[Field]) -> bool:
    """Whether these may stand behind a body."""
    return all(
        _NAME.match(name) and _VALUE.match(value) and _may_be_sent(name, value)
        for name, value in fields
    )


def _may_be_sent(name: bytes, value: bytes) -> bool:
    if name in _OF_CONNECTIONS or (name == b"te" and value != b"trailers"):
        return False
    return value.strip(b"\t ") == value


def put_host(pseudo: dict[bytes, bytes], headers: list[Field]) -> list[Field]:
    """The headers as HTTP/1.1 has them: the authority is the ``Host``, and the first."""
    authority = pseudo.get(b":authority")
    if authority is None:
        return headers
    return [(b"host", authority), *(each for each in headers if each[0] != b"host")]


def answer_fields(status: int, headers: Iterable[Field]) -> list[Field]:
    """The head of an answer.

    Raises:
        ValueError: Something cannot be a header.
    """
    return [(b":status", b"%d" % status), *sent_fields(headers)]


def sent_fields(headers: Iterable[Field]) -> list[Field]:
    """Headers or trailers as they are sent; what is about the connection is left out.

    Raises:
        ValueError: Something cannot be one.
    """
    fields = [(name.lower(), value.strip(b"\t ")) for name, value in headers]
    for name, value in fields:
        if not (_NAME.match(name) and _VALUE.match(value)):
            raise ValueError(f"{name!r}: {value!r} cannot be a header")
    return [each for each in fields if each[0] not in _OF_CONNECTIONS]
