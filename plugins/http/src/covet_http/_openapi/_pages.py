"""The pages that show the document, and what they are made of. Nothing comes from another server."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from hashlib import sha256
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

from covet_http._openapi._config import OpenApiConfig
from covet_kernel.contracts import Record

_HERE: Final = Path(__file__).parent / "page"
_HTML: Final = b"text/html; charset=utf-8"
_SCRIPT: Final = b"text/javascript; charset=utf-8"
_STYLE: Final = b"text/css; charset=utf-8"
_ORIGIN = re.compile(r"(https?://[A-Za-z0-9.\[\]:-]+)(?:[/?#]|\Z)")

# The distribution of the extra `docs`. Only its files are used; nothing of it is imported.
_ASSETS: Final = "drf_spectacular_sidecar"
_SWAGGER: Final = "swagger-ui-dist"
_REDOC: Final = "redoc/bundles"
_LARGE: Final[dict[str, tuple[str, bytes]]] = {
    "swagger-ui.css": (_SWAGGER, _STYLE),
    "swagger-ui-bundle.js": (_SWAGGER, _SCRIPT),
    "redoc.standalone.js": (_REDOC, _SCRIPT),
}
_START_SWAGGER: Final = b"""\
"use strict";
const place = document.getElementById("reference");
SwaggerUIBundle({
  url: new URL(place.getAttribute("data-document"), location.href).href,
  domNode: place,
  deepLinking: true,
  validatorUrl: null,
});
"""
_START_REDOC: Final = b"""\
"use strict";
const place = document.getElementById("reference");
const url = new URL(place.getAttribute("data-document"), location.href).href;
Redoc.init(url, { disableSearch: true }, place);
"""


class Page(Record):
    """One file of the documentation.

    Attributes:
        body: Its bytes.
        content_type: Their media type.
        etag: The entity tag with its quotes.
        headers: More headers.
    """

    body: bytes
    content_type: bytes
    etag: bytes
    headers: tuple[tuple[str, str], ...] = ()


@lru_cache(maxsize=32)
def page(name: str, config: OpenApiConfig) -> Page | None:
    """A file of the documentation by the name behind ``docs_path``; ``None`` if there is none.

    Args:
        name: ``""`` for the page itself.
        config: Where the document is.
    """
    make = _PAGES.get(name)
    if make is not None:
        return make(config)
    if name in _LARGE:
        folder, content_type = _LARGE[name]
        found = _assets()
        if found is not None:
            return _file(found / folder / name, content_type)
    return None


def has_other_pages() -> bool:
    """Whether what Swagger UI and Redoc consist of is installed."""
    return _assets() is not None


def _assets() -> Path | None:
    spec = find_spec(_ASSETS)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "static" / _ASSETS


def _reference(config: OpenApiConfig) -> Page:
    style, script = _beside(config, "page.css"), _beside(config, "page.js")
    return _html(
        config,
        f'<link rel="stylesheet" href="{style}"><script src="{script}" defer></script>',
        "<noscript>This page is made by a script; the document itself is "
        f'<a href="{_document(config)}">here</a>.</noscript>',
        {"script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:"},
    )


def _swagger(config: OpenApiConfig) -> Page:
    names = ("swagger-ui.css", "swagger-ui-bundle.js", "swagger.js")
    style, bundle, start = (_beside(config, name, below=True) for name in names)
    return _other(
        config,
        f'<link rel="stylesheet" href="{style}"><script src="{bundle}" defer></script>'
        f'<script src="{start}" defer></script>',
        {"script-src": "'self'", "style-src": "'self' 'unsafe-inline'", "img-src": "'self' data:"},
    )


def _redoc(config: OpenApiConfig) -> Page:
    names = ("redoc.standalone.js", "redoc.js")
    bundle, start = (_beside(config, name, below=True) for name in names)
    return _other(
        config,
        f'<script src="{bundle}" defer></script><script src="{start}" defer></script>',
        {
            "script-src": "'self'",
            # It writes its styles while it runs.
            "style-src": "'self' 'unsafe-inline'",
            "img-src": "'self' data:",
            "worker-src": "blob:",
        },
    )


def _other(config: OpenApiConfig, head: str, policy: dict[str, str]) -> Page:
    if has_other_pages():
        return _html(config, head, "", policy, below=True)
    home = quote(posixpath.basename(config.docs_path))
    return _html(
        config,
        "",
        "<p>This page takes files that are not installed: <code>pip install"
        f' "covet-http[docs]"</code>. <a href="../{home}">This page</a> needs nothing.</p>',
        {},
        below=True,
    )


def _html(
    config: OpenApiConfig, head: str, body: str, policy: dict[str, str], *, below: bool = False
) -> Page:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(config.title)}</title>{head}</head>"
        f'<body><div id="reference" data-document="{_document(config, below=below)}">'
        f"{body}</div></body></html>"
    )
    rules = {
        "default-src": "'none'",
        **policy,
        "connect-src": " ".join(["'self'", *_origins(config)]),
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return _made(
        text.encode(),
        _HTML,
        ("content-security-policy", "; ".join(f"{name} {value}" for name, value in rules.items())),
    )


def _origins(config: OpenApiConfig) -> Iterator[str]:
    """Where the page may send requests besides its own server."""
    for url in config.servers:
        found = _ORIGIN.match(url)
        if found is not None:
            yield found[1]


def _document(config: OpenApiConfig, *, below: bool = False) -> str:
    """The document's address relative to the page's, so that a prefix some proxy adds does not matter."""
    folder = config.docs_path if below else posixpath.dirname(config.docs_path)
    return escape(quote(posixpath.relpath(config.path, folder)))


def _beside(config: OpenApiConfig, name: str, *, below: bool = False) -> str:
    folder = "" if below else quote(posixpath.basename(config.docs_path)) + "/"
    return escape(folder + name)


def _file(path: Path, content_type: bytes) -> Page | None:
    try:
        return _made(path.read_bytes(), content_type)
    except OSError:
        return None


def _made(body: bytes, content_type: bytes, *headers: tuple[str, str]) -> Page:
    etag = b'"%s"' % sha256(body).hexdigest()[:32].encode()
    return Page(body=body, content_type=content_type, etag=etag, headers=headers)


_PAGES: Final[dict[str, Callable[[OpenApiConfig], Page | None]]] = {
    "": _reference,
    "page.css": lambda config: _file(_HERE / "page.css", _STYLE),
    "page.js": lambda config: _file(_HERE / "page.js", _SCRIPT),
    "swagger": _swagger,
    "swagger.js": lambda config: _made(_START_SWAGGER, _SCRIPT),
    "redoc": _redoc,
    "redoc.js": lambda config: _made(_START_REDOC, _SCRIPT),
}
