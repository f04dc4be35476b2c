"""The pages that show the document: complete, harmless, and nothing from elsewhere."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated, Any

import pytest

import covet_http as http
from covet_http._openapi import _pages
from covet_http._openapi._pages import page
from covet_operations import operation

HOSTILE_NAME = "$'*|~"  # as hostile as a name of a header may be
HOSTILE = "</title><script>alert(1)</script>\"'&"


class Tags(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(autouse=True)
def _fresh() -> None:
    page.cache_clear()


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of the extra, its files shortened."""
    for name, (folder, _) in _pages._LARGE.items():
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"/* {name} */".encode())
    monkeypatch.setattr(_pages, "_assets", lambda: tmp_path)
    return tmp_path


def shown(name: str, **config: Any) -> tuple[Tags, dict[str, str]]:
    found = page(name, http.OpenApiConfig(**config))
    assert found is not None
    assert found.content_type == b"text/html; charset=utf-8"
    return Tags(found.body.decode()), dict(found.headers)


def addresses(tags: Tags) -> list[str]:
    return [
        value
        for _, attributes in tags.found
        for name, value in attributes.items()
        if name in ("src", "href", "data-document") and value is not None
    ]


# bad input 76
@pytest.mark.parametrize("name", ["", "swagger", "redoc"])
def test_pages_are_harmless(assets: Path, name: str) -> None:
    tags, headers = shown(name, title=HOSTILE)
    scripts = [attributes for tag, attributes in tags.found if tag == "script"]
    assert scripts
    assert all(set(each) == {"src", "defer"} for each in scripts)
    assert not any(key.startswith("on") for _, each in tags.found for key in each)
    assert all("//" not in address for address in addresses(tags))
    assert "alert(1)" in tags.text
    policy = headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; " in policy
    assert "base-uri 'none'; form-action 'none'; frame-ancestors 'none'" in policy
    assert not re.search(r"https?:|unsafe-eval|\*", policy)
    assert ("unsafe-inline" in policy) == bool(name), "our own page needs no exception"


@operation(summary=HOSTILE, tags=(HOSTILE,))
@http.get("/hostile")
async def hostile(given: Annotated[str, http.Query(HOSTILE_NAME)] = HOSTILE) -> str:
    return given


hostile.__doc__ = HOSTILE


async def test_what_is_hostile_is_only_text_on_the_wire(entry: Any) -> None:
    # bad input 76
    config = {"openapi": {"title": HOSTILE, "description": HOSTILE}}
    async with entry.serving(hostile, http=config) as service, service.connect() as client:
        shown = await client.ask("GET", "/docs")
        assert shown.headers["content-type"] == "text/html; charset=utf-8"
        assert shown.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'; script-src 'self'; " in shown.headers["content-security-policy"]
        tags = Tags(shown.body.decode())
        assert all("src" in each for tag, each in tags.found if tag == "script")
        assert not any(key.startswith("on") for _, each in tags.found for key in each)
        assert all("//" not in address for address in addresses(tags))
        told = await client.ask("GET", "/openapi.json")
        assert told.headers["content-type"].startswith("application/")
        assert told.headers["x-content-type-options"] == "nosniff"
        assert told.json["info"]["title"] == HOSTILE
        assert told.json["paths"]["/hostile"]["get"]["summary"] == HOSTILE
        # What is wrong with a request is said as JSON, whatever the request says.
        for target in ("/%3Cscript%3Ealert(1)%3C/script%3E", "/hostile?%3Cscript%3E=%zz"):
            answer = await client.ask("GET", target)
            assert answer.headers["content-type"] == "application/problem+json"
            assert b"<script>" not in answer.body


def test_the_script_of_our_page_makes_no_markup_of_the_document() -> None:
    found = page("page.js", http.OpenApiConfig())
    assert found is not None
    script = found.body.decode()
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert word not in script
    hosts = {match for match in re.findall(r"https?://([\w.]+)", script) if match}
    assert hosts == {"example.org", "nowhere.invalid"}


def test_addresses_are_relative() -> None:
    tags, _ = shown("")
    assert addresses(tags)[:3] == ["docs/page.css", "docs/page.js", "openapi.json"]
    tags, _ = shown("", path="/api/v1/spec.json", docs_path="/help/api")
    assert addresses(tags)[:3] == ["api/page.css", "api/page.js", "../api/v1/spec.json"]


def test_requests_may_go_to_the_servers_of_the_document() -> None:
    servers = ("https://shop.example/v1", "/v2", "https://a.example:8443", "javascript:x")
    _, headers = shown("", servers=servers)
    policy = headers["content-security-policy"]
    assert "connect-src 'self' https://shop.example https://a.example:8443; " in policy


@pytest.mark.parametrize("name", ["swagger", "redoc"])
def test_other_pages_say_what_to_install(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(_pages, "_assets", lambda: None)
    tags, headers = shown(name)
    assert 'pip install "covet-http[docs]"' in tags.text
    assert "script" not in {tag for tag, _ in tags.found}
    assert headers["content-security-policy"].startswith("default-src 'none'; connect-src")
    assert page("swagger-ui.css", http.OpenApiConfig()) is None


def test_the_extra_brings_the_files_the_pages_name(assets: Path) -> None:
    for name in ("swagger", "redoc"):
        tags, _ = shown(name)
        for address in addresses(tags):
            if address.endswith((".js", ".css")):
                found = page(address, http.OpenApiConfig())
                assert found is not None
                assert found.body


def test_the_extra_still_has_these_files() -> None:
    for name in _pages._LARGE:
        found = page(name, http.OpenApiConfig())
        assert found is not None, name
        assert len(found.body) > 100_000
    assert "drf_spectacular_sidecar" not in sys.modules


async def test_pages_are_served(web: Any) -> None:
    @http.get("/books")
    async def books() -> list[int]: ...  # type: ignore[empty-body]

    async with web.serving(books) as service, service.connect() as client:
        home = await client.ask("GET", "/docs")
        style = await client.ask("GET", "/docs/page.css")
        script = await client.ask("GET", "/docs/page.js")
        nothing = await client.ask("GET", "/docs/..%2fpage.js")
        other = await client.ask("GET", "/docs/_pages.py")
    assert home.status == 200
    assert home.headers["content-security-policy"].startswith("default-src 'none'")
    assert home.headers["x-content-type-options"] == "nosniff"
    assert home.headers["referrer-policy"] == "no-referrer"
    assert home.headers["content-type"] == "text/html; charset=utf-8"
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert b"prefers" in style.body or b"color-scheme" in style.body
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["etag"]
    assert nothing.status == other.status == 404
    assert other.json["code"] == "no-such-page"
