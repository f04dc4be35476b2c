"""Headers that tell browsers to be careful: in every answer, whoever makes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

import covet_http as http
from covet_http import SecurityHeaders
from covet_operations import NotFound

DEFAULTS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}


@http.get("/books/{id}")
def book(id: int) -> str:
    if id == 404:
        raise NotFound
    if id == 500:
        raise ValueError
    return "Emma"


@http.get("/page")
async def page(request: http.Request) -> str:
    request.response.set("X-Frame-Options", "SAMEORIGIN")
    return "in a frame"


@http.get("/lines")
async def lines() -> AsyncIterator[int]:
    yield 1


def fixed(self: Any) -> Any:
    yield http.fixed("/robots.txt", "x", content_type="text/plain")
    yield http.fixed(
        "/frame", "x", content_type="text/html", headers={"X-Frame-Options": "SAMEORIGIN"}
    )


ASKED = [
    ("GET", "/books/1", 200),
    ("HEAD", "/books/1", 200),
    ("GET", "/books/404", 404),
    ("GET", "/books/500", 500),
    ("GET", "/books/x", 422),
    ("GET", "/lines", 200),
    ("GET", "/robots.txt", 200),
    ("GET", "/none", 404),
    ("PUT", "/books/1", 405),
    ("OPTIONS", "/books/1", 204),
    ("OPTIONS", "*", 204),
    ("GET", "/%zz", 400),
]


async def test_every_answer_has_them(web: Any) -> None:
    site = {"site": web.plugin_of(covet_http_fixed=fixed)}
    async with web.serving(book, page, lines, plugins=site) as service, service.connect() as client:
        for method, target, status in ASKED:
            answer = await client.ask(method, target)
            assert answer.status == status
            found = {name: answer.headers.get(name) for name in DEFAULTS}
            assert found == DEFAULTS, (method, target)
            assert "strict-transport-security" not in answer.headers
        for target in ("/page", "/frame"):
            answer = await client.ask("GET", target)
            assert answer.headers["x-frame-options"] == "SAMEORIGIN"
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_each_can_be_changed(web: Any) -> None:
    security = {
        "content_type_options": False,
        "frame_options": "",
        "referrer_policy": "same-origin",
        "content_security_policy": "default-src 'none'",
        "permissions_policy": "camera=()",
        "resource_policy": "same-site",
        "opener_policy": "same-origin",
        "hsts_max_age": 31536000,
        "hsts_subdomains": True,
        "hsts_preload": True,
        "headers": {"X-Made-By": "us"},
    }
    async with web.serving(book, http={"security": security}) as service:
        for target in ("/books/1", "/none"):
            headers = (await service.ask("GET", target)).headers
            assert not {"x-content-type-options", "x-frame-options"} & headers.keys()
            assert headers["referrer-policy"] == "same-origin"
            assert headers["content-security-policy"] == "default-src 'none'"
            assert headers["permissions-policy"] == "camera=()"
            assert headers["cross-origin-resource-policy"] == "same-site"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["strict-transport-security"] == (
                "max-age=31536000; includeSubDomains; preload"
            )
            assert headers["x-made-by"] == "us"


@pytest.mark.parametrize(
    "wrong",
    [
        {"headers": {"X-A": "a\r\nb: c"}},
        {"headers": {"X A": "a"}},
        {"headers": {"Content-Length": "0"}},
        {"headers": {"Referrer-Policy": "twice"}},
        {"referrer_policy": "a\nb"},
        {"frame_options": "ALLOW"},
        {"hsts_max_age": -1},
        {"hsts_preload": True},
        {"hsts_preload": True, "hsts_subdomains": True, "hsts_max_age": 60},
    ],
)
def test_what_cannot_be_sent_is_refused_at_the_start(wrong: dict[str, Any]) -> None:
    # bad input 39
    with pytest.raises(ValidationError):
        SecurityHeaders(**wrong)
