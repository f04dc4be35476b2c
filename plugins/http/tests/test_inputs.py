"""Inputs from the query, headers, cookies and bodies of every kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

import covet_http as http


class Price(BaseModel):
    model_config = ConfigDict(extra="forbid")
    above: float = 0
    below: float = 1000


class Filters(BaseModel):
    author: str = ""
    year: int | None = None
    tags: list[str] = []
    shelf: set[int] = Field(default=set(), alias="shelf-no")
    price: Price = Price(below=50)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    page: int = 1
    sizes: tuple[int, ...] = ()


@dataclass
class Range:
    low: int
    high: int = 9


@dataclass
class Span:
    days: Range = field(default_factory=lambda: Range(1))
    name: str = "all"


class Client(BaseModel):
    user_agent: str = "none"
    x_forwarded: list[str] = []


class Crumbs(BaseModel):
    session: str
    theme: Literal["dark", "light"] = "light"


class Line(msgspec.Struct):
    book_id: int
    quantity: Annotated[int, msgspec.Meta(ge=1)] = 1


class Order(msgspec.Struct, rename="camel"):
    customer_name: str
    lines: list[Line] = []


class Author(TypedDict):
    name: str


@http.get("/lists")
async def lists(
    ids: list[int],
    words: set[str] = set(),  # noqa: B006
    pair: tuple[int, str] = (0, ""),
    many: list[int] | None = None,
) -> list[Any]:
    return [ids, sorted(words), pair, many]


@http.get("/filters")
async def filters(given: Annotated[Filters, http.Query()], page: int = 1) -> dict[str, Any]:
    return {**given.model_dump(), "shelf": sorted(given.shelf), "page": page}


@http.get("/strict")
async def strict(given: Annotated[Strict, http.Query], loud: bool = False) -> list[Any]:
    return [given.page, given.sizes, loud]


@http.get("/prefixed")
async def prefixed(
    one: Annotated[Range, http.Query("one")],
    two: Annotated[Span | None, http.Query("two")] = None,
) -> list[Any]:
    return [one, two]


@http.get("/headers")
async def headers(
    client: Annotated[Client, http.Header],
    tags: Annotated[list[str], http.Header("x-tag")] = [],  # noqa: B006
    x_count: Annotated[int, http.Header()] = 0,
) -> list[Any]:
    return [client, tags, x_count]


@http.get("/cookie")
async def cookie(
    session: Annotated[str, http.Cookie], n: Annotated[int, http.Cookie("x-n")] = 0
) -> list[Any]:
    return [session, n]


@http.get("/cookies")
async def cookies(given: Annotated[Crumbs, http.Cookie()], request: http.Request) -> list[Any]:
    return [given, dict(request.cookies)]


@http.put("/raw")
async def raw(data: bytes) -> int:
    return len(data)


@http.put("/image")
async def image(data: Annotated[bytes, http.Body("image/*", max_bytes=10)]) -> int:
    return len(data)


@http.put("/large")
async def large(data: Annotated[bytes, http.Body("video/*", max_bytes=3_000_000)]) -> int:
    return len(data)


@http.put("/signed")
async def signed(
    data: Annotated[bytes, http.Body("application/json")], kind: Annotated[str, http.Query()]
) -> str:
    return kind + data.decode()


@http.put("/maybe")
async def maybe(data: Annotated[bytes | None, http.Body()] = None) -> str:
    return "nothing" if data is None else str(len(data))


@http.put("/text")
async def text(note: Annotated[str, http.Body(media_type=("text/plain", "text/markdown"))]) -> str:
    return note


@http.post("/words")
async def words(
    given: Annotated[list[str], http.Body()], loud: Annotated[bool, http.Query()] = False
) -> list[Any]:
    return [given, loud]


@http.post("/perhaps")
async def perhaps(given: Annotated[Range | None, http.Body()] = None) -> Range | None:
    return given


@http.post("/authors")
async def authors(given: Annotated[list[Author], http.Body]) -> list[Author]:
    return given


@http.post("/chunks")
async def chunks(
    data: Annotated[AsyncIterator[bytes], http.Body("application/octet-stream")], n: int = 0
) -> list[int]:
    size = n
    async for piece in data:
        assert type(piece) is bytes
        size += len(piece)
    return [size]


@http.post("/limited")
async def limited(data: Annotated[AsyncIterator[bytes], http.Body("*/*", max_bytes=100)]) -> int:
    return sum([len(piece) async for piece in data])


@http.post("/orders", status=201, location="/orders/{customer_name}")
async def order(given: Order) -> Order:
    return given


@http.post("/orders/several")
async def several(orders: list[Order], note: str = "", first: Line | None = None) -> list[Order]:
    assert first is None or type(first) is Line
    return [*orders, Order(note, [first] if first else [])]


@http.get("/lines")
async def lines(given: Annotated[Line, http.Query()]) -> list[Line]:
    return [given, given]


FUNCTIONS = (
    lists, filters, strict, prefixed, headers, cookie, cookies, raw, image, large, signed, maybe, text, words, perhaps,
    authors, chunks, limited, order, several, lines,
)  # fmt: skip
FILTERS = {
    "author": "", "year": None, "tags": [], "shelf": [], "price": {"above": 0, "below": 50}, "page": 1,
}  # fmt: skip


QUERIES = [
        ("/lists?ids=1&ids=2", [[1, 2], [], [0, ""], None]),
        ("/lists?ids=1&words=b&words=a&words=b&pair=3&pair=x&many=4", [[1], ["a", "b"], [3, "x"], [4]]),
        ("/filters", FILTERS),
            ("/filters?unknown=1", FILTERS),
        (
            "/filters?author=a%2eb&year=7&tags=x&tags=y&shelf-no=2&shelf-no=1&price.above=0.5&page=3",
            {"author": "a.b", "year": 7, "tags": ["x", "y"], "shelf": [1, 2],
             "price": {"above": 0.5, "below": 1000}, "page": 3},
        ),
        ("/filters?tags=x", {**FILTERS, "tags": ["x"]}),
        ("/strict?page=2&sizes=1&sizes=2&loud=true", [2, [1, 2], True]),
        ("/prefixed?one.low=1", [{"low": 1, "high": 9}, None]),
        (
            "/prefixed?one.low=1&one.high=2&two.days.low=3&high=7&two.other=1",
            [{"low": 1, "high": 2}, {"days": {"low": 3, "high": 9}, "name": "all"}],
        ),
        ("/lines?book_id=3", [{"book_id": 3, "quantity": 1}] * 2),
]  # fmt: skip


async def test_queries(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        for target, expected in QUERIES:
            answer = await client.ask("GET", target)
            assert (answer.status, answer.json) == (200, expected), target
        answer = await client.ask("GET", "/filters?unknown=1&price=")
        assert answer.status == 400
        assert "'price' has fields" in answer.json["detail"]


UNFIT = [
        ("/lists", [(["query", "ids"], "missing")]),
        ("/lists?ids=1&ids=x", [(["query", "ids", 1], "int_parsing")]),
        ("/filters?year=x&price.above=y&page=z", [
            (["query", "page"], "int_parsing"),
            (["query", "year"], "int_parsing"),
            (["query", "price", "above"], "float_parsing"),
        ]),
        ("/filters?price.most=1", [(["query", "price", "most"], "extra_forbidden")]),
        ("/strict?pages=2", [(["query", "pages"], "extra_forbidden")]),
        ("/prefixed", [(["query", "one", "low"], "missing")]),
        ("/prefixed?one.low=1&two.days.high=1", [(["query", "two", "days", "low"], "missing")]),
        ("/lines?book_id=x", [(["query", "book_id"], "struct_type")]),
        # bad input 41: what floats have beyond numbers is none
        ("/filters?price.above=nan", [(["query", "price", "above"], "finite_number")]),
        ("/filters?price.above=1e999", [(["query", "price", "above"], "finite_number")]),
]  # fmt: skip


async def test_queries_that_do_not_fit(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        for target, faults in UNFIT:
            answer = await client.ask("GET", target)
            assert answer.status == 422, target
            found = [(fault["loc"], fault["type"]) for fault in answer.json["errors"]]
            assert sorted(found, key=str) == sorted(faults, key=str), target


async def test_a_query_parameter_of_a_model_comes_once(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service:
        answer = await service.ask("GET", "/filters?author=a&author=b")
    assert answer.status == 400
    assert answer.json["detail"] == "the query parameter 'author' comes more than once"


async def test_parameters_that_nobody_asks_for_can_be_refused(web: Any) -> None:
    async with web.serving(*FUNCTIONS, http={"refuse_extra_query": True}) as service:
        good = await service.ask("GET", "/filters?price.above=1&page=2&shelf-no=1")
        bad = await service.ask("GET", "/filters?pages=2&price.abov=1")
        none = await service.ask(
            "PUT", "/raw?x=1", headers={"Content-Type": "application/octet-stream"}
        )
    assert good.status == 200
    assert (bad.status, none.status) == (422, 422)
    assert [fault["loc"] for fault in bad.json["errors"]] == [
        ["query", "pages"],
        ["query", "price.abov"],
    ]


async def test_headers(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask("GET", "/headers")
        assert answer.json == [{"user_agent": "none", "x_forwarded": []}, [], 0]
        await client.send(
            b'GET /headers HTTP/1.1\r\nHost: a\r\nUser-Agent: me\r\nX-Tag: a, "b,c" ,,\r\n'
            b"x-tag: d\r\nX-Count: 7\r\nX-Forwarded: 1,2\r\n\r\n"
        )
        answer = await client.answer()
        assert answer.json == [
            {"user_agent": "me", "x_forwarded": ["1", "2"]}, ["a", '"b,c"', "d"], 7,
        ]  # fmt: skip
        answer = await client.ask("GET", "/headers", headers={"X-Count": "x"})
        assert answer.json["errors"][0]["loc"] == ["header", "x-count"]
        await client.send(b"GET /headers HTTP/1.1\r\nHost: a\r\nX-Count: 7\r\nX-Count: 8\r\n\r\n")
        assert (await client.answer()).status == 400


async def test_cookies(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:

        async def ask(line: str, path: str = "/cookie") -> Any:
            return await client.ask("GET", path, headers={"Cookie": line})

        assert (await ask("a=b; session=x=y; x-n=5")).json == ["x=y", 5]
        assert (await ask("session=1; session=2")).json == ["1", 0]
        assert (await ask("session=s", "/cookies")).json == [
            {"session": "s", "theme": "light"}, {"session": "s"},
        ]  # fmt: skip
        answer = await ask("theme=blue", "/cookies")
        assert [fault["loc"] for fault in answer.json["errors"]] == [
            ["cookie", "session"],
            ["cookie", "theme"],
        ]
        answer = await client.ask("GET", "/cookie")
        assert answer.json["errors"] == [
            {"loc": ["cookie", "session"], "msg": "Field required", "type": "missing"}
        ]
        assert (await ask("; ".join(f"c{n}=v" for n in range(200)))).status == 400
        await client.send(
            b"GET /cookie HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nCookie: session=s\r\n\r\n"
        )
        assert (await client.answer()).json == ["s", 0]


BODIES = [
        ("PUT", "/raw", "application/octet-stream", b"\x00\xff", 200, 2),
        ("PUT", "/raw", "application/octet-stream", b"", 200, 0),
        ("PUT", "/raw", "text/plain", b"ab", 415, None),
        ("PUT", "/raw", "", b"ab", 415, None),
        ("PUT", "/raw", "application/octet-stream", b"x" * 1_100_000, 413, None),
        ("PUT", "/image", "image/png; x=y", b"0123456789", 200, 10),
        ("PUT", "/image", "image/png", b"0123456789a", 413, None),
        ("PUT", "/image", "imagex/png", b"0", 415, None),
    ("PUT", "/large", "video/mp4", b"x" * 2_500_000, 200, 2_500_000),
    ("PUT", "/large", "video/mp4", b"x" * 3_000_001, 413, None),
        ("PUT", "/signed?kind=k", "application/json", b"{not", 200, "k{not"),
        ("PUT", "/signed?kind=k", "text/plain", b"{not", 415, None),
        ("PUT", "/maybe", "", b"", 200, "nothing"),
        ("PUT", "/maybe", "application/octet-stream", b"abc", 200, "3"),
        ("PUT", "/maybe", "application/json", b"abc", 415, None),
        ("PUT", "/text", "text/plain;charset=utf-8", "grüß".encode(), 200, "grüß"),
        ("PUT", "/text", "text/markdown", b"# x", 200, "# x"),
        ("PUT", "/text", "text/plain", b"\xff", 400, None),
        ("PUT", "/text", "text/html", b"x", 415, None),
        ("POST", "/words?loud=1", "application/json", b'["a","b"]', 200, [["a", "b"], True]),
        ("POST", "/words", "application/json", b'{"given":["a"]}', 422, None),
        ("POST", "/words", "text/plain", b'["a"]', 415, None),
        ("POST", "/perhaps", "", b"", 200, None),
        ("POST", "/perhaps", "application/json", b'{"low":1}', 200, {"low": 1, "high": 9}),
        ("POST", "/perhaps", "text/plain", b'{"low":1}', 415, None),
        ("POST", "/authors", "application/json", b'[{"name":"x"}]', 200, [{"name": "x"}]),
        ("POST", "/chunks?n=5", "application/octet-stream", b"x" * 70_000, 200, [70_005]),
        ("POST", "/chunks", "application/x-ndjson", b"x", 415, None),
        ("POST", "/limited", "a/b", b"x" * 100, 200, 100),
        ("POST", "/limited", "a/b", b"x" * 101, 413, None),
]  # fmt: skip


async def test_bodies(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service:
        for method, path, content_type, body, status, expected in BODIES:
            headers = {"Content-Type": content_type} if content_type else {}
            answer = await service.ask(method, path, body=body, headers=headers)
            assert answer.status == status, (path, content_type, answer.body)
            if status == 200:
                assert answer.json == expected


async def test_structs(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        given = {"customerName": "Ann", "lines": [{"book_id": 1}]}
        answer = await client.ask("POST", "/orders", json=given)
        assert (answer.status, answer.headers["location"]) == (201, "/orders/Ann")
        assert answer.json == {"customerName": "Ann", "lines": [{"book_id": 1, "quantity": 1}]}

        answer = await client.ask(
            "POST",
            "/orders",
            json={"customerName": "Ann", "lines": [{"book_id": 1, "quantity": 0}]},
        )
        assert answer.status == 422
        assert answer.json["errors"] == [
            {
                "loc": ["body", "lines", 0, "quantity"],
                "msg": "Expected 'int' >= 1",
                "type": "struct_type",
            }
        ]
        for broken in (
            b"{",
            b'{"customerName":NaN}',
            b'{"x":' + b"[" * 100_000,
            b'{"customerName":"\xff"}',
        ):
            answer = await client.ask(
                "POST", "/orders", body=broken, headers={"Content-Type": "application/json"}
            )
            assert answer.status == 400

        answer = await client.ask(
            "POST", "/orders/several", json={"orders": [given], "first": {"book_id": 7}}
        )
        assert answer.json == [
            {"customerName": "Ann", "lines": [{"book_id": 1, "quantity": 1}]},
            {"customerName": "", "lines": [{"book_id": 7, "quantity": 1}]},
        ]
        answer = await client.ask("POST", "/orders/several", json={"orders": [{}], "first": {}})
        assert answer.status == 422
        assert [(fault["loc"], fault["msg"]) for fault in answer.json["errors"]] == [
            (["body", "orders"], "0: Object missing required field 'customerName'"),
            (["body", "first"], "Object missing required field 'book_id'"),
        ]


class Deep(BaseModel):
    lines: list[Price] = []


class Loose(BaseModel):
    more: dict[str, int] = {}


class Nested(BaseModel):
    price: Price = Price()


async def wrong_stream(data: Annotated[AsyncIterator[int], http.Body("a/b")]) -> None: ...
async def wrong_type(data: Annotated[bytes, http.Body("image")]) -> None: ...
async def wrong_limit(data: Annotated[bytes, http.Body(max_bytes=-1)]) -> None: ...
async def wrong_model(data: Annotated[Range, http.Body("application/xml")]) -> None: ...
async def two_bodies(data: Annotated[bytes, http.Body()], more: int) -> None: ...
async def two_models(
    a: Annotated[Range, http.Query()], b: Annotated[Span, http.Query()]
) -> None: ...
async def many_models(a: Annotated[Deep, http.Query()]) -> None: ...
async def a_dict(a: Annotated[Loose, http.Query()]) -> None: ...
async def nested_header(a: Annotated[Nested, http.Header()]) -> None: ...
async def named_header(a: Annotated[Client, http.Header("x")]) -> None: ...
async def cookie_list(a: Annotated[list[str], http.Cookie()]) -> None: ...
async def cookie_lists(a: Annotated[Client, http.Cookie()]) -> None: ...
async def struct_form(given: Annotated[Line, http.Form()]) -> None: ...
async def cookie_name(a: Annotated[str, http.Cookie("a b")]) -> None: ...


WRONG = [
    (wrong_stream, "only AsyncIterator[bytes] is the body itself"),
    (wrong_type, "'image' is no media type"),
    (wrong_limit, "max_bytes is -1"),
    (wrong_model, "of which only bytes or str can be made"),
    (two_bodies, "leaves nothing for the rest"),
    (two_models, "the second model whose fields come from the query: give it a name"),
    (many_models, "'lines' is a collection of models"),
    (a_dict, "'more' is a dict"),
    (nested_header, "'price' is a model, which has no place there"),
    (named_header, "whose fields have names of their own"),
    (cookie_list, "a cookie has one value"),
    (cookie_lists, "a cookie has one value"),
    (struct_form, "takes no texts for numbers"),
    (cookie_name, "which is no name there"),
]
POSTED = [http.post(f"/{function.__name__}")(function) for function, _ in WRONG]


@http.get("/body")
async def body_by_get(data: Annotated[bytes, http.Body()]) -> None: ...


@http.delete("/body")
async def body_by_delete(data: Annotated[bytes, http.Body()]) -> None: ...


async def test_inputs_that_cannot_be_are_refused_at_the_start(web: Any) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with web.serving(body_by_get, body_by_delete, *POSTED):
            pass
    found = "\n".join(each.problem for each in leaves(caught.value))
    for function, says in (*WRONG, (body_by_get, "GET lacks"), (body_by_delete, "DELETE lacks")):
        assert f"{function.__name__} cannot be reached" in found
        assert says in found


def leaves(group: BaseException) -> list[Any]:
    if isinstance(group, BaseExceptionGroup):
        return [leaf for inner in group.exceptions for leaf in leaves(inner)]
    return [group]
