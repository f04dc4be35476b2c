"""What must not reach a handler, byte by byte over a socket, and that the service lives on."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

import covet_http as http

CALLED: list[Any] = []


class Number(BaseModel):
    n: int


@http.post("/numbers")
async def number(given: Number) -> int:
    CALLED.append(given)
    return given.n


@http.post("/any")
async def anything(value: Any) -> str:
    CALLED.append(value)
    return type(value).__name__


@http.get("/items/{id}")
async def item(id: int, q: str = "") -> int:
    CALLED.append(id)
    return id


@http.get("/echo/{text}")
async def echo(text: str) -> str:
    CALLED.append(text)
    return text


FUNCTIONS = (number, anything, item, echo)


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    CALLED.clear()


def post(
    body: bytes, content_type: str | None = "application/json", path: str = "/numbers"
) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    if content_type is not None:
        lines.append(f"Content-Type: {content_type}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


async def outcome(web: Any, data: bytes, **http_config: Any) -> Any:
    """The answer to these bytes; afterwards the service has to answer others."""
    async with web.serving(*FUNCTIONS, http=http_config) as service:
        async with service.connect() as client:
            await client.send(data)
            answer = await client.answer()
        CALLED.append("end")
        assert (await service.ask("GET", "/items/1")).status == 200
    return answer


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("@evil.example", 400),
        ("evil.example/x", 400),
        ("*", 400),
        ("http://evil.example/items/1", 400),
        ("/items/%", 400),
        ("/items/%zz", 400),
        ("/items/%00", 400),
        ("/items/%ff", 400),
        ("/items/1?q=%00", 400),
        ("/items/1?q=%ff", 400),
        ("/items/1?" + "&".join(f"k{n}=v" for n in range(2000)), 400),
        ("/items/" + "9" * 5000, 422),
        ("/items/1e5", 422),
        ("/items/0x10", 422),
        ("/items/%D9%A3", 422),
        ("//evil.example/items/1", 404),
        ("/items//1", 404),
        ("/./items/1", 404),
        ("/__class__", 404),
    ],
)
async def test_targets(entry: Any, target: str, status: int) -> None:
    # bad input 36, 37, 41
    data = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    answer = await outcome(entry, data)
    assert answer.status == status
    assert CALLED[0] == "end"
    if not target.startswith("/") and entry.server != "asgi":
        # Refused with its head, before there is anything that could render a document.
        assert answer.headers["connection"] == "close"
        assert answer.body == b""
    else:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "host", ["a/admin?", "u@h", "h/p", "a,b", "a b", "[::1", "a:b", "a:1234567", "\x7f", "é"]
)
async def test_hosts(entry: Any, host: str) -> None:
    # bad input 20, 35
    data = b"GET /items/1 HTTP/1.1\r\nHost: " + host.encode("latin-1") + b"\r\n\r\n"
    answer = await outcome(entry, data)
    assert answer.status == 400
    assert CALLED[0] == "end"


@pytest.mark.parametrize("host", ["localhost", "a.example:80", "[::1]:8000", "10.0.0.1"])
async def test_good_hosts(web: Any, host: str) -> None:
    data = f"GET /items/1 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert (await outcome(web, data)).status == 200


@pytest.mark.parametrize("method", ["__init__", "dispatch", "get", "TRACE", "POST", "BREW"])
async def test_methods(entry: Any, method: str) -> None:
    # bad input 37
    data = f"{method} /items/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode()
    answer = await outcome(entry, data)
    assert answer.status == 405


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json",
     "application/jsonp", "application/json, text/plain", "", "\xa0application/json",
     "application/json\x85", "application/json\xa0;charset=utf-8", "application/x+json\x85"],
)  # fmt: skip
async def test_json_by_another_name_is_refused(entry: Any, content_type: str | None) -> None:
    # bad input 44
    answer = await outcome(entry, post(b'{"n":1}', content_type))
    assert answer.status == 415
    assert answer.json["code"] == "unsupported"
    assert CALLED[0] == "end"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/vnd.x+json",
    ],
)
async def test_json_is_accepted(web: Any, content_type: str) -> None:
    assert (await outcome(web, post(b'{"n":1}', content_type))).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[1,]", 400),
        (b'{"n":1}x', 400),
        (b'{"n":01}', 400),
        (b"\xef\xbb\xbf{}", 400),
        (b'{"n":"\xff"}', 400),
        (b'{"n":"\\ud800"}', 400),
        (b"[" * 100_000, 400),
        (b'{"n":' + b"[" * 100_000, 400),
        (b'{"n":1e999999}', 422),
        (b'{"n":' + b"9" * 100_000 + b"}", 400),
        (b'{"n":"' + b"9" * 100_000 + b'"}', 422),
        (b'{"n":null}', 422),
        (b"null", 422),
        (b'"n"', 422),
    ],
)
async def test_bodies(entry: Any, body: bytes, status: int) -> None:
    # bad input 41
    answer = await outcome(entry, post(body))
    assert answer.status == status, answer.body[:300]
    assert CALLED[0] == "end"


async def test_untyped_depth_is_bounded(entry: Any) -> None:
    # bad input 41
    answer = await outcome(
        entry, post(b'{"value":' + b"[" * 5000 + b"]" * 5000 + b"}", path="/any")
    )
    assert answer.status == 400
    assert CALLED[0] == "end"


async def test_declared_too_large_is_refused_unread(web: Any) -> None:
    # bad input 18: what follows is not parsed as another request
    head = b"POST /numbers HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n"
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        await client.send(head + b"GET /items/5 HTTP/1.1\r\nHost: a\r\n\r\n" * 10)
        answer = await client.answer()
        assert answer.status == 413
        assert answer.json["code"] == "too-large"
        assert await client.until_closed() == b""
    assert CALLED == []


async def test_undeclared_too_large_is_refused_while_reading(web: Any) -> None:
    head = b"POST /numbers HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with web.serving(*FUNCTIONS, http={"max_body_bytes": 1000}) as service:
        async with service.connect() as client:
            await client.send(head)
            for _ in range(11):
                await client.send(b"64\r\n" + b" " * 100 + b"\r\n")
            assert (await client.answer()).status == 413
        async with service.connect() as client:
            await client.send(head + b"3e8\r\n" + b'{"n":1}'.ljust(1000) + b"\r\n0\r\n\r\n")
            assert (await client.answer()).status == 200


async def test_a_body_shorter_than_declared_never_reaches_the_handler(web: Any) -> None:
    # bad input 12
    async with web.serving(*FUNCTIONS) as service:
        async with service.connect() as client:
            await client.send(post(b'{"n":1}').replace(b"Content-Length: 7", b"Content-Length: 9"))
        assert (await service.ask("GET", "/items/1")).status == 200
    assert CALLED == [1]


async def test_a_body_that_dribbles_in_is_408(web: Any) -> None:
    # bad input 21
    async with web.serving(*FUNCTIONS, http={"body_timeout": 0.2}) as service:
        async with service.connect() as client:
            await client.send(
                b"POST /numbers HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
            )
            answer = await client.answer()
    assert answer.status == 408
    assert answer.json["code"] == "body-timeout"
    assert CALLED == []


async def test_a_refused_request_is_never_decoded_first(web: Any) -> None:
    """Credentials come before the body: an invalid body without them is 401, not 422."""
    from covet_operations import operation

    @operation(requires=("x:y",))
    @http.post("/guarded")
    async def guarded(given: Number) -> int:
        return given.n

    async with web.serving(guarded) as service:
        answer = await service.ask(
            "POST", "/guarded", body=b"{", headers={"Content-Type": "text/plain"}
        )
    assert answer.status == 401


async def test_same_outcome_one_byte_at_a_time_and_behind_a_good_request(web: Any) -> None:
    good = b"GET /items/5 HTTP/1.1\r\nHost: a\r\n\r\n"
    bad = b"GET /items/%zz HTTP/1.1\r\nHost: a\r\n\r\n"
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        for byte in bad:
            await client.send(bytes([byte]))
        assert (await client.answer()).status == 400
        await client.send(good + bad + good)
        assert [(await client.answer()).status for _ in range(3)] == [200, 400, 200]


async def test_control_characters_in_a_path_stay_data(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service:
        answer = await service.ask("GET", "/echo/%0d%0aSet-Cookie:%20a=b%1b")
    assert answer.json == "\r\nSet-Cookie: a=b\x1b"
    assert "set-cookie" not in answer.headers
