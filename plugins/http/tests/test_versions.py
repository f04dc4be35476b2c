"""Several versions of one API: by path, header and media type, through changes between them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, NotRequired, TypeVar

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack
from pydantic import BaseModel, ConfigDict, Field, RootModel, TypeAdapter, ValidationError
from typing_extensions import TypedDict

import covet_http as http
from covet_http._versions._accept import Family, Wanted, parse
from covet_http._versions._codec import _converted
from covet_http._versions._config import VersionsConfig
from covet_http._versions._ranges import BadRangeError, versions_in
from covet_http._versions._walk import AmbiguousError, FaultsError, compile_walk
from covet_kernel import ConfigurationError
from covet_memory import Memory
from covet_operations import Bulk, BulkResult, Checked, NotFound

T = TypeVar("T")


class NewBook(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    title: str
    authors: list[str] = Field(min_length=1)
    cents: int


class Book(BaseModel):
    id: int
    title: str
    authors: list[str]
    cents: int


class NewBookOne(BaseModel):
    """What version 1 takes."""

    title: str
    author: str
    price: str


class Shelf(BaseModel):
    name: str
    books: list[Book] = []


# 1 has one author and a price as text, 2 has a list of authors, 3 has a whole number of cents.


@http.upgrade_request("1", "2", NewBook)
def several_authors(old: NewBookOne) -> dict[str, Any]:
    return {"title": old.title, "authors": [old.author], "price": old.price}


@http.upgrade_request("2", "3", NewBook)
def price_in_cents(book: dict[str, Any]) -> dict[str, Any]:
    whole, _, part = book.pop("price").partition(".")
    return {**book, "cents": int(whole) * 100 + int(part)}


@http.downgrade_response("3", "2", Book)
def price_as_text(book: dict[str, Any]) -> dict[str, Any]:
    cents = book.pop("cents")
    return {**book, "price": f"{cents // 100}.{cents % 100:02}"}


@http.downgrade_response("2", "1", Book)
def first_author(book: dict[str, Any]) -> dict[str, Any]:
    return {"author": book.pop("authors")[0], **book}


CHANGES = [
    each
    for function in (several_authors, price_in_cents, price_as_text, first_author)
    for each in vars(function)["__covet_version_changes__"]
]
EMMA = Book(id=7, title="Emma", authors=["Austen", "Another"], cents=1205)


@http.get("/books/{id}", versions="*")
async def find_book(id: int) -> Book:
    if id != 7:
        raise NotFound(f"no book {id}")
    return EMMA


@http.post("/books", versions="*", status=201, location="/books/{id}")
async def add_book(book: NewBook) -> Book:
    return Book(id=8, **book.model_dump())


@http.get("/shelf", versions="2-")
async def shelf() -> Shelf:
    return Shelf(name="A", books=[EMMA, EMMA])


@http.get("/search", versions="1")
async def search_old(q: str = "") -> str:
    return f"old {q}"


@http.get("/search", versions="2-")
async def search_new(q: str = "") -> str:
    return f"new {q}"


@http.get("/stream", versions="*")
async def stream() -> AsyncIterator[Book]:
    yield EMMA
    yield EMMA


@http.post("/stream", versions="*")
async def collect(books: AsyncIterator[NewBook]) -> list[str]:
    return [f"{book.authors[0]} {book.cents}" async for book in books]


@http.get("/neutral")
async def neutral() -> str:
    return "whatever the version"


ALL = (find_book, add_book, shelf, search_old, search_new, stream, collect, neutral)
KNOWN = [
    {"name": "0", "removed": True, "link": "https://shop.example/gone", "sunset": "2024-01-01"},
    {
        "name": "1", "deprecated": "2026-01-01", "sunset": "2026-12-31",
        "link": "https://shop.example/one",
    },
    {"name": "2"},
    {"name": "3"},
]  # fmt: skip
ONE = {"title": "Emma", "author": "Austen", "price": "12.05"}
TWO = {"title": "Emma", "authors": ["Austen"], "price": "12.05"}


def service(web: Any, *functions: Any, changes: Any = CHANGES, **versions: Any) -> Any:
    class Declares:
        def covet_http_version_changes(self) -> Any:
            return changes

    plugin = web.plugin_of(*functions)
    plugin.covet_http_version_changes = Declares.covet_http_version_changes
    contract = versions.pop("contract", False)
    message_pack = versions.pop("message_pack", False)
    store = {"memory": Memory} if versions.pop("memory", False) else {}
    return web.serving(
        http={
            "message_pack": message_pack,
            "openapi": {"contract": contract},
            "versions": {"known": KNOWN, **versions},
        },
        plugins={"shop": plugin, **store},
    )


async def test_versions_by_path(web: Any) -> None:
    async with service(web, *ALL, by="path", default="3") as shop, shop.connect() as client:
        one = await client.ask("GET", "/v1/books/7")
        assert one.json == {"id": 7, "title": "Emma", "author": "Austen", "price": "12.05"}
        assert one.headers["deprecation"] == "@1767225600"
        assert one.headers["sunset"] == "Thu, 31 Dec 2026 00:00:00 GMT"
        assert one.headers["link"] == (
            '<https://shop.example/one>; rel="deprecation", <https://shop.example/one>; rel="sunset"'
        )
        two = await client.ask("GET", "/v2/books/7")
        assert two.json["authors"] == ["Austen", "Another"]
        assert two.json["price"] == "12.05"
        assert "deprecation" not in two.headers
        assert (await client.ask("GET", "/v3/books/7")).json == EMMA.model_dump()
        assert (await client.ask("GET", "/books/7")).json == EMMA.model_dump()

        made = await client.ask("POST", "/v1/books", json=ONE)
        assert (made.status, made.headers["location"]) == (201, "/v1/books/8")
        assert made.json == {"id": 8, "title": "Emma", "author": "Austen", "price": "12.05"}
        made = await client.ask("POST", "/books", json={"title": "E", "authors": ["A"], "cents": 1})
        assert made.headers["location"] == "/v3/books/8"

        assert (await client.ask("GET", "/v1/search?q=x")).json == "old x"
        assert (await client.ask("GET", "/v3/search?q=x")).json == "new x"
        assert (await client.ask("GET", "/neutral")).json == "whatever the version"
        assert (await client.ask("HEAD", "/v1/books/7")).status == 200

        missing = await client.ask("GET", "/v1/books/8")
        assert (missing.status, missing.headers["deprecation"]) == (404, "@1767225600")
        gone = await client.ask("GET", "/v0/books/7")
        assert (gone.status, gone.json["supported"]) == (410, ["1", "2", "3"])
        assert gone.headers["link"] == '<https://shop.example/gone>; rel="sunset"'
        for path in ("/v9/books/7", "/v1/shelf"):
            unknown = await client.ask("GET", path)
            assert (unknown.status, unknown.json["supported"]) == (404, ["1", "2", "3"])
            assert unknown.json["detail"] == "versions are at /v1, /v2, /v3"


async def test_versions_by_header(web: Any) -> None:
    async with (
        service(web, *ALL, by="header", header="X-Version") as shop,
        shop.connect() as client,
    ):

        async def ask(version: str | None, path: str, method: str = "GET", **more: Any) -> Any:
            headers = {} if version is None else {"X-Version": version}
            return await client.ask(method, path, headers=headers, **more)

        one = await ask("1", "/books/7")
        assert one.json["author"] == "Austen"
        assert (one.headers["vary"], one.headers["x-version"]) == ("x-version", "1")
        assert one.headers["deprecation"] == "@1767225600"
        assert (await ask(" 3 ", "/books/7")).json == EMMA.model_dump()
        assert (await ask("1", "/search?q=x")).json == "old x"
        assert (await ask("2", "/search?q=x")).json == "new x"
        made = await ask("1", "/books", "POST", json=ONE)
        assert (made.status, made.headers["location"]) == (201, "/books/8")
        assert made.json["price"] == "12.05"
        assert (await ask("1", "/books/7", "HEAD")).status == 200
        plain = await ask(None, "/neutral")
        assert (plain.status, "vary" in plain.headers) == (200, False)

        for version, path, status, code, supported in (
            (None, "/books/7", 400, "version-required", ["1", "2", "3"]),
            ("9", "/books/7", 400, "unsupported-version", ["1", "2", "3"]),
            ("\xff", "/books/7", 400, "unsupported-version", ["1", "2", "3"]),
            ("0", "/books/7", 410, "version-removed", ["1", "2", "3"]),
            ("1", "/shelf", 404, "not-in-version", ["2", "3"]),
        ):
            answer = await ask(version, path)
            assert (answer.status, answer.json["code"]) == (status, code)
            assert answer.json["supported"] == supported
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["vary"] == "x-version"


@http.post("/copies/{id}", versions="*", idempotency="optional", status=201)
async def copy_book(id: int) -> Book:
    return EMMA


async def test_a_repetition_in_another_version_is_another_request(web: Any) -> None:
    changes = [each for each in CHANGES if each.model is Book]
    async with (
        service(web, copy_book, changes=changes, memory=True, by="header") as shop,
        shop.connect() as client,
    ):

        async def ask(version: str) -> Any:
            headers = {"API-Version": version, "Idempotency-Key": "k"}
            return await client.ask("POST", "/copies/7", headers=headers)

        three = await ask("3")
        assert three.json == EMMA.model_dump()
        assert (await ask("1")).json["code"] == "key-reused"
        assert (await ask("3")).headers["idempotent-replayed"] == "true"


async def test_the_default_version(web: Any) -> None:
    async with service(web, *ALL, by="header", default="2") as shop, shop.connect() as client:
        answer = await client.ask("GET", "/books/7")
        assert (answer.json["price"], answer.headers["api-version"]) == ("12.05", "2")


async def test_versions_by_media_type(web: Any) -> None:
    media = "application/vnd.shop.v{version}+json"
    async with (
        service(web, *ALL, by="media-type", media_type=media, default="3") as shop,
        shop.connect() as client,
    ):

        async def ask(accept: str, **more: Any) -> Any:
            return await client.ask("GET", "/books/7", headers={"Accept": accept, **more})

        one = await ask("application/vnd.shop.v1+json")
        assert one.json["author"] == "Austen"
        assert one.headers["content-type"] == "application/vnd.shop.v1+json"
        assert one.headers["vary"] == "accept"
        liked = await ask("application/vnd.shop.v1+json;q=0.5, Application/VND.Shop.V2+json")
        assert liked.headers["content-type"] == "application/vnd.shop.v2+json"
        for open_to_all in ("*/*", "application/json", "text/html", ",;q=x", ""):
            assert (await ask(open_to_all)).json == EMMA.model_dump()
        later = await ask("application/vnd.shop.v9+json, */*;q=0.1")
        assert later.json == EMMA.model_dump()
        unknown = await ask("application/vnd.shop.v9+json")
        assert (unknown.status, unknown.json["supported"]) == (406, ["1", "2", "3"])
        assert (await ask("application/vnd.shop.v0+json")).status == 410

        sent = {"Content-Type": "application/vnd.shop.v1+json"}
        made = await client.ask("POST", "/books", json=ONE, headers=sent)
        assert (made.status, made.json["author"]) == (201, "Austen")
        accept = {"Accept": "application/vnd.shop.v2+json"}
        made = await client.ask("POST", "/books", json=ONE, headers=sent | accept)
        assert (made.status, made.json["code"]) == (400, "version-conflict")
        unknown = {"Content-Type": "application/vnd.shop.v9+json"}
        made = await client.ask("POST", "/books", json=ONE, headers=unknown)
        assert (made.status, made.json["code"]) == (415, "unsupported-version")
        problem = await client.ask("GET", "/books/8", headers=accept)
        assert problem.headers["content-type"] == "application/problem+json"


V = "application/vnd.api.v{}+json"
REFUSED = {
    "header": [
        ("GET", "/books/7", {}, 400),
        ("GET", "/books/7", {"API-Version": "9"}, 400),
        ("GET", "/books/7", {"API-Version": "0"}, 410),
        ("GET", "/shelf", {"API-Version": "1"}, 404),
    ],
    "media-type": [
        ("GET", "/books/7", {}, 400),
        ("GET", "/books/7", {"Accept": V.format(9)}, 406),
        ("GET", "/books/7", {"Accept": V.format(0)}, 410),
        ("GET", "/shelf", {"Accept": V.format(1)}, 404),
        ("POST", "/books", {"Content-Type": V.format(9)}, 415),
        ("POST", "/books", {"Content-Type": V.format(1), "Accept": V.format(2)}, 400),
    ],
}


@pytest.mark.parametrize("by", list(REFUSED))
async def test_the_document_knows_how_versions_are_refused(web: Any, by: str) -> None:
    async with service(web, *ALL, by=by) as shop, shop.connect() as client:
        document = (await client.ask("GET", "/openapi.json")).json
        neutral = document["paths"]["/neutral"]["get"]["responses"]
        assert not {"406", "410"} & neutral.keys()
        for method, path, headers, status in REFUSED[by]:
            answer = await client.ask(method, path, headers=headers)
            assert answer.status == status, (path, headers)
            template = path.replace("7", "{id}")
            said = document["paths"][template][method.lower()]["responses"][str(status)]
            if "$ref" in said:
                said = document["components"]["responses"][said["$ref"].rpartition("/")[2]]
            schema = said["content"]["application/problem+json"]["schema"]
            whole = {**schema, "components": {"schemas": document["components"]["schemas"]}}
            jsonschema_rs.validate(whole, answer.json)


async def test_paths_refuse_versions_without_a_word_of_it(web: Any) -> None:
    async with service(web, *ALL, by="path") as shop, shop.connect() as client:
        document = (await client.ask("GET", "/openapi.json")).json
    assert "UnsupportedVersion" not in document["components"]["schemas"]


async def test_models_within_models_and_streams(web: Any) -> None:
    async with service(web, *ALL) as shop, shop.connect() as client:
        two = (await client.ask("GET", "/v2/shelf")).json
        assert [book["price"] for book in two["books"]] == ["12.05", "12.05"]
        assert (await client.ask("GET", "/v3/shelf")).json["books"][0]["cents"] == 1205
        one = (await client.ask("GET", "/v1/stream")).body.splitlines()
        assert [json.loads(line)["author"] for line in one] == ["Austen", "Austen"]
        body = b"".join(json.dumps(each).encode() + b"\n" for each in (ONE, ONE))
        lines = {"Content-Type": "application/x-ndjson"}
        sent = await client.ask("POST", "/v1/stream", body=body, headers=lines)
        assert sent.json == ["Austen 1205", "Austen 1205"]


async def test_a_body_that_is_one_list(web: Any) -> None:
    @http.post("/shelves", versions="*")
    async def fill(books: Annotated[list[NewBook], http.Body()]) -> list[int]:
        return [book.cents for book in books]

    @http.post("/boxes", versions="*")
    async def pack(books: list[NewBook], label: str) -> list[Any]:
        return [label, *(book.cents for book in books)]

    async with service(web, fill, pack) as shop, shop.connect() as client:
        filled = await client.ask("POST", "/v1/shelves", json=[ONE, ONE])
        assert filled.json == [1205, 1205]
        wrong = await client.ask("POST", "/v1/shelves", json=[ONE, {}])
        assert wrong.json["errors"][0]["loc"] == ["body", 1, "title"]
        packed = await client.ask("POST", "/v2/boxes", json={"books": [TWO], "label": "x"})
        assert packed.json == ["x", 1205]


async def test_items_that_are_checked_one_by_one(web: Any) -> None:
    async def add(book: NewBook) -> Book:
        return Book(id=1, **book.model_dump())

    @http.post("/many", versions="*")
    async def add_many(bulk: Bulk, books: list[Checked[NewBook]]) -> BulkResult[Book]:
        return await bulk.each(books, add)

    async with service(web, add_many, contract=True) as shop, shop.connect() as client:
        body = {"books": [ONE, {"title": "x"}, ONE]}
        answer = await client.ask("POST", "/v1/many", json=body)
        assert (answer.status, answer.json["succeeded"]) == (207, 2)
        first, second, _ = answer.json["outcomes"]
        assert first["value"] == {"id": 1, "title": "Emma", "author": "Austen", "price": "12.05"}
        assert second["error"]["status"] == 422


async def test_other_codecs_are_translated_too(web: Any) -> None:
    packed = {"Content-Type": "application/vnd.msgpack", "Accept": "application/vnd.msgpack"}
    async with (
        service(web, add_book, find_book, message_pack=True) as shop,
        shop.connect() as client,
    ):
        made = await client.ask("POST", "/v1/books", body=msgpack.encode(ONE), headers=packed)
        assert made.status == 201
        assert msgpack.decode(made.body) == {
            "id": 8, "title": "Emma", "author": "Austen", "price": "12.05",
        }  # fmt: skip
        two = await client.ask("GET", "/v2/books/7", headers=packed)
        assert msgpack.decode(two.body)["price"] == "12.05"
        for body in (b"\xff", {**ONE, "author": b"\xff"}, [ONE], {"author": datetime.now(UTC)}):
            raw = body if isinstance(body, bytes) else msgpack.encode(body)
            for version in ("v1", "v2"):
                wrong = await client.ask("POST", f"/{version}/books", body=raw, headers=packed)
                assert wrong.status in (400, 422), wrong.body


# bad input 41: what does not fit a version is refused, whatever form it has.
@pytest.mark.parametrize(
    ("path", "body", "status", "loc"),
    [
        ("/v1/books", b'{"title": "E", "author": "A"}', 422, ["body", "price"]),
        ("/v2/books", b'{"title": "E", "authors": ["A"]}', 422, ["body"]),
        ("/v2/books", b'{"title": "E", "authors": ["A"], "price": 3}', 422, ["body"]),
        ("/v2/books", b'{"title": "E", "authors": ["A"], "price": "x.y"}', 422, ["body"]),
        ("/v2/books", b'{"title": 1, "authors": ["A"], "price": "1.0"}', 422, ["body", "title"]),
        ("/v2/books", b"[]", 422, ["body"]),
        ("/v1/books", b"7", 422, ["body"]),
        ("/v1/books", b"{", 400, ["body"]),
        ("/v1/books", b"\xff", 400, ["body"]),
        ("/v2/books", b"[" * 100_000, 400, ["body"]),
        ("/v1/books", b'{"a":' * 100_000, 400, ["body"]),
    ],
)
async def test_bodies_that_do_not_fit_their_version(
    web: Any, path: str, body: bytes, status: int, loc: list[str]
) -> None:
    async with service(web, add_book) as shop:
        headers = {"Content-Type": "application/json"}
        answer = await shop.ask("POST", path, body=body, headers=headers)
        assert answer.status == status
        assert answer.json["errors"][0]["loc"] == loc


class Branch(BaseModel):
    name: str = ""
    branches: list[Branch] = []


@http.upgrade_request("1", "2", Branch)
def rename_branch(branch: dict[str, Any]) -> dict[str, Any]:
    return {"name": branch.pop("title", ""), **branch}


@http.downgrade_response("2", "1", Branch)
def title_branch(branch: dict[str, Any]) -> dict[str, Any]:
    return {"title": branch.pop("name"), **branch}


# bad input 41: models within models, as deep as JSON may be and deeper.
async def test_models_that_hold_themselves(web: Any) -> None:
    @http.post("/branches", versions="1-2")
    async def grow(branch: Branch) -> Branch:
        return branch

    changes = [
        change
        for function in (rename_branch, title_branch)
        for change in vars(function)["__covet_version_changes__"]
    ]
    statuses = {}
    async with service(web, grow, changes=changes) as shop, shop.connect() as client:
        for depth in (0, 1, 50, 90, 95, 99, 100, 120, 1000, 100_000):
            body = b'{"title":"x","branches":[' * depth + b'{"title":"x"}' + b"]}" * depth
            headers = {"Content-Type": "application/json"}
            answer = await client.ask("POST", "/v1/branches", body=body, headers=headers)
            statuses[depth] = answer.status
            if answer.status == 200:
                assert answer.body.count(b'"title":"x"') == depth + 1
    assert statuses[90] == 200
    assert set(statuses.values()) <= {200, 400, 413, 422}


async def refused(web: Any, *functions: Any, **more: Any) -> ConfigurationError:
    with pytest.raises((ConfigurationError, ExceptionGroup)) as caught:
        async with service(web, *functions, **more):
            pass
    error: BaseException = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ConfigurationError), error
    return error


async def test_ranges_that_are_none(web: Any) -> None:
    @http.get("/books", versions="2-9")
    async def beyond() -> None: ...

    error = await refused(web, beyond)
    assert error.code == "COVET-HTTP-VERSION-UNKNOWN"
    assert "'2-9' is neither a declared version nor a range" in error.problem
    with pytest.raises((ConfigurationError, ExceptionGroup), match="none are declared"):
        async with web.serving(beyond):
            pass


@pytest.mark.parametrize("by", ["path", "header", "media-type"])
async def test_ranges_that_overlap(web: Any, by: str) -> None:
    @http.get("/books/{id}", versions="-2")
    async def old(id: int) -> None: ...

    @http.get("/books/{number}", versions="2-")
    async def new(number: int) -> None: ...

    error = await refused(web, old, new, by=by)
    assert error.code == "COVET-HTTP-ROUTE-CONFLICT"
    assert "shop.old" in error.problem
    assert "shop.new" in error.problem


class Other(BaseModel):
    title: str


@http.get("/either", versions="*")
async def either() -> Book | Other: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: http.upgrade_request("1", "3", NewBook), "not declared as neighbours"),
        (lambda: http.upgrade_request("2", "1", NewBook), "not declared as neighbours"),
        (lambda: http.upgrade_request("1", "2", int), "which is no model"),
        (lambda: http.upgrade_request("1", "2", NewBook), "of the same model and versions"),
        (lambda: http.downgrade_response("2", "1", Other), "a value may be Book and Other"),
    ],
)
async def test_changes_that_are_none(web: Any, make: Any, says: str) -> None:
    @make()
    def changed(data: dict[str, Any]) -> dict[str, Any]:
        return data

    changes = [*CHANGES, *vars(changed)["__covet_version_changes__"]]
    error = await refused(web, either, changes=changes)
    assert error.code == "COVET-HTTP-VERSION-CHANGE"
    assert says in error.problem


async def test_a_change_that_nothing_needs_is_told(web: Any, caplog: Any) -> None:
    async with service(web, find_book):
        assert "no operation needs the request change of NewBook from version 1" in caplog.text
        assert "change of Book" not in caplog.text


def test_the_changes_of_a_module_are_its_own() -> None:
    import types

    own, borrowed = types.ModuleType("own"), types.ModuleType("borrowed")
    own.several_authors = borrowed.several_authors = several_authors  # type: ignore[attr-defined]
    own.__name__ = several_authors.__module__
    (change,) = http.version_changes_of(own)
    assert (change.direction, change.older, change.newer) == ("request", "1", "2")
    assert not [*http.version_changes_of(borrowed)]


class BookOne(BaseModel):
    """What version 1 answers."""

    model_config = ConfigDict(extra="forbid")

    id: int
    title: str
    author: str
    price: str


@http.downgrade_response("2", "1", Book)
def as_one(book: dict[str, Any]) -> BookOne:
    return BookOne(author=book.pop("authors")[0], **book)


@pytest.mark.parametrize(
    ("by", "media"),
    [
        ("path", ""),
        ("header", ""),
        ("media-type", "application/vnd.api.v{version}+json"),
        ("media-type", "application/vnd.api+json; version={version}"),
    ],
)
async def test_each_version_is_described_as_its_clients_see_it(
    web: Any, by: str, media: str, caplog: pytest.LogCaptureFixture
) -> None:
    @http.get("/every", versions="*")
    async def every() -> dict[str, list[Book]]:
        return {"books": [EMMA]}

    @http.get("/shelves", versions="*")
    async def shelves() -> list[Shelf]:
        return [Shelf(name="A", books=[EMMA])]

    changes = [*CHANGES[:3], *vars(as_one)["__covet_version_changes__"]]
    functions = (find_book, add_book, every, shelves, stream, neutral)
    prefix = "/v1" if by == "path" else ""
    more = {"media_type": media} if media else {}
    media = media.replace("{version}", "1") or "application/json"
    head = {"API-Version": "1", "Accept": media}
    async with (
        service(web, *functions, changes=changes, by=by, contract=True, **more) as shop,
        shop.connect() as client,
    ):
        # Contract mode refuses what the document of the version does not announce.
        assert (await client.ask("GET", "/neutral")).status == 200
        for path in ("/books/7", "/every", "/shelves", "/stream"):
            answer = await client.ask("GET", prefix + path, headers=head)
            assert answer.status == 200, answer.body
        made = await client.ask("POST", f"{prefix}/books", json=ONE, headers=head)
        assert made.status == 201, made.body
        target = "/openapi.json" + ("" if by == "path" else "?version=1")
        document = (await client.ask("GET", target)).json
        paths, components = document["paths"], document["components"]["schemas"]
        answers = paths[f"{prefix}/books/{{id}}"]["get"]["responses"]
        assert answers["200"]["content"][media.partition(";")[0]]["schema"] == {
            "$ref": "#/components/schemas/BookOne"
        }
        body = paths[f"{prefix}/books"]["post"]["requestBody"]["content"]["application/json"]
        assert body["schema"] == {"$ref": "#/components/schemas/NewBookOne"}
        assert paths[f"{prefix}/every"]["get"]["deprecated"] is True
        named = [each["name"] for each in paths[f"{prefix}/every"]["get"].get("parameters", ())]
        assert named == (["API-Version"] if by == "header" else [])
        assert "another operation is at this path" not in caplog.text
        shelf_one = components["ShelfV1"]["properties"]
        assert shelf_one["books"]["items"] == {"$ref": "#/components/schemas/BookOne"}


# Ranges.


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("2", "123", "2"), ("2-", "123", "23"), ("-2", "123", "12"), ("1-3", "123", "123"),
        ("*", "123", "123"), ("1, 3", "123", "13"), ("3,1-2", "123", "123"), (" 2 - 3 ", "123", "23"),
    ],
)  # fmt: skip
def test_ranges(text: str, names: str, expected: str) -> None:
    assert versions_in(text, tuple(names)) == tuple(expected)


def test_names_with_dashes() -> None:
    days = ("2026-01-01", "2026-05-01", "2026-09-01")
    assert versions_in("2026-05-01-", days) == days[1:]
    assert versions_in("-2026-05-01", days) == days[:2]
    assert versions_in("2026-01-01-2026-05-01", days) == days[:2]


@pytest.mark.parametrize("text", ["", "4", "-", "2-1", "1-4", "1,,2", "a-b", "--"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(BadRangeError):
        versions_in(text, ("1", "2", "3"))


# Media types.

NAMES = {f"application/vnd.shop.v{name}+json": name for name in "123"}
TYPES = {parsed[0]: name for text, name in NAMES.items() if (parsed := parse(text))}
FAMILY = Family("application/vnd.shop.v{version}+json")


def test_a_version_as_a_parameter() -> None:
    family = Family("application/vnd.shop+json; version={version}")
    parsed = parse('application/vnd.shop+json ; Version="2"; q=0.5')
    assert parsed is not None
    types = {parsed[0]: "2"}
    assert parsed[1] == 0.5
    assert Wanted("application/vnd.shop+json;version=2", types, family).version == "2"
    unknown = Wanted("application/vnd.shop+json;version=3", types, family)
    assert (unknown.version, unknown.others) == (None, False)
    assert Wanted("application/vnd.shop+json", types, family).others


@pytest.mark.parametrize(
    "text", ["", "a", "a/", "/b", "a/b;", "a/b;q", "a/b;q=2", "a/b;q=1.0000", "a b/c", 'a/b;c="']
)
def test_what_is_no_media_type(text: str) -> None:
    assert parse(text) is None


@given(
    st.lists(st.tuples(st.sampled_from(sorted(NAMES)), st.integers(0, 1000)), max_size=6),
    st.sampled_from(["", ', a/b;c="x,y\\",application/vnd.shop.v1+json"', ",,;"]),
)
def test_the_liked_version_wins(liked: list[tuple[str, int]], noise: str) -> None:
    header = ", ".join(f"{name};q={quality / 1000:.3f}" for name, quality in liked) + noise
    best = max((quality for _, quality in liked), default=0)
    said = Wanted(header, TYPES, FAMILY)
    if best == 0:
        assert said.version is None
    else:
        first = next(name for name, quality in liked if quality == best)
        assert said.version == NAMES[first]


# bad input 24
@given(st.text(alphabet='ab/*;,=" \\q.0v+', max_size=60))
def test_any_accept_is_read(text: str) -> None:
    said = Wanted(text, TYPES, FAMILY)
    assert said.version is None or said.version in "123"


def test_reading_a_long_accept_is_linear() -> None:
    for text in ('"' * 32_000, '\\"' * 16_000, "a/b," * 8_000, "a/b;c=d" * 4_000, ";" * 32_000):
        assert Wanted(text, TYPES, FAMILY).version is None


# Walks.


@dataclass
class Pair:
    left: Book
    right: Book | None = None


class Bag(TypedDict):
    books: NotRequired[dict[str, Book]]


class Page(BaseModel, Generic[T]):
    items: list[T]


class Books(RootModel[list[Book]]):
    pass


class Tree(BaseModel):
    book: Annotated[Book, Field(alias="theBook")]
    children: list[Tree] = []


def mark(data: Any) -> Any:
    return {**data, "seen": data.get("seen", 0) + 1}


PLAIN = {"id": 1}
SEEN = {"id": 1, "seen": 1}


@pytest.mark.parametrize(
    ("annotation", "data", "expected"),
    [
        (Book, PLAIN, SEEN),
        (Annotated[Book, "x"], PLAIN, SEEN),
        (Book | None, PLAIN, SEEN),
        (Book | None, None, None),
        (list[Book], [PLAIN, PLAIN], [SEEN, SEEN]),
        (list[Book], "text", "text"),
        (tuple[int, Book], [1, PLAIN], [1, SEEN]),
        (tuple[int, Book], [1], [1]),
        (tuple[Book, ...], [PLAIN], [SEEN]),
        (dict[str, list[Book]], {"a": [PLAIN]}, {"a": [SEEN]}),
        (dict[str, Book], 3, 3),
        (Pair, {"left": PLAIN, "right": None}, {"left": SEEN, "right": None}),
        (Bag, {"books": {"a": PLAIN}}, {"books": {"a": SEEN}}),
        (Bag, {}, {}),
        (Page[Book], {"items": [PLAIN]}, {"items": [SEEN]}),
        (Books, [PLAIN], [SEEN]),
        (
            Tree,
            {"theBook": PLAIN, "children": [{"book": PLAIN}]},
            {"theBook": SEEN, "children": [{"book": SEEN}]},
        ),
    ],
)
def test_where_a_model_stands(annotation: Any, data: Any, expected: Any) -> None:
    for first in ("outer", "inner"):
        walk = compile_walk(annotation, {Book: mark}, first)  # type: ignore[arg-type]
        assert walk is not None
        assert walk(data) == expected


def test_where_no_model_stands() -> None:
    assert compile_walk(Page[int], {Book: mark}, "outer") is None
    assert compile_walk(Tree, {Shelf: mark}, "outer") is None
    assert compile_walk(int | None, {Book: mark}, "outer") is None
    with pytest.raises(AmbiguousError, match="Book and Pair"):
        compile_walk(list[Book | Pair], {Book: mark}, "outer")


def test_which_of_two_models_comes_first() -> None:
    order: list[str] = []

    def outer(data: Any) -> Any:
        order.append("outer")
        return data

    def inner(data: Any) -> Any:
        order.append("inner")
        return data

    for first in ("outer", "inner"):
        walk = compile_walk(Shelf, {Shelf: outer, Book: inner}, first)  # type: ignore[arg-type]
        assert walk is not None
        walk({"books": [{}]})
    assert order == ["outer", "inner", "inner", "outer"]


def test_faults_say_where_they_are() -> None:
    def fail(data: Any) -> Any:
        raise FaultsError([{"loc": ["title"], "msg": "m", "type": "t"}])

    walk = compile_walk(dict[str, list[Tree]], {Book: fail}, "outer")
    assert walk is not None
    with pytest.raises(FaultsError) as caught:
        walk({"a": [{}, {"children": [{"book": {}}]}]})
    assert caught.value.errors[0]["loc"] == ["a", 1, "children", 0, "book", "title"]


class Everything(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    number: int = 0
    fraction: float = 0.0
    text: str = ""
    day: datetime | None = None
    any: Any = None


PLAIN_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)
KEYS = st.sampled_from(["number", "fraction", "text", "day", "any", "other"])


@given(st.dictionaries(KEYS, PLAIN_JSON | st.just("2026-01-01T00:00:00Z"), max_size=6), st.binary())
def test_a_change_that_changes_nothing_changes_nothing(data: Any, noise: bytes) -> None:
    validate = TypeAdapter(Everything).validator.validate_json
    for raw in (json.dumps(data).encode(), json.dumps(data).encode()[:-1], noise):
        try:
            expected: Any = validate(raw)
        except ValidationError as error:
            expected = error.errors(include_url=False, include_input=False, include_context=False)
        try:
            found: Any = validate(_converted(raw, lambda given: given, ()))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False, include_context=False)
        # A NaN equals nothing, itself included.
        assert repr(found) == repr(expected)


# The declaration.


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"known": []}, "at least 1"),
        ({"known": [{"name": "1"}, {"name": "1"}]}, "1 is declared twice"),
        ({"known": [{"name": "1", "removed": True}]}, "every version is removed"),
        ({"known": [{"name": "1"}], "default": "2"}, "the default '2' is none of 1"),
        ({"known": [{"name": "1\n"}]}, "pattern"),
        ({"known": [{"name": "1/2"}]}, "pattern"),
        (
            {"known": [{"name": "1", "deprecated": "2026-02-01", "sunset": "2026-01-01"}]},
            "the sunset is before the deprecation",
        ),
        ({"known": [{"name": "1", "link": "https://x/>; rel=evil"}]}, "pattern"),
        ({"known": [{"name": "1"}], "prefix": "/v"}, "has to contain '{version}' once"),
        ({"known": [{"name": "1"}], "prefix": "/{version}/"}, "ends with a slash"),
        ({"known": [{"name": "1"}], "prefix": "/{id}/{version}"}, "has parameters"),
        ({"known": [{"name": "1"}], "prefix": "v{version}"}, "starts with '/'"),
        ({"known": [{"name": "1"}], "header": "a b"}, "no header name"),
        ({"known": [{"name": "1"}], "media_type": "json{version}"}, "no media type"),
        ({"known": [{"name": "1"}], "surprise": 1}, "Extra inputs"),
    ],
)
def test_declarations_that_are_refused(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        VersionsConfig.model_validate(table)
