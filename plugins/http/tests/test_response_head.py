"""``request.response``: what it takes, and what both servers make of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import covet_http as http
from covet_http import ResponseHead
from covet_operations import Conflict

BREAKING = ["\r", "\n", "\r\n", "\0", "\r\nset-cookie: a=b", "\x0b", "\x7f"]


@pytest.mark.parametrize("bad", BREAKING)
@pytest.mark.parametrize("at", ["{}", "a{}", "{}b", "a{}b"])
def test_nothing_breaks_out_of_a_header(bad: str, at: str) -> None:
    # bad input 39
    given, head = at.format(bad), ResponseHead()
    for name, value in ((given, "x"), ("x-name", given), ("location", given)):
        for change in (head.add, head.set):
            with pytest.raises(ValueError, match=r".+"):
                change(name, value)
            with pytest.raises(ValueError, match=r".+"):
                change(name, value, always=True)
    with pytest.raises(ValueError, match=r".+"):
        head.vary(given)
    assert (head.headers, head.always, head.content_type) == ([], [], None)


@pytest.mark.parametrize("bad", [*BREAKING, ";", "; Domain=evil.example", " ", "é", "\ud800"])
@pytest.mark.parametrize("at", ["name", "value", "path", "domain", "same_site"])
def test_nothing_breaks_out_of_a_cookie(at: str, bad: str) -> None:
    # bad input 39
    head = ResponseHead()
    good = {"name": "n", "value": "v", "path": "/p", "domain": "d.example", "same_site": "lax"}
    for text in (f"{good[at]}{bad}", f"{bad}{good[at]}", f"{good[at]}{bad}{good[at]}"):
        arguments: Any = {**good, at: text}
        with pytest.raises(ValueError, match=r".+"):
            head.set_cookie(**arguments)
    assert head.headers == []


@pytest.mark.parametrize("bad", [99, 100, 199, 600, 1000, -1, "200", "200 OK\r\nx: y", 200.0, True])
def test_a_status_is_a_number_of_three_digits_and_has_no_reason(bad: Any) -> None:
    # bad input 39: nobody can say a reason phrase
    head = ResponseHead()
    with pytest.raises(ValueError, match="no status"):
        head.status = bad
    assert head.status is None
    assert not [name for name in dir(head) if "reason" in name]


@pytest.mark.parametrize(
    "name", ["Content-Length", "transfer-encoding", "CONNECTION", "Date", "Keep-Alive", "Upgrade"]
)
def test_what_describes_the_connection_is_the_servers_to_say(name: str) -> None:
    with pytest.raises(ValueError, match="server's to say"):
        ResponseHead().add(name, "1")


@given(st.text(max_size=8), st.text(max_size=12), st.booleans())
def test_whatever_gets_in_is_one_whole_line(name: str, value: str, always: bool) -> None:
    # bad input 39
    head = ResponseHead()
    try:
        head.add(name, value, always=always)
    except ValueError:
        assert (head.headers, head.always) == ([], [])
        return
    for key, text in [*head.headers, *head.always]:
        line = key + b": " + text
        assert line.splitlines() == [line]
        assert key == name.lower().encode()
        assert text.decode("latin-1") == value
        assert not set(line) & {0, 10, 13, 127}


@given(*[st.text(max_size=6)] * 4)
def test_whatever_gets_into_a_cookie_stays_where_it_was_put(
    name: str, value: str, path: str, domain: str
) -> None:
    # bad input 39
    head = ResponseHead()
    try:
        head.set_cookie(name, value, path=path, domain=domain)
    except ValueError:
        return
    [(key, line)] = head.headers
    parts = line.decode("ascii").split("; ")
    assert key == b"set-cookie"
    assert parts[:2] == [f"{name}={value}", f"Path={path}"]
    assert parts[2] == "SameSite=Lax"
    assert parts[3:-2] == ([f"Domain={domain}"] if domain else [])
    assert parts[-2:] == ["Secure", "HttpOnly"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "__Host-a", "domain": "d.example"},
        {"name": "__Host-a", "path": "/p"},
        {"name": "__host-a", "secure": False},
        {"name": "__Secure-a", "secure": False},
        {"same_site": "none", "secure": False},
        {"expires": datetime(2030, 1, 1)},  # noqa: DTZ001 - that is what is wrong with it
    ],
)
def test_cookies_that_browsers_would_not_take(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ResponseHead().set_cookie(**{"name": "n", "value": "v", **arguments})


def test_a_cookie_says_how_long_it_lives() -> None:
    head = ResponseHead()
    until = datetime(2030, 1, 1, 13, tzinfo=UTC) + timedelta(hours=1)
    head.set_cookie("n", "v", max_age=60, expires=until, http_only=False, same_site="strict")
    head.delete_cookie("old", path="/p", domain="d.example")
    assert [value for _, value in head.headers] == [
        b"n=v; Path=/; SameSite=Strict; Max-Age=60; Expires=Tue, 01 Jan 2030 14:00:00 GMT; Secure",
        b"old=; Path=/p; SameSite=Lax; Max-Age=0; Domain=d.example; Secure; HttpOnly",
    ]


def test_set_replaces_and_add_adds() -> None:
    head = ResponseHead()
    head.add("Link", "<a>")
    head.add("link", "<b>", always=True)
    head.set("LINK", "<c>")
    head.vary("Origin")
    head.vary("origin")
    head.set("Content-Type", "text/x")
    assert head.headers == [(b"link", b"<c>")]
    assert head.always == [(b"vary", b"origin")]
    assert head.content_type == b"text/x"


class How(BaseModel):
    how: str


@http.get("/said/{how}")
async def said(how: str, request: http.Request) -> dict[str, str] | None:
    response = request.response
    response.add("x-one", "1")
    response.add("x-one", "2")
    response.add("x-always", "yes", always=True)
    response.vary("x-how")
    response.set_cookie("c", "1")
    if how == "refused":
        raise Conflict("not now")
    if how == "broken":
        response.add("x-bad", "a\r\nset-cookie: evil=1")
    if how == "past":
        response.headers.append((b"x-bad", b"a\r\nset-cookie: evil=1"))
    if how == "empty":
        response.status = 204
        return None
    response.status = 202
    response.content_type = b"application/hal+json"
    return {"how": how}


@http.get("/said-of-a-stream")
async def said_of_a_stream(request: http.Request) -> AsyncIterator[int]:
    request.response.status = 203
    request.response.add("x-one", "1")
    yield 1
    yield 2


@http.post("/said", status=201, location="/items/{how}")
async def said_with_location(how: str, request: http.Request) -> How:
    request.response.add("x-one", "1")
    return How(how=how)


FUNCTIONS = (said, said_of_a_stream)


async def lines(web: Any, service: Any, path: str) -> tuple[bytes, list[bytes], bytes]:
    async with service.connect() as client:
        await client.send(
            b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode()
        )
        data = await client.until_closed()
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.split(b"\r\n")
    return first, [line.lower() for line in rest], body


async def test_a_handler_says_more(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service:
        first, rest, body = await lines(web, service, "/said/x")
        assert first.split(b" ")[1] == b"202"
        assert body == b'{"how":"x"}'
        for line in (
            b"x-one: 1",
            b"x-one: 2",
            b"x-always: yes",
            b"vary: x-how",
            b"content-length: 11",
        ):
            assert line in rest
        assert [each for each in rest if each.startswith(b"content-type")] == [
            b"content-type: application/hal+json"
        ]
        assert b"set-cookie: c=1; path=/; samesite=lax; secure; httponly" in rest
        # The next request starts from nothing.
        answer = await service.ask("GET", "/said/empty")
        assert (answer.status, answer.body) == (204, b"")
        assert "content-type" not in answer.headers
        assert answer.headers["x-one"] in ("2", "1, 2")


async def test_a_failure_says_less(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service:
        first, rest, _ = await lines(web, service, "/said/refused")
        assert first.split(b" ")[1] == b"409"
        assert b"x-always: yes" in rest
        assert b"vary: x-how" in rest
        assert b"content-type: application/problem+json" in rest
        assert not [each for each in rest if each.startswith((b"x-one", b"set-cookie"))]


async def nothing_of_it_is_sent(web: Any, how: str) -> None:
    async with web.serving(*FUNCTIONS) as service:
        first, rest, _ = await lines(web, service, f"/said/{how}")
        assert first.split(b" ")[1] == b"500"
        assert not [each for each in rest if b"evil" in each]
        assert (await service.ask("GET", "/said/x")).status == 202


async def test_what_could_break_out_is_a_500_at_the_setter(entry: Any) -> None:
    # bad input 39
    await nothing_of_it_is_sent(entry, "broken")


async def test_servers_look_at_what_went_past_the_setter(web: Any) -> None:
    # bad input 39
    await nothing_of_it_is_sent(web, "past")


async def test_the_head_of_a_stream(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service:
        answer = await service.ask("GET", "/said-of-a-stream")
    assert (answer.status, answer.headers["x-one"], answer.body) == (203, "1", b"1\n2\n")
    assert answer.headers["content-type"] == "application/x-ndjson"


async def test_beside_a_location(web: Any) -> None:
    async with web.serving(said_with_location) as service:
        answer = await service.ask("POST", "/said", json={"how": "a/b"})
    assert answer.status == 201
    assert (answer.headers["location"], answer.headers["x-one"]) == ("/items/a%2Fb", "1")
