"""Requests and answers over a socket: parameters, bodies, statuses, problems."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

import covet_http as http
from covet_kernel.contracts import Principal
from covet_operations import Conflict, NotFound, RateLimited, Unavailable, operation


class Line(BaseModel):
    book_id: int
    quantity: int = Field(ge=1)


class Book(BaseModel):
    id: int
    title: str


@dataclass
class Pair:
    left: int
    right: int


class Author(TypedDict):
    name: str


class OutOfStock(Conflict):
    """Fewer copies are left than were ordered."""

    book_id: int
    left: int


class PaymentRequired(Conflict):
    """The order is not paid."""

    http_status = 402


class HalfARequest(http.Malformed):
    """The request is half a request."""


@http.get("/books")
async def search(q: str = "", limit: int = 10, tag: list[str] = []) -> dict[str, Any]:  # noqa: B006
    return {"q": q, "limit": limit, "tag": tag}


@http.get("/books/{id}")
async def get_book(id: int) -> Book:
    if id == 404:
        raise NotFound("no book 404")
    return Book(id=id, title="a title")


@http.post("/books", status=201, location="/books/{id}")
async def add_book(book: Book) -> Book:
    return book


@http.put("/books/{id}")
async def put_book(id: int, title: str) -> Book:
    return Book(id=id, title=title)


@http.patch("/books/{id}")
async def patch_book(id: int, title: str | None = None) -> dict[str, Any]:
    return {"id": id, "title": title}


@http.delete("/books/{id}")
async def delete_book(id: int) -> None: ...


@http.post("/orders", status=201)
async def order(lines: list[Line], note: str = "") -> dict[str, Any]:
    return {"lines": len(lines), "note": note}


@http.post("/pairs")
async def pair(given: Pair) -> Pair:
    return Pair(given.right, given.left)


@http.post("/authors", location="/authors/{name}")
async def author(given: Author) -> Author:
    return given


@http.get("/typed/{key}/{day}/{kind}")
async def typed(key: UUID, day: date, kind: Literal["a", "b"], flag: bool = False) -> list[Any]:
    return [str(key), day.isoformat(), kind, flag]


@http.post("/marked")
async def marked(
    text: str,
    page: Annotated[int, http.Query("p")] = 1,
    trace: Annotated[str, http.Header("x-trace")] = "none",
    user_agent: Annotated[str, http.Header] = "",
) -> list[Any]:
    return [text, page, trace, user_agent]


@http.get("/raw")
async def raw(request: http.Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": request.path,
        "x": request.headers.get("x"),
        "query": dict(request.query),
        "client": request.client,
    }


@http.get("/plain")
def plain() -> str:
    return "a plain function"


@operation(errors=(OutOfStock,))
@http.post("/sold-out")
async def sold_out() -> Book:
    raise OutOfStock("only 2 are left", book_id=7, left=2)


@http.post("/unpaid")
async def unpaid() -> None:
    raise PaymentRequired("12.05 EUR are missing")


@http.post("/half")
async def half() -> None:
    raise HalfARequest("the other half is missing")


@http.get("/bug")
async def bug() -> Book:
    raise ValueError("a secret of the database")


@http.get("/not-a-book")
async def not_a_book() -> Book:
    return "surprise"  # type: ignore[return-value]


@http.get("/limited")
async def limited() -> None:
    raise RateLimited("slower", retry_after=7.2)


@http.get("/down")
async def down() -> None:
    raise Unavailable("later")


@operation(requires=("secrets:read",))
@http.get("/secret")
async def secret(who: Principal) -> str:
    return who.id


FUNCTIONS = (
    search, get_book, add_book, put_book, patch_book, delete_book, order, pair, author, typed, marked,
    raw, plain, sold_out, unpaid, half, bug, not_a_book, limited, down, secret,
)  # fmt: skip


@pytest.mark.parametrize(
    ("method", "target", "json", "status", "expected"),
    [
        ("GET", "/books", None, 200, {"q": "", "limit": 10, "tag": []}),
        ("GET", "/books?q=a+b%21&limit=3", None, 200, {"q": "a b!", "limit": 3, "tag": []}),
        ("GET", "/books?tag=x&tag=y", None, 200, {"q": "", "limit": 10, "tag": ["x", "y"]}),
        ("GET", "/books?tag=x", None, 200, {"q": "", "limit": 10, "tag": ["x"]}),
        ("GET", "/books?unknown=1", None, 200, {"q": "", "limit": 10, "tag": []}),
        ("GET", "/books/7", None, 200, {"id": 7, "title": "a title"}),
        ("POST", "/books", {"id": 1, "title": "t"}, 201, {"id": 1, "title": "t"}),
        ("PUT", "/books/7", {"title": "new"}, 200, {"id": 7, "title": "new"}),
        ("PATCH", "/books/7", {}, 200, {"id": 7, "title": None}),
        ("PATCH", "/books/7", None, 200, {"id": 7, "title": None}),
        ("POST", "/orders", {"lines": [{"book_id": 1, "quantity": 2}]}, 201, {"lines": 1, "note": ""}),
        ("POST", "/pairs", {"left": 1, "right": 2}, 200, {"left": 2, "right": 1}),
        ("POST", "/authors", {"name": "ü/\r\n"}, 200, {"name": "ü/\r\n"}),
        ("GET", "/plain", None, 200, "a plain function"),
        (
            "GET", "/typed/6f1f3a52-0c59-4b1c-8f0e-0a3f7f2f3f11/2026-01-02/a?flag=true", None, 200,
            ["6f1f3a52-0c59-4b1c-8f0e-0a3f7f2f3f11", "2026-01-02", "a", True],
        ),
        ("POST", "/marked?p=3", {"text": "t"}, 200, ["t", 3, "none", ""]),
    ],
)  # fmt: skip
async def test_answers(
    web: Any, method: str, target: str, json: Any, status: int, expected: Any
) -> None:
    async with web.serving(*FUNCTIONS) as service:
        answer = await service.ask(method, target, json=json)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == expected


async def test_details(entry: Any) -> None:
    async with entry.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask("POST", "/books", json={"id": 3, "title": "t"})
        assert answer.headers["location"] == "/books/3"
        # bad input 39: nothing leaves the segment or the header
        answer = await client.ask("POST", "/authors", json={"name": "ü/../x\r\nSet-Cookie: a=b"})
        assert answer.headers["location"] == "/authors/%C3%BC%2F..%2Fx%0D%0ASet-Cookie%3A%20a%3Db"
        assert "set-cookie" not in answer.headers

        answer = await client.ask("DELETE", "/books/3")
        assert (answer.status, answer.body) == (204, b"")

        got = await client.ask("GET", "/books/3")
        head = await client.ask("HEAD", "/books/3")
        assert head.status == 200
        assert head.headers["content-length"] == got.headers["content-length"]
        assert head.body == b""

        answer = await client.ask("OPTIONS", "/books/3")
        assert answer.status == 204
        assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"
        assert (await client.ask("OPTIONS", "*")).status == 204

        answer = await client.ask(
            "POST", "/marked", json={"text": "t"}, headers={"X-Trace": "abc", "User-Agent": "me"}
        )
        assert answer.json == ["t", 1, "abc", "me"]

        answer = await client.ask("GET", "/raw?a=1&a=2&b=%20", headers={"X": "y"})
        assert answer.json == {
            "method": "GET",
            "path": "/raw",
            "x": "y",
            "query": {"a": ["1", "2"], "b": " "},
            "client": "127.0.0.1",
        }


async def test_absolute_target(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        await client.send(b"GET http://shop.example/books/5 HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        assert (await client.answer()).json["id"] == 5
        await client.send(
            b"GET http://other.example/books/5 HTTP/1.1\r\nHost: shop.example\r\n\r\n"
        )
        assert (await client.answer()).status == 400


@pytest.mark.parametrize(
    ("method", "target", "json", "status", "code", "detail"),
    [
        ("GET", "/books/404", None, 404, "not-found", "no book 404"),
        ("GET", "/nothing", None, 404, "no-such-path", None),
        ("GET", "/books/", None, 404, "no-such-path", None),
        ("POST", "/plain", None, 405, "method-not-allowed", "allowed are GET, HEAD, OPTIONS"),
        ("GET", "/books/x", None, 422, "invalid", "the input does not fit"),
        ("GET", "/books?limit=x", None, 422, "invalid", "the input does not fit"),
        (
            "GET",
            "/books?limit=1&limit=2",
            None,
            400,
            "malformed",
            "the query parameter 'limit' comes more than once",
        ),
        (
            "GET",
            "/books?q=%zz",
            None,
            400,
            "malformed",
            "the query has an incomplete percent-escape",
        ),
        (
            "GET",
            "/books/%00",
            None,
            400,
            "malformed",
            "the request has a target that is no path of this server or cannot be decoded",
        ),
        ("POST", "/books", {"id": "x"}, 422, "invalid", "the input does not fit"),
        ("POST", "/books", [1], 422, "invalid", "the input does not fit"),
        ("PUT", "/books/1", {"title": "t", "extra": 1}, 422, "invalid", "the input does not fit"),
        ("POST", "/sold-out", None, 409, "out-of-stock", "only 2 are left"),
        ("GET", "/bug", None, 500, "internal", None),
        ("GET", "/limited", None, 429, "rate-limited", "slower"),
        ("GET", "/down", None, 503, "unavailable", "later"),
        ("GET", "/secret", None, 401, "unauthenticated", "credentials are required"),
    ],
)
async def test_problems(
    web: Any, method: str, target: str, json: Any, status: int, code: str, detail: str | None
) -> None:
    async with web.serving(*FUNCTIONS) as service:
        answer = await service.ask(method, target, json=json)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert problem["type"] == f"/problems/{code}"
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["title"]
    assert problem.get("detail") == detail


async def test_problem_details(web: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with web.serving(*FUNCTIONS, http={"problem_base": "https://shop.example/p#"}) as service:
        async with service.connect() as client:
            problem = (await client.ask("POST", "/sold-out")).json
            assert problem["type"] == "https://shop.example/p#out-of-stock"
            assert problem["title"] == "Fewer copies are left than were ordered"
            assert (problem["book_id"], problem["left"]) == (7, 2)

            problem = (await client.ask("POST", "/unpaid")).json
            assert (problem["status"], problem["code"]) == (402, "payment-required")

            problem = (await client.ask("POST", "/half")).json
            assert (problem["status"], problem["code"]) == (400, "half-a-request")
            assert problem["title"] == "The request is half a request"

            problem = (await client.ask("POST", "/books", json={"id": "x"})).json
            assert [(fault["loc"], fault["type"]) for fault in problem["errors"]] == [
                (["body", "id"], "int_parsing"),
                (["body", "title"], "missing"),
            ]
            answer = await client.ask("GET", "/bug")
            assert b"secret" not in answer.body
            assert b"Traceback" not in answer.body
            assert (await client.ask("GET", "/not-a-book")).status in (200, 500)
            assert (await client.ask("GET", "/limited")).headers["retry-after"] == "7"
            assert (await client.ask("GET", "/down")).headers["retry-after"] == "1"
            assert (await client.ask("GET", "/secret")).headers["www-authenticate"] == "Bearer"
            answer = await client.ask("DELETE", "/plain")
            assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
            assert (await client.ask("HEAD", "/nothing")).status == 404
            assert (await client.ask("GET", "/books/1")).status == 200
    assert "a secret of the database" in caplog.text


async def test_credentials(web: Any) -> None:
    from covet_kernel import Plugin
    from covet_operations import Unauthenticated

    seen: list[Any] = []

    class Keys(Plugin[None]):
        """Knows one token."""

        def covet_authenticators(self) -> list[Any]:
            return [self]

        async def authenticate(self, credentials: Any) -> Principal | None:
            seen.append((credentials.scheme, credentials.value))
            if credentials.scheme == "basic":
                return None
            if credentials.value != "good":
                raise Unauthenticated("no")
            return Principal(id="ada", permissions=frozenset({"secrets:read"}))

    async with web.serving(*FUNCTIONS, plugins={"keys": Keys}) as service:
        async with service.connect() as client:

            async def ask(value: str) -> Any:
                return await client.ask("GET", "/secret", headers={"Authorization": value})

            assert (await ask("Bearer good")).json == "ada"
            assert (await ask("bearer   good")).json == "ada"
            assert (await ask("Bearer bad")).status == 401
            assert (await ask("Basic YTpi")).status == 401
            assert (await ask("Basic !!!")).status == 401
            await client.send(
                b"GET /secret HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good\r\nAuthorization: Bearer good\r\n\r\n"
            )
            assert (await client.answer()).status == 400
    assert seen == [
        ("bearer", "good"), ("bearer", "good"), ("bearer", "bad"), ("basic", "a:b"), ("basic", ""),
    ]  # fmt: skip
