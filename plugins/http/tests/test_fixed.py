"""Fixed answers and redirects: what can be declared, and how they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import covet_http as http
from covet_http import Fixed, PreparedAnswer
from covet_kernel import ConfigurationError

FIXED = [
    http.fixed("/robots.txt", "User-agent: *\n", content_type="text/plain", cache="max-age=60"),
    http.fixed(
        "/logo", b"\x89PNG", content_type="image/png", headers={"X-Made-By": "us"}, etag=False
    ),
    http.redirect("/old", "/robots.txt?a=b"),
    http.redirect("/away", "https://example.org/x#y", external=True, status=302, cache="no-store"),
    http.redirect("/moved", "/books", methods=("POST", "GET", "POST")),
]


@http.get("/books")
async def books() -> list[int]:
    return [1]


def declaring(web: Any, *fixed: Any) -> dict[str, Any]:
    return {"site": web.plugin_of(covet_http_fixed=lambda self: fixed)}


async def test_a_fixed_body(web: Any) -> None:
    async with web.serving(books, plugins=declaring(web, *FIXED)) as service:
        whole = await service.ask("GET", "/robots.txt?x=%zz")
        head = await service.ask("HEAD", "/robots.txt")
        logo = await service.ask("GET", "/logo")
        options = await service.ask("OPTIONS", "/robots.txt")
        refused = await service.ask("POST", "/robots.txt")
        escaped = await service.ask("GET", "/robots%2Etxt")
        handled = await service.ask("GET", "/books")
    assert (whole.status, whole.body) == (200, b"User-agent: *\n")
    assert whole.headers["content-type"] == "text/plain"
    assert whole.headers["cache-control"] == "max-age=60"
    assert whole.headers["content-length"] == "14"
    assert (head.status, head.body) == (200, b"")
    assert head.headers["etag"] == whole.headers["etag"]
    assert (logo.body, logo.headers["x-made-by"]) == (b"\x89PNG", "us")
    assert "etag" not in logo.headers
    assert (options.status, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert escaped.body == whole.body
    assert handled.json == [1]


async def test_those_who_have_it_get_304(web: Any) -> None:
    async with web.serving(books, plugins=declaring(web, *FIXED)) as service:
        tag = (await service.ask("GET", "/robots.txt")).headers["etag"]
        for method in ("GET", "HEAD"):
            async with service.connect() as client:
                await client.send(
                    f"{method} /robots.txt HTTP/1.1\r\nHost: h\r\nIf-None-Match: W/{tag}\r\n"
                    "Connection: close\r\n\r\n".encode()
                )
                answer = await client.until_closed()
            first, _, rest = answer.partition(b"\r\n")
            assert first.split(b" ")[1] == b"304"
            lines = {line.partition(b":")[0].lower() for line in rest.split(b"\r\n") if line}
            assert lines >= {b"etag", b"cache-control"}
            assert not lines & {b"content-type", b"content-length"}
            assert answer.endswith(b"\r\n\r\n")
        other = await service.ask("GET", "/robots.txt", headers={"If-None-Match": '"other"'})
        unconditional = await service.ask("GET", "/logo", headers={"If-None-Match": "*"})
    assert other.status == 200
    assert unconditional.status == 200


async def test_redirects(web: Any) -> None:
    async with web.serving(plugins=declaring(web, *FIXED)) as service:
        old = await service.ask("GET", "/old?q=1")
        away = await service.ask("HEAD", "/away")
        moved = await service.ask("POST", "/moved", json=[1])
        refused = await service.ask("PUT", "/moved", json=[1])
    assert (old.status, old.headers["location"], old.body) == (308, "/robots.txt?a=b", b"")
    assert (away.status, away.headers["location"]) == (302, "https://example.org/x#y")
    assert away.headers["cache-control"] == "no-store"
    assert (moved.status, moved.headers["location"]) == (308, "/books")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")


async def test_health(web: Any) -> None:
    async with web.serving(http={"health_path": "/health"}) as service:
        answer = await service.ask("GET", "/health")
    assert (answer.status, answer.body) == (200, b'{"status":"ok"}')
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    async with web.serving() as service:
        assert (await service.ask("GET", "/health")).status == 404


@pytest.mark.parametrize("path", ["health", "/health/{id}", "/a b", "/%41", "//x"])
async def test_a_health_path_is_plain(web: Any, path: str) -> None:
    with pytest.raises((ConfigurationError, ExceptionGroup)) as caught:
        async with web.serving(http={"health_path": path}):
            pass
    assert "health_path" in "".join(map(str, leaves(caught.value)))


def leaves(group: BaseException) -> list[BaseException]:
    if isinstance(group, BaseExceptionGroup):
        return [leaf for inner in group.exceptions for leaf in leaves(inner)]
    return [group]


async def refused(web: Any, *fixed: Any, **more: Any) -> list[ConfigurationError]:
    with pytest.raises((ConfigurationError, ExceptionGroup)) as caught:
        async with web.serving(books, plugins=declaring(web, *fixed), **more):
            pass
    found = leaves(caught.value)
    assert all(isinstance(each, ConfigurationError) for each in found), found
    return found  # type: ignore[return-value]


async def test_conflicts_name_both_owners(web: Any) -> None:
    one = http.fixed("/x", "1", content_type="text/plain")
    two = http.redirect("/x", "/books")
    (error,) = await refused(web, one, two)
    assert error.code == "COVET-HTTP-ROUTE-CONFLICT"
    assert error.problem.count("a fixed answer (site)") == 2
    (error,) = await refused(web, http.redirect("/books", "/x"))
    assert "a fixed answer (site)" in error.problem
    assert "shop.books (shop)" in error.problem
    errors = await refused(web, one, two, http={"health_path": "/books"})
    assert [each.code for each in errors] == ["COVET-HTTP-ROUTE-CONFLICT"] * 2
    assert "plugins.http.health_path" in errors[1].problem


async def test_what_is_no_declaration(web: Any) -> None:
    (error,) = await refused(web, ("/x", "body"))
    assert error.code == "COVET-HTTP-FIXED-INVALID"
    assert "site" in error.problem


TARGETS = [
    "", "books", "//evil.example/..", "/\\evil", "\\evil", "https:evil", "https://evil.example",
    "/a\r\nx: y", "/a b", "/ü", "/\t/evil", "javascript:alert(1)", "/a\\b", "/a\0",
]  # fmt: skip


@pytest.mark.parametrize("to", TARGETS)
def test_redirects_stay_on_this_server(to: str) -> None:  # bad input 38
    with pytest.raises(ConfigurationError) as caught:
        http.redirect("/x", to)
    assert caught.value.code == "COVET-HTTP-FIXED-INVALID"
    assert "external=True" in caught.value.fix


@pytest.mark.parametrize(
    "to",
    ["/books", "//evil.example", "ftp://h", "https:evil", "https:///x", "https://u@h", "https://h\\x",
     "https://h/\r\nx: y", "https://h/ü", "https://h:port", "javascript:https://h"],
)  # fmt: skip
def test_external_redirects_are_urls(to: str) -> None:  # bad input 38
    with pytest.raises(ConfigurationError) as caught:
        http.redirect("/x", to, external=True)
    assert caught.value.code == "COVET-HTTP-FIXED-INVALID"


@given(st.text(alphabet="/\\.:?#%@ax\t\r\n ", max_size=12))
def test_whatever_is_accepted_stays_on_this_server(rest: str) -> None:  # bad input 38
    try:
        declared = http.redirect("/from", "/" + rest)
    except ConfigurationError:
        return
    location = dict(declared.headers)[b"location"]
    # What a browser makes of it: blanks go, a backslash is a slash, two of them begin a host.
    seen = location.translate(bytes.maketrans(b"\\", b"/"), b"\t\r\n")
    assert seen == location
    assert seen[:1] == b"/"
    assert seen[:2] != b"//"


TEXT = {"content_type": "text/plain"}
WRONG: list[Callable[[], Fixed]] = [
    lambda: http.redirect("/x", "/y", status=200),
    lambda: http.redirect("/x", "/y", methods=()),
    lambda: http.redirect("/x", "/y", methods=("OPTIONS",)),
    lambda: http.redirect("/x", "/x?again"),
    lambda: http.redirect("/x", "/y", cache="a\r\nb: c"),
    lambda: http.fixed("/x", "", content_type=""),
    lambda: http.fixed("/x", "", content_type="text"),
    lambda: http.fixed("/x", "", content_type="text/plain\r\nx: y"),
    lambda: http.fixed("/x", "", content_type="text/plain; x=\n"),
    lambda: http.fixed("/x", "", content_type="text/plain", cache="a\nb"),
    lambda: http.fixed("/x", "", headers={"a": "b\r\nc: d"}, **TEXT),
    lambda: http.fixed("/x", "", headers={"a": "b\0"}, **TEXT),
    lambda: http.fixed("/x", "", headers={"a": " b"}, **TEXT),
    lambda: http.fixed("/x", "", headers={"a": "€"}, **TEXT),
    lambda: http.fixed("/x", "", headers={"a b": "c"}, **TEXT),
    lambda: http.fixed("/x", "", headers={"": "c"}, **TEXT),
    lambda: http.fixed("/x", "", headers={"ü": "c"}, **TEXT),
    lambda: http.fixed("/x", "", headers={"€": "c"}, **TEXT),
    lambda: http.fixed("/x", "", headers={"a\r\nb": "c"}, **TEXT),
    lambda: http.fixed("/x", "", headers=[("Content-Length", "0")], **TEXT),
    lambda: http.fixed("/x", "", headers=[("Transfer-Encoding", "chunked")], **TEXT),
    lambda: http.fixed("/x", "", headers=[("Connection", "close")], **TEXT),
    lambda: http.fixed("/x", "", headers=[("Content-Type", "a/b")], **TEXT),
    lambda: http.fixed("/x", "", headers=[("Cache-Control", "a")], **TEXT),
    lambda: http.fixed("/x", "", headers=[("ETag", '"a"')], **TEXT),
    lambda: Fixed(path="/x", status=100),
    lambda: Fixed(path="/x", status=204, body=b"x"),
    lambda: Fixed(path="/x", headers=((b"X", b"y"),)),
    lambda: Fixed(path="/x", headers=((b"x", b"y\r\n"),)),
    lambda: Fixed(path="/x", etag=b'"a"'),
    lambda: Fixed(path="/x", etag=b"a", headers=((b"etag", b"a"),)),
    lambda: Fixed(path="/x", etag=b'"a"', headers=((b"etag", b'"a"'),), status=404),
    lambda: http.fixed("/x", "", **TEXT).replaced(headers=((b"x", b"\n"),)),
]


@pytest.mark.parametrize("declare", WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_sent_is_refused(declare: Callable[[], Fixed]) -> None:  # bad input 39
    with pytest.raises(ConfigurationError) as caught:
        declare()
    assert caught.value.code == "COVET-HTTP-FIXED-INVALID"
    assert "/x" in caught.value.problem


@pytest.mark.parametrize("path", ["", "x", "/{id}", "/a b", "/%41", "/x?y"])
def test_a_fixed_path_is_plain(path: str) -> None:
    for declare in (lambda: http.fixed(path, "", **TEXT), lambda: http.redirect(path, "/y")):
        with pytest.raises(ConfigurationError) as caught:
            declare()
        assert caught.value.code == "COVET-HTTP-PATH-INVALID"


def test_declarations_are_records() -> None:
    one = http.fixed("/x", "é", **TEXT)
    assert one == http.fixed("/x", "é".encode(), **TEXT)
    assert hash(one) == hash(http.fixed("/x", "é", **TEXT))
    with pytest.raises(AttributeError):
        one.body = b"other"


def conditional(etag: bytes, *lines: bytes, method: str = "GET") -> int:
    headers = [(b"etag", etag), (b"content-type", b"text/plain"), (b"vary", b"a")]
    answer = PreparedAnswer((200, headers, b"body"), etag)
    asked = [(b"host", b"h"), *((b"if-none-match", line) for line in lines)]
    status, sent, body = answer.to(method, asked)
    if status == 304:
        assert sent == [(b"etag", etag), (b"vary", b"a")]
        assert body == b""
    return status


@pytest.mark.parametrize(
    "line",
    [b"*", b'"a"', b'W/"a"', b'"b", "a"', b'"b","a","c"', b',, "a"', b'\t"b"\t,\t"a"', b'"a", ?'],
)
def test_tags_that_match(line: bytes) -> None:
    for etag in (b'"a"', b'W/"a"'):
        assert conditional(etag, line) == 304
        assert conditional(etag, b'"x"', line, method="HEAD") == 304
        assert conditional(etag, line, method="POST") == 200


@pytest.mark.parametrize(
    "line",
    [b"", b"a", b'"b"', b'"A"', b'""', b'w/"a"', b'"b" "a"', b'?, "a"', b'"a', b'*, "b"', b'"b", *',
     b'W/ "a"', b'"aa"', b"W/", b'"b c", "a"', b"**"],
)  # fmt: skip
def test_tags_that_do_not_match(line: bytes) -> None:
    assert conditional(b'"a"', line) == 200
    assert conditional(b'W/"a"', line) == 200


def test_a_long_list_of_tags_takes_linear_time() -> None:  # bad input 24
    assert conditional(b'"a"', b'"b",' * 100_000) == 200
    assert conditional(b'"a"', b'"' * 400_000) == 200
    assert conditional(b'"a"', b"W/" * 200_000) == 200
