"""Only the hosts that a service is for are answered, whatever the path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import covet_http as http
from covet_http import AllowedHosts, HostPattern

PATTERNS = ("shop.example", "*.api.example", "[::1]", "127.0.0.1")


@http.get("/books")
async def books() -> list[int]:
    return [1]


def fixed(self: Any) -> Any:
    yield http.fixed("/robots.txt", "x", content_type="text/plain")


async def test_others_get_421_on_every_path(entry: Any) -> None:
    # bad input 35
    site = {"site": entry.plugin_of(covet_http_fixed=fixed)}
    config = {"allowed_hosts": list(PATTERNS), "health_path": "/health"}
    async with entry.serving(books, plugins=site, http=config) as service:
        async with service.connect() as client:
            for target in ("/books", "/robots.txt", "/health", "/none"):
                for host in ("shop.example", "SHOP.example:8000", "a.b.api.example", "[::1]:80"):
                    answer = await client.ask("GET", target, headers={"Host": host})
                    assert answer.status == (404 if target == "/none" else 200), (target, host)
            for method, target in (
                ("GET", "/books"), ("PUT", "/books"), ("OPTIONS", "/books"), ("GET", "/robots.txt"),
                ("GET", "/health"), ("GET", "/none"), ("OPTIONS", "*"), ("GET", "/%zz"),
            ):  # fmt: skip
                for host in ("evil.example", "shop.example.evil.io", "api.example", "localhost"):
                    answer = await client.ask(method, target, headers={"Host": host})
                    assert answer.status == 421, (method, target, host)
                    assert answer.json["code"] == "misdirected"
                    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_host_of_an_absolute_target_counts_as_well(web: Any) -> None:
    config = {"allowed_hosts": ["shop.example"]}
    async with web.serving(books, http=config) as service:
        headers = {"Host": "shop.example"}
        good = await service.ask("GET", "http://shop.example/books", headers=headers)
        evil = await service.ask("GET", "http://evil.example/books", headers=headers)
    assert (good.status, evil.status) == (200, 400)


async def test_a_request_without_a_host_is_for_nobody(web: Any) -> None:
    async with web.serving(books, http={"allowed_hosts": ["shop.example"]}) as service:
        async with service.connect() as client:
            await client.send(b"GET /books HTTP/1.0\r\n\r\n")
            data = await client.until_closed()
    assert data.split(b" ")[1] == b"421"


@pytest.mark.parametrize(
    "pattern",
    [
        "", "*", "*.", "a..b", ".a", "a.", "-a", "a-", "https://a", "a:80", "a/b", "a*", "a.*", "*a.b",
        "*.*.a", "a b", "a,b", "é.example", "[::1", "::1", "[::1]:80", "a" * 256,
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused_at_the_start(pattern: str) -> None:
    adapter: TypeAdapter[str] = TypeAdapter(HostPattern)
    with pytest.raises(ValidationError):
        adapter.validate_python(pattern)


@given(st.text(st.sampled_from("aA.*-:[]1"), max_size=12))
def test_a_host_is_allowed_exactly_if_a_pattern_says_so(host: str) -> None:
    allowed = AllowedHosts(("a.a", "*.a.a", "[::1]"))
    name = host.partition("]")[0] + "]" if "]" in host else host.partition(":")[0]
    name = name.lower()
    expected = name in ("a.a", "[::1]") or (name.endswith(".a.a") and name != ".a.a")
    assert allowed.allow(host.encode()) == expected
