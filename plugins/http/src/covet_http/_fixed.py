"""Answers declared once: fixed bodies and redirects, which no handler has to be called for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from covet_http._answers import PreparedAnswer
from covet_http._dispatch import Target
from covet_http._media import is_media_type
from covet_http._origin import is_path_here, is_url
from covet_http._problem import Headers
from covet_http._router import Router
from covet_http._template import BadTemplateError, Parameter, parse_template
from covet_kernel import ConfigurationError
from covet_kernel.contracts import Record

_CODE: Final = "COVET-HTTP-FIXED-INVALID"
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_EMPTY: Final = (204, 205, 304)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+\Z")
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\Z")
_ETAG = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"\Z')
# Said by an argument, or by the server for each connection.
_ARGUMENTS: Final = {"content-type": "content_type", "cache-control": "cache", "etag": "etag"}
_SERVERS: Final = frozenset(
    (b"connection", b"content-length", b"date", b"keep-alive", b"te", b"trailer",
     b"transfer-encoding", b"upgrade")
)  # fmt: skip


class Fixed(Record):
    """A complete answer at one path, for ``covet_http_fixed``; usually of `fixed` or `redirect`.

    Attributes:
        path: Where; plain segments only.
        methods: The methods that get it; ``HEAD`` comes with ``GET``.
        status: The status.
        headers: Names in lower case, and values, as they are sent, the entity tag's included.
        body: The body.
        etag: The entity tag with its quotes; empty: it is not conditional.

    Raises:
        ConfigurationError: The path is none, or something in it cannot be sent.
    """

    path: str
    methods: tuple[str, ...] = ("GET",)
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    etag: bytes = b""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        try:
            plain_path(self.path)
        except BadTemplateError as error:
            raise ConfigurationError(
                "COVET-HTTP-PATH-INVALID",
                f"{self.path!r} is no path for a fixed answer: {error}.",
                fix="Write it like '/robots.txt'.",
            ) from None
        if not self.methods or not set(self.methods) <= set(_METHODS):
            said = ", ".join(self.methods) or "no methods"
            raise _bad(self.path, f"is for {said}", _METHODS)
        if not 200 <= self.status <= 599 or (self.status in _EMPTY and self.body):
            raise _bad(self.path, f"has status {self.status}, which cannot be sent like that")
        for name, value in self.headers:
            self._check_header(name, value)
        tags = [value for name, value in self.headers if name == b"etag"]
        if self.etag and (tags != [self.etag] or self.status != 200 or not _ETAG.match(self.etag)):
            raise _bad(self.path, f"has an entity tag {self.etag!r} that cannot be sent")

    def _check_header(self, name: bytes, value: bytes) -> None:
        if not _NAME.match(name):
            raise _bad(self.path, f"has the header {_text(name)}, which is no header name")
        if name in _SERVERS:
            raise _bad(self.path, f"has the header {_text(name)}, which is the server's to say")
        if not _VALUE.match(value):
            raise _bad(self.path, f"has {_text(value)} as {name.decode()}: no header can carry it")

    @property
    def answer(self) -> PreparedAnswer:
        """What servers send."""
        headers: Headers = [*self.headers]
        if self.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(self.body)))
        return PreparedAnswer((self.status, headers, self.body), self.etag)


def fixed(
    path: str,
    body: bytes | str,
    *,
    content_type: str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    cache: str = "",
    etag: bool = True,
) -> Fixed:
    """A body that is the same for everybody, for ``covet_http_fixed``.

    Args:
        path: Where; without parameters.
        body: Text is sent as UTF-8.
        content_type: Its media type.
        headers: More headers.
        cache: The value of ``Cache-Control``; empty: none is sent.
        etag: Whether to send an entity tag made of the body, and 304 to those who have it.

    Raises:
        ConfigurationError: The path is none, or a header cannot be sent.
    """
    if not is_media_type(content_type):
        raise _bad(path, f"has {content_type!r} as content_type, which is no media type")
    content = body.encode("utf-8") if isinstance(body, str) else bytes(body)
    lines = [(b"content-type", _encoded(path, content_type))]
    if cache:
        lines.append((b"cache-control", _encoded(path, cache)))
    for given, value in headers.items() if isinstance(headers, Mapping) else headers:
        name = given.lower()
        if name in _ARGUMENTS:
            raise _bad(path, f"has the header {given!r}; say it with {_ARGUMENTS[name]}=")
        lines.append((_encoded(path, name), _encoded(path, value)))
    tag = b""
    if etag:
        tag = b'"%s"' % sha256(content).hexdigest()[:32].encode()
        lines.append((b"etag", tag))
    return Fixed(path=path, headers=tuple(lines), body=content, etag=tag)


def redirect(
    path: str,
    to: str,
    *,
    status: int = 308,
    external: bool = False,
    methods: Sequence[str] = ("GET",),
    cache: str = "",
) -> Fixed:
    """A redirect, for ``covet_http_fixed``. The query is not carried over.

    Args:
        path: From where; without parameters.
        to: A path on this server, starting with one ``/``, percent-encoded.
        status: 301, 302, 303, 307 or 308; the last two have clients repeat the method and the body.
        external: ``to`` is an ``https://`` or ``http://`` URL instead.
        methods: The methods that are redirected; ``HEAD`` comes with ``GET``.
        cache: The value of ``Cache-Control``; empty: none is sent.

    Raises:
        ConfigurationError: The path is none, or the target leads elsewhere than it says.
    """
    if status not in _REDIRECTS:
        raise _bad(path, f"has status {status}, which is no redirect", map(str, _REDIRECTS))
    if external and not is_url(to):
        raise _bad(path, f"leads to {to!r}, which is no https or http URL in plain ASCII")
    if not external and not is_path_here(to):
        raise _bad(
            path,
            f"leads to {to!r}, which is no path on this server: it starts with one '/' and has"
            " neither backslashes nor what has to be percent-encoded",
            fix="Say external=True if it is a URL of another server.",
        )
    if re.split(r"[?#]", to)[0] == path:
        raise _bad(path, "leads to itself")
    lines = [(b"location", to.encode("ascii"))]
    if cache:
        lines.append((b"cache-control", _encoded(path, cache)))
    unique = tuple(dict.fromkeys(methods))
    return Fixed(path=path, methods=unique, status=status, headers=tuple(lines))


def health(path: str) -> Fixed:
    """The answer that says that requests are served."""
    return fixed(
        path, b'{"status":"ok"}', content_type="application/json", cache="no-store", etag=False
    )


def add_fixed(
    routes: Router[Target], given: Fixed, owner: str, common: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Put a fixed answer into a router.

    Args:
        routes: Takes it.
        given: The answer.
        owner: Who declared it.
        common: Headers of every answer.

    Raises:
        ConfigurationError: Another route is there, or this is no `Fixed`.
    """
    if not isinstance(given, Fixed):
        raise ConfigurationError(
            _CODE,
            f"{owner} declares {given!r}, which is no fixed answer.",
            place="covet_http_fixed",
            fix="Declare what http.fixed or http.redirect returns.",
        )
    answer = given.answer.with_common(common)
    for method in given.methods:
        routes.add(method, given.path, answer, types=(), owner=f"a fixed answer ({owner})")


def plain_path(path: str) -> str:
    """The path itself.

    Raises:
        ValueError: It is no path, or has parameters.
    """
    if any(isinstance(segment, Parameter) for segment in parse_template(path)):
        raise BadTemplateError("it has parameters, and a fixed answer cannot depend on them")
    return path


def _encoded(path: str, text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise _bad(path, f"has {text!r} in a header, which none can carry") from None


def _text(raw: bytes) -> str:
    return repr(raw.decode("latin-1"))


def _bad(
    path: str,
    problem: str,
    valid: Iterable[str] = (),
    fix: str = "Change the declaration; see http.fixed and http.redirect.",
) -> ConfigurationError:
    return ConfigurationError(
        _CODE, f"the fixed answer at {path} {problem}.", valid=tuple(valid), fix=fix
    )
