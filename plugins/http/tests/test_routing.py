"""Typed parameters, methods, hosts and slashes as a client sees them, on each server."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urljoin, urlsplit
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field

import covet_http as http
from covet_http._annotation import agrees
from covet_http._slash import SlashRedirect, other_slash
from covet_kernel import ConfigurationError
from covet_operations import operation


@http.get("/numbers/{id:int}")
async def number(id: Annotated[int, Field(ge=0)]) -> int:
    return id


@http.get("/keys/{key:uuid}")
async def key(key: UUID) -> UUID:
    return key


@http.get("/days/{day:date}")
async def day(day: date) -> int:
    return day.year


@http.get("/days/{name:str}")
async def holiday(name: str) -> str:
    return name


@http.get("/files/{rest:path}")
async def file(rest: str) -> str:
    return rest


async def test_the_template_narrows_and_the_annotation_checks(web: Any) -> None:
    async with web.serving(number, key, day, holiday, file) as service, service.connect() as client:
        for path, expected in {
            "/numbers/7": (200, 7),
            "/numbers/-7": (422, None),
            "/numbers/ten": (404, None),
            "/keys/6f1f3a520c594b1c8f0e0a3f7f2f3f11": (200, "6f1f3a52-0c59-4b1c-8f0e-0a3f7f2f3f11"),
            "/keys/6f1f": (404, None),
            "/days/2024-02-29": (200, 2024),
            "/days/2023-02-29": (200, "2023-02-29"),
            "/days/easter%20monday": (200, "easter monday"),
            "/files/a/b%20c/": (200, "a/b c/"),
            "/files/": (404, None),
            "/files/a/../b": (404, None),
            "/files/%2e%2e/secret": (404, None),
            "/files/a%2F..%2F..%2Fsecret": (404, None),
            "/files//etc/passwd": (404, None),
        }.items():
            answer = await client.ask("GET", path)
            assert answer.status == expected[0], path
            if expected[0] == 200:
                assert answer.json == expected[1]


@http.get("/{x:int}")
async def text_for_int(x: str) -> None: ...


@http.get("/{x:date}")
async def number_for_date(x: int) -> None: ...


@http.get("/{x:str}")
async def number_for_str(x: int) -> None: ...


@pytest.mark.parametrize("function", [text_for_int, number_for_date, number_for_str])
async def test_template_and_annotation_agree(web: Any, function: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'x' is .* but the handler takes another type"):
        await start(web, function)


@pytest.mark.parametrize(
    ("kind", "annotation", "expected"),
    [
        ("int", int, True), ("int", bool, False), ("int", int | None, True), ("int", float, False),
        ("int", Annotated[int, Field(gt=0)], True), ("int", Literal[1, 2], True), ("int", Any, False),
        ("str", Literal["a"], True), ("str", Literal["a", 1], False), ("str", str, True),
        ("path", str, True), ("path", bytes, False), ("uuid", UUID, True), ("uuid", str, False),
        ("date", date, True), ("date", int | str, False),
    ],
)  # fmt: skip
def test_what_agrees(kind: str, annotation: Any, expected: bool) -> None:
    assert agrees(kind, annotation) is expected


async def start(web: Any, *functions: Any, **more: Any) -> None:
    try:
        async with web.serving(*functions, **more):
            raise AssertionError("it started")
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


# Methods


@http.get("/page")
async def page() -> str:
    return "page"


@http.head("/page")
async def probe(request: http.Request) -> None:
    request.response.add("x-probe", "1")


@http.options("/page")
async def told() -> dict[str, str]:
    return {"page": "a page"}


@http.route("/anything", methods=("PUT", "POST"))
async def anything(request: http.Request, n: int) -> str:
    return f"{request.method} {n}"


async def test_every_method_can_be_ones_own(web: Any) -> None:
    async with web.serving(page, probe, told, anything) as service, service.connect() as client:
        head = await client.ask("HEAD", "/page")
        assert (head.status, head.headers["x-probe"]) == (204, "1")
        assert (await client.ask("OPTIONS", "/page")).json == {"page": "a page"}
        refused = await client.ask("DELETE", "/page")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        assert (await client.ask("PUT", "/anything", json={"n": 1})).json == "PUT 1"
        assert (await client.ask("POST", "/anything", json={"n": 2})).json == "POST 2"
        assert (await client.ask("GET", "/anything")).headers["allow"] == "OPTIONS, POST, PUT"


@pytest.mark.parametrize("methods", [("BREW",), ("get",), ()])
def test_methods_nobody_knows(methods: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        http.route("/x", methods=methods)
    assert caught.value.code == "COVET-HTTP-METHOD-UNKNOWN"


# Slashes


@http.get("/plain")
async def plain_path() -> str:
    return "plain"


@http.get("/closed/{name}/")
async def closed_path(name: str) -> str:
    return name


@http.post("/closed/{name}/")
async def post_closed(name: str, n: int) -> int:
    return n


async def test_strict_slashes(web: Any) -> None:
    async with web.serving(plain_path, closed_path) as service, service.connect() as client:
        for path in ("/plain/", "/closed/x"):
            assert (await client.ask("GET", path)).status == 404


async def test_ignored_slashes(web: Any) -> None:
    async with (
        web.serving(plain_path, closed_path, http={"trailing_slash": "ignore"}) as service,
        service.connect() as client,
    ):
        assert (await client.ask("GET", "/plain/?a=1")).json == "plain"
        assert (await client.ask("GET", "/closed/a%20b")).json == "a b"
        assert (await client.ask("GET", "/closed//a")).status == 404
        assert (await client.ask("PUT", "/plain/")).status == 405


async def test_redirected_slashes(entry: Any) -> None:
    functions = (plain_path, closed_path, post_closed, file)
    async with (
        entry.serving(*functions, http={"trailing_slash": "redirect"}) as service,
        service.connect() as client,
    ):
        for method, path, location in (
            ("GET", "/plain/?a=1&b=%20", "/plain?a=1&b=%20"),
            ("HEAD", "/plain/", "/plain"),
            ("GET", "/closed/a%20b", "/closed/a%20b/"),
            ("POST", "/closed/x?y", "/closed/x/?y"),
            # bad input 38
            ("GET", "/closed/%5Cevil.example", "/closed/%5Cevil.example/"),
        ):
            answer = await client.ask(method, path)
            assert (answer.status, answer.headers["location"]) == (308, location)
        # What is not there either way, refused either way, or a preflight, is not redirected.
        assert (await client.ask("GET", "/nothing/")).status == 404
        assert (await client.ask("GET", "//evil.example/plain/")).status == 404  # bad input 38
        assert (await client.ask("GET", "//plain/")).status == 404
        assert (await client.ask("GET", "/files/")).status == 404
        refused = await client.ask("PUT", "/plain/")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        told = await client.ask("OPTIONS", "/plain/")
        assert (told.status, told.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


@given(st.text(st.characters(max_codepoint=0x7F), max_size=12), st.binary(max_size=8))
@example("/evil.example", b"")
@example("\\evil.example", b"")
@example("\\/evil.example/", b"\r\nX: y")
@example("\t/evil.example", b"")
def test_redirects_stay_on_this_origin(rest: str, query: bytes) -> None:  # bad input 38
    status, headers, _ = SlashRedirect(http.Problems("/")).reply("/" + rest, query)
    location = dict(headers)[b"location"].decode("ascii")
    assert status == 308
    assert not set(location) & set('\\\r\n\t "<>^`{|}')
    assert location[0] == "/"
    assert location[1:2] != "/"
    assert urlsplit(urljoin("https://shop.example/x", location)).netloc == "shop.example"


@pytest.mark.parametrize(
    ("path", "other"),
    [("/", ""), ("*", ""), ("/a", "/a/"), ("/a/", "/a"), ("/a//", "/a/"), ("//", "/")],
)
def test_the_other_slash(path: str, other: str) -> None:
    assert other_slash(path) == other


# Hosts


@http.get("/who")
async def anyone() -> str:
    return "anyone"


admin = http.Group(host="admin.example.com")


@admin.get("/who")
async def administrator() -> str:
    return "admin"


@admin.post("/restart")
async def restart() -> str:
    return "restarted"


@http.Group("/shops", host="{tenant}.example.com").get("/{id:int}")
async def tenant_shop(tenant: str, id: int) -> str:
    return f"{tenant} {id}"


@http.Group("/who", host="{tenant}.example.com").get()
async def tenant_who(tenant: str) -> str:
    return tenant


async def test_hosts(entry: Any) -> None:
    functions = (anyone, administrator, restart, tenant_shop, tenant_who)
    async with entry.serving(*functions) as service, service.connect() as client:

        async def ask(method: str, host: str, path: str) -> Any:
            answer = await client.ask(method, path, headers={"Host": host})
            return answer.json if answer.status == 200 else answer.status

        assert await ask("GET", "localhost", "/who") == "anyone"
        assert await ask("GET", "admin.example.com", "/who") == "admin"
        assert await ask("GET", "ADMIN.Example.com:8080", "/who") == "admin"
        assert await ask("GET", "acme.example.com", "/who") == "acme"
        assert await ask("GET", "a.b.example.com", "/who") == "anyone"
        assert await ask("GET", "example.com", "/who") == "anyone"
        assert await ask("GET", "acme.example.com.evil.example", "/who") == "anyone"
        assert await ask("GET", "acme.example.com", "/shops/7") == "acme 7"
        assert await ask("GET", "acme.example.com", "/shops/x") == 404
        assert await ask("GET", "localhost", "/shops/7") == 404
        assert await ask("PUT", "localhost", "/shops/7") == 404
        assert await ask("OPTIONS", "localhost", "/shops/7") == 404
        assert await ask("PUT", "acme.example.com", "/shops/7") == 405
        assert await ask("OPTIONS", "acme.example.com", "/shops/7") == 204
        assert await ask("POST", "admin.example.com", "/restart") == "restarted"
        assert await ask("POST", "localhost", "/restart") == 404
        for host in ("admin.example.com/x?", "a@admin.example.com", "admin.example.com?"):
            # bad input 35
            assert (await service.ask("GET", "/who", headers={"Host": host})).status == 400
        head = await client.ask("HEAD", "/who", headers={"Host": "admin.example.com"})
        assert (head.status, head.headers["content-length"]) == (200, "7")
        allow = await client.ask("PATCH", "/restart", headers={"Host": "admin.example.com"})
        assert allow.headers["allow"] == "OPTIONS, POST"


async def test_two_owners_of_one_host(web: Any) -> None:
    @http.Group(host="admin.example.com").get("/who")
    async def other() -> str: ...  # type: ignore[empty-body]

    with pytest.raises(ConfigurationError) as caught:
        await start(web, administrator, other)
    assert "shop.administrator" in str(caught.value)
    assert "shop.other" in str(caught.value)


# Groups


class Gone(Exception):
    """Gone."""


def facts(function: Any) -> Any:
    module = type("M", (), {"f": staticmethod(function)})()
    from covet_operations import operations_of

    (made,) = operations_of(module)
    return made


def test_a_group_adds_what_it_says() -> None:
    books = http.Group("/books", tags=("books",), requires=("read",), deadline=3)
    lines = books.group("/{id:int}/lines", tags=("lines",), requires=("lines",), errors=(Gone,))

    @operation(tags=("own",), requires=("own", "read"))
    @lines.get("/{line}", deadline=1)
    @books.post()
    def handler(id: int, line: int) -> None: ...

    made = facts(handler)
    assert [each.address for each in made.bindings] == [
        "GET /books/{id:int}/lines/{line}",
        "POST /books",
    ]
    assert [each.deadline for each in made.bindings] == [1, 3]
    assert made.tags == ("own", "books", "lines")
    assert made.requires == ("own", "read", "lines")
    assert made.errors == (Gone,)
    assert made.effect == "write"


def test_a_whole_class_in_a_group() -> None:
    class Books:
        @http.get("/")
        def every(self) -> list[int]:
            return []

        @operation(requires=("read",))
        @http.get("/{id}", deadline=2)
        def one(self, id: int) -> int:
            return id

    group = http.Group("/v1/books", tags=("v1",), requires=("v1",), deadline=9)
    every, one = group.operations_of(Books())
    assert [each.bindings[0].address for each in (every, one)] == [
        "GET /v1/books",
        "GET /v1/books/{id}",
    ]
    assert [each.bindings[0].deadline for each in (every, one)] == [9, 2]
    assert [each.requires for each in (every, one)] == [("v1",), ("read", "v1")]
    assert every.tags == ("v1",)


async def test_groups_are_served(web: Any) -> None:
    shelf = http.Group("/shelves/{shelf}").group("/books")

    @shelf.get("/{id:int}")
    async def book(shelf: str, id: int) -> str:
        return f"{shelf} {id}"

    @shelf.get()
    async def books(shelf: str) -> str:
        return shelf

    async with web.serving(book, books) as service, service.connect() as client:
        assert (await client.ask("GET", "/shelves/a/books/7")).json == "a 7"
        assert (await client.ask("GET", "/shelves/a/books")).json == "a"
        assert (await client.ask("GET", "/shelves/a/books/x")).status == 404


@pytest.mark.parametrize("prefix", ["books", "/books/", "/", "/{rest:path}", "/a b"])
def test_what_is_no_prefix(prefix: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        http.Group(prefix)
    assert caught.value.code == "COVET-HTTP-PATH-INVALID"


@pytest.mark.parametrize(
    "host", ["Admin.example.com", "a:80", "a..b", "{a}{b}", "{a}.{a}", "a/b", "-a", "ü"]
)
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        http.Group(host=host)
    assert caught.value.code == "COVET-HTTP-HOST-INVALID"


def test_a_host_is_said_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        http.Group(host="a.example").group(host="b.example")
    assert caught.value.code == "COVET-HTTP-HOST-INVALID"
    module = type("M", (), {"f": staticmethod(administrator)})()
    with pytest.raises(ConfigurationError) as caught:
        http.Group(host="a.example").operations_of(module)
    assert caught.value.code == "COVET-HTTP-HOST-INVALID"


async def test_one_name_in_host_and_path(web: Any) -> None:
    @http.Group("/{x}", host="{x}.example").get()
    async def twice(x: str) -> None: ...

    with pytest.raises(ConfigurationError, match="one name in its host and in its path"):
        await start(web, twice)
