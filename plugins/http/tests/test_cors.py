"""Which origins may read answers, whoever makes them; and preflights."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import covet_http as http
from covet_http import CorsConfig
from covet_http._rules._cors import Cors
from covet_operations import NotFound

APP = "https://app.example"
CALLED: list[str] = []


@http.get("/books/{id}")
def book(id: int) -> str:
    CALLED.append("book")
    if id == 404:
        raise NotFound
    if id == 500:
        raise ValueError
    return "Emma"


@http.post("/books")
async def add(title: str) -> str:
    CALLED.append("add")
    return title


@http.get("/lines")
async def lines() -> AsyncIterator[int]:
    yield 1


def fixed(self: Any) -> Any:
    yield http.fixed("/robots.txt", "x", content_type="text/plain")


ASKED = [
    ("GET", "/books/1", 200),
    ("HEAD", "/books/1", 200),
    ("POST", "/books", 415),
    ("GET", "/books/404", 404),
    ("GET", "/books/500", 500),
    ("GET", "/books/x", 422),
    ("GET", "/lines", 200),
    ("GET", "/robots.txt", 200),
    ("GET", "/none", 404),
    ("PUT", "/books/1", 405),
    ("OPTIONS", "/books/1", 204),
]
SITES = {"origins": [APP, "https://*.shop.example", "http://localhost:3000"], "credentials": True}


def serving(web: Any, cors: dict[str, Any], **more: Any) -> Any:
    site = {"site": web.plugin_of(covet_http_fixed=fixed)}
    return web.serving(book, add, lines, plugins=site, http={"cors": cors, **more})


def granted(answer: Any) -> str | None:
    return answer.headers.get("access-control-allow-origin")  # type: ignore[no-any-return]


async def test_every_answer_says_who_may_read_it(web: Any) -> None:
    async with serving(web, {**SITES, "expose": ["location"]}) as service:
        async with service.connect() as client:
            for method, target, status in ASKED:
                for origin in (APP, "https://a.b.shop.example", "http://localhost:3000"):
                    answer = await client.ask(method, target, headers={"Origin": origin})
                    assert answer.status == status, (method, target)
                    assert granted(answer) == origin, (method, target)
                    assert answer.headers["access-control-allow-credentials"] == "true"
                    assert answer.headers["access-control-expose-headers"] == "location"
                    assert "origin" in answer.headers["vary"]
                nobody = await client.ask(method, target)
                assert granted(nobody) is None
                assert "origin" in nobody.headers["vary"]


async def test_other_origins_get_no_permission(entry: Any) -> None:
    # bad input 70
    others = [
        "https://app.example.evil.io", "https://evilapp.example", "https://appXexample", "null", "*",
        "http://app.example", "https://app.example:444", "HTTPS://APP.EXAMPLE", "https://shop.example",
        "https://evilshop.example", "https://a.shop.example:1", "https://evil.io/.shop.example",
        "https://evil.io#.shop.example", "https://a@.shop.example", "https://.shop.example",
        "https://a..shop.example", "https://shop.example.shop.example.evil", "",
        "https://" + "a" * 300 + ".shop.example", "https://\xe9.shop.example",
    ]  # fmt: skip
    async with serving(entry, SITES) as service, service.connect() as client:
        for origin in others:
            for method, target, status in (ASKED[0], ASKED[3], *ASKED[7:]):
                answer = await client.ask(method, target, headers={"Origin": origin})
                assert (answer.status, granted(answer)) == (status, None), (origin, target)
                assert "access-control-allow-credentials" not in answer.headers
            preflight = await client.ask(
                "OPTIONS",
                "/books",
                headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
            )
            assert granted(preflight) is None
            assert "access-control-allow-methods" not in preflight.headers


async def test_a_preflight_is_answered_without_a_handler(entry: Any) -> None:
    CALLED.clear()
    asking = {
        "Origin": "https://a.shop.example",
        "Access-Control-Request-Method": "POST",
        # bad input 70
        "Access-Control-Request-Headers": "x-a," * 5000,
    }
    cors = {**SITES, "headers": ["x-a", "content-type"], "max_age": 60, "private_network": True}
    async with serving(entry, cors) as service:
        answer = await service.ask("OPTIONS", "/books", headers=asking)
        unknown = await service.ask("OPTIONS", "/none", headers=asking)
    assert answer.status == 204
    assert granted(answer) == "https://a.shop.example"
    assert answer.headers["access-control-allow-methods"] == "OPTIONS, POST"
    assert answer.headers["access-control-allow-headers"] == "x-a, content-type"
    assert answer.headers["access-control-max-age"] == "60"
    assert answer.headers["access-control-allow-private-network"] == "true"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert {"origin", "access-control-request-method"} <= set(answer.headers["vary"].split(", "))
    assert (unknown.status, granted(unknown)) == (404, "https://a.shop.example")
    assert CALLED == []


async def test_methods_can_be_fewer_than_there_are(web: Any) -> None:
    asking = {"Origin": APP, "Access-Control-Request-Method": "POST"}
    cors = {"origins": [APP], "methods": ["GET"], "headers": []}
    async with serving(web, cors) as service:
        answer = await service.ask("OPTIONS", "/books", headers=asking)
    assert answer.headers["access-control-allow-methods"] == "GET"
    assert "access-control-allow-headers" not in answer.headers
    assert "access-control-allow-credentials" not in answer.headers


async def test_every_origin_may_read_what_is_public(web: Any) -> None:
    async with serving(web, {"origins": ["*"], "expose": ["etag"]}) as service:
        async with service.connect() as client:
            for method, target, status in ASKED:
                answer = await client.ask(method, target, headers={"Origin": "https://x.example"})
                assert (answer.status, granted(answer)) == (status, "*")
                assert answer.headers["access-control-expose-headers"] == "etag"
                assert "vary" not in answer.headers
            asking = {"Origin": "null", "Access-Control-Request-Method": "POST"}
            preflight = await client.ask("OPTIONS", "/books", headers=asking)
    assert (preflight.status, granted(preflight)) == (204, "*")
    assert preflight.headers["access-control-allow-methods"] == "OPTIONS, POST"


async def test_two_origins_are_malformed(web: Any) -> None:
    async with serving(web, SITES) as service, service.connect() as client:
        for target in ("/books/1", "/none", "/robots.txt"):
            head = f"GET {target} HTTP/1.1\r\nHost: h\r\nOrigin: {APP}\r\nOrigin: {APP}\r\n\r\n"
            await client.send(head.encode())
            answer = await client.answer()
            assert (answer.status, granted(answer)) == (400, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"origins": []},
        {"origins": ["*"], "credentials": True},
        {"origins": ["*", APP]},
        {"origins": [APP], "credentials": True, "headers": ["*"]},
        {"origins": ["null"]},
        {"origins": ["app.example"]},
        {"origins": [f"{APP}/"]},
        {"origins": ["https://APP.example"]},
        {"origins": ["https://*"]},
        {"origins": ["https://a.*.example"]},
        {"origins": ["https://*app.example"]},
        {"origins": [APP], "headers": ["a\r\nb"]},
        {"origins": [APP], "expose": ["a, b"]},
        {"origins": [APP], "max_age": -1},
    ],
)
def test_what_is_unsafe_is_refused_at_the_start(wrong: dict[str, Any]) -> None:
    # bad input 70
    with pytest.raises(ValidationError):
        CorsConfig(**wrong)


async def test_bodies_that_nobody_reads_are_passed_over(web: Any) -> None:
    # bad input 18
    async with serving(web, SITES) as service, service.connect() as client:
        for target, status in (("/none", 404), ("/robots.txt", 405), ("/books/1", 405)):
            body = b"GET /books/500 HTTP/1.1\r\nHost: a\r\n\r\n" * 100
            answer = await client.ask("POST", target, body=body, headers={"Origin": APP})
            assert (answer.status, granted(answer)) == (status, APP)
        assert (await client.ask("GET", "/books/1")).json == "Emma"


@given(st.text(st.sampled_from("htps:/.apexml*-@#\\ A0"), max_size=30))
def test_an_origin_is_granted_exactly_if_a_pattern_says_so(rest: str) -> None:
    # bad input 70
    rule = Cors(CorsConfig(origins=("https://a.ex", "https://*.p.ex:8", "http://[::1]:1")))
    for origin in (rest, f"https://{rest}", f"https://{rest}.p.ex:8", f"{rest}https://a.ex"):
        granted = dict(rule.lines(lambda name, origin=origin: origin.encode()))
        below = re.fullmatch(r"https://[a-z0-9-]+(\.[a-z0-9-]+)*\.p\.ex:8", origin)
        expected = origin == "https://a.ex" or below is not None
        assert granted == ({b"access-control-allow-origin": origin.encode()} if expected else {})
