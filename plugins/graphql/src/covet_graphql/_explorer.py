"""The page to try queries on: its own markup, style and script, and nothing of another server's."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import quote

import covet_http as http
from covet_graphql._config import GraphqlConfig

_HERE: Final = Path(__file__).parent / "_page"
_FILES: Final = {"page.css": "text/css", "page.js": "text/javascript"}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def files(config: GraphqlConfig) -> Iterator[http.Fixed]:
    """What the page is made of."""
    for name, media_type in _FILES.items():
        path = f"{config.path.rstrip('/')}/{name}"
        text = (_HERE / name).read_text("utf-8")
        yield http.fixed(path, text, content_type=f"{media_type}; charset=utf-8", cache="no-cache")


@lru_cache(maxsize=4)
def page(path: str, stream_path: str) -> bytes:
    """The page itself; addresses in it are relative, so that a prefix some proxy adds does not matter."""
    folder = posixpath.dirname(path) or "/"

    def beside(target: str) -> str:
        return escape(quote(posixpath.relpath(target, folder)), quote=True) if target else ""

    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>GraphQL</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="{beside(path + "/page.css")}">'
        f'<script src="{beside(path + "/page.js")}" defer></script></head>'
        f'<body data-path="{beside(path)}" data-stream="{beside(stream_path)}">'
        '<h1>GraphQL</h1><main><section aria-label="Request"><label for="query">Query</label>'
        '<textarea id="query" spellcheck="false" autofocus>{ __typename }</textarea>'
        '<label for="variables">Variables, as JSON</label>'
        '<textarea id="variables" spellcheck="false"></textarea>'
        '<label for="headers">Headers, as JSON</label>'
        '<textarea id="headers" spellcheck="false"></textarea>'
        '<div><button id="run" title="Ctrl-Enter" aria-keyshortcuts="Control+Enter">Run</button>'
        ' <button id="stop" disabled>Stop</button></div></section>'
        '<section aria-labelledby="answered"><h2 id="answered">Answer</h2>'
        '<pre id="answer" aria-live="polite" tabindex="0"></pre></section>'
        '<section aria-labelledby="schema"><h2 id="schema">Schema</h2>'
        '<input id="find" type="search" placeholder="Find" aria-label="Find in the schema">'
        '<div id="types"></div></section></main></body></html>'
    ).encode()
