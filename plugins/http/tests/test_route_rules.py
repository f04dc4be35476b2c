"""What single routes say about themselves: caching, entity tags, the size of bodies."""

from __future__ import annotations

from typing import Any

import pytest

import covet_http as http
from covet_operations import NotFound

TEXT = "x" * 3000


@http.get("/cached/{id}", cache="max-age=60")
async def cached(id: int) -> str:
    if id == 404:
        raise NotFound
    return "Emma"


@http.get("/own", cache="max-age=60")
async def own(request: http.Request) -> str:
    request.response.set("Cache-Control", "no-store")
    return "Emma"


@http.get("/tagged", etag=True, cache="max-age=60")
def tagged(n: int = 0) -> list[int]:
    return [n]


@http.get("/versioned", etag=True)
async def versioned(request: http.Request) -> str:
    request.response.set("ETag", '"7"')
    return "Emma"


@http.get("/plain")
def plain() -> str:
    return "Emma"


@http.get("/untagged", etag=False)
def untagged() -> str:
    return "Emma"


@http.post("/large", max_body=5000)
async def large(text: str) -> int:
    return len(text)


@http.post("/small", max_body=100)
async def small(text: str) -> int:
    return len(text)


@http.post("/usual")
async def usual(text: str) -> int:
    return len(text)


async def test_the_cache_is_told_about_successes(web: Any) -> None:
    async with web.serving(cached, own) as service, service.connect() as client:
        answer = await client.ask("GET", "/cached/1")
        head = await client.ask("HEAD", "/cached/1")
        missing = await client.ask("GET", "/cached/404")
        other = await client.ask("GET", "/own")
    assert answer.headers["cache-control"] == head.headers["cache-control"] == "max-age=60"
    assert (missing.status, missing.headers.get("cache-control")) == (404, None)
    assert other.headers["cache-control"] == "no-store"


async def test_those_who_have_an_answer_get_304(web: Any) -> None:
    async with web.serving(tagged, versioned, plain, untagged) as service:
        async with service.connect() as client:
            whole = await client.ask("GET", "/tagged")
            tag = whole.headers["etag"]
            assert (whole.status, whole.json, tag[0], tag[-1]) == (200, [0], '"', '"')
            for given in (tag, f"W/{tag}", f'"x", {tag}', "*"):
                for method in ("GET", "HEAD"):
                    await client.send(
                        f"{method} /tagged HTTP/1.1\r\nHost: a\r\nIf-None-Match: {given}\r\n\r\n".encode()
                    )
                    answer = await client.answer("HEAD")
                    assert (answer.status, answer.headers["etag"]) == (304, tag)
                    assert answer.headers["cache-control"] == "max-age=60"
                    assert "content-type" not in answer.headers
            two = f'If-None-Match: "x"\r\nIf-None-Match: {tag}'
            await client.send(f"GET /tagged HTTP/1.1\r\nHost: a\r\n{two}\r\n\r\n".encode())
            assert (await client.answer("HEAD")).status == 304
            for given in ('"x"', tag[:-1], "nonsense"):
                answer = await client.ask("GET", "/tagged", headers={"If-None-Match": given})
                assert (answer.status, answer.json) == (200, [0])
            other = await client.ask("GET", "/tagged?n=1", headers={"If-None-Match": tag})
            assert (other.status, other.json) == (200, [1])
            assert other.headers["etag"] != tag
            assert (await client.ask("GET", "/tagged?n=x")).headers.get("etag") is None
            assert (await client.ask("GET", "/versioned")).headers["etag"] == '"7"'
            assert "etag" not in (await client.ask("GET", "/plain")).headers


async def test_every_route_can_have_them(web: Any) -> None:
    async with web.serving(plain, untagged, large, http={"etags": True}) as service:
        assert "etag" in (await service.ask("GET", "/plain")).headers
        assert "etag" not in (await service.ask("GET", "/untagged")).headers
        assert "etag" not in (await service.ask("POST", "/large", json={"text": "x"})).headers


async def test_bodies_have_the_size_of_their_route(web: Any) -> None:
    async with web.serving(large, small, usual, http={"max_body_bytes": 1000}) as service:
        for target, size, status in (
            ("/large", 3000, 200),
            ("/large", 6000, 413),
            ("/small", 50, 200),
            ("/small", 500, 413),
            ("/usual", 500, 200),
            ("/usual", 3000, 413),
        ):
            answer = await service.ask("POST", target, json={"text": "x" * size})
            assert answer.status == status, (target, size)


@pytest.mark.parametrize(
    ("decorator", "why"),
    [
        (http.get("/x", cache="a\r\nb"), "cached as nothing can be"),
        (http.post("/x", max_body=-1), "bodies of -1 bytes"),
        (http.put("/x", idempotency="optional"), "may be repeated as it is"),
    ],
)
async def test_what_cannot_be_meant_is_an_error_at_the_start(
    web: Any, decorator: Any, why: str
) -> None:
    def wrong() -> None: ...

    with pytest.raises(ExceptionGroup) as caught:
        async with web.serving(decorator(wrong)):
            raise AssertionError
    assert why in repr(caught.value.exceptions)
