"""The one model that the body is, whatever the inputs beside the body are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict

import covet_http as http
from covet_http.testing import run_service


class Book(BaseModel):
    id: int
    n: int = 0


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: int


@dataclass
class Shelf:
    id: int


class Line(msgspec.Struct):
    id: int


class Filters(BaseModel):
    q: str = ""


@http.put("/books/{id}")
async def put_book(id: int, book: Book) -> list[Any]:
    return [id, book.id]


@http.put("/shelves/{id}")
async def put_shelf(id: int, shelf: Annotated[Shelf, "of books"]) -> list[Any]:
    return [id, shelf.id]


@http.put("/lines/{id}")
async def put_line(id: int, line: Line) -> list[Any]:
    return [id, line.id]


@http.put("/strict/{id}")
async def put_strict(id: int, book: Strict, dry: bool = False) -> list[Any]:
    return [id, book.id, dry]


@http.post("/by-header")
async def by_header(book: Book, n: Annotated[int, http.Header("x-n")] = 3) -> list[Any]:
    return [book.id, book.n, n]


@http.post("/by-query")
async def by_query(filters: Annotated[Filters, http.Query()], book: Book) -> list[Any]:
    return [filters.q, book.id]


@http.post("/by-cookie")
async def by_cookie(id: Annotated[int, http.Cookie()], book: Book) -> list[Any]:
    return [id, book.id]


@http.post("/form/{id}")
async def form(id: int, book: Annotated[Book, http.Form()]) -> list[Any]:
    return [id, book.id, book.n]


@http.post("/beside")
async def beside(book: Book, n: int = 1) -> list[Any]:
    return [book.id, n]


@http.post("/two")
async def two(book: Book, line: Shelf) -> list[Any]:
    return [book.id, line.id]


@http.post("/perhaps")
async def perhaps(book: Book | None) -> Any:
    return book and book.id


CASES = [
    (put_book, "/books/5", {"json": {"id": 1}}, [5, 1]),
    (put_shelf, "/shelves/5", {"json": {"id": 1}}, [5, 1]),
    (put_line, "/lines/5", {"json": {"id": 1}}, [5, 1]),
    (put_strict, "/strict/5", {"json": {"id": 1, "dry": True}}, [5, 1, True]),
    (by_header, "/by-header", {"json": {"id": 1}, "headers": {"x-n": "9"}}, [1, 0, 9]),
    (by_query, "/by-query?q=a", {"json": {"id": 1}}, ["a", 1]),
    (by_cookie, "/by-cookie", {"json": {"id": 1}, "headers": {"cookie": "id=7"}}, [7, 1]),
    (form, "/form/5", {"data": {"id": "1", "n": "2"}}, [5, 1, 2]),
    # Two members of one name cannot be told apart, nor two models: each is a member then.
    (beside, "/beside", {"json": {"book": {"id": 1}, "n": 2}}, [1, 2]),
    (two, "/two", {"json": {"book": {"id": 1}, "line": {"id": 2}}}, [1, 2]),
    (perhaps, "/perhaps", {"json": {"book": None}}, None),
]
OPERATIONS = [function for function, *_ in CASES]
CONTRACT = {"http": {"openapi": {"contract": True}}}


@pytest.mark.parametrize(("function", "path", "request_", "expected"), CASES)
async def test_bodies(
    http_server: str, function: Any, path: str, request_: dict[str, Any], expected: Any
) -> None:
    method = "PUT" if function.__name__.startswith("put") else "POST"
    async with run_service(function, server=http_server, config=CONTRACT) as client:
        answer = await client.request(method, path, **request_)
    assert (answer.status, answer.json()) == (200, expected)


async def test_the_document_says_so() -> None:
    async with run_service(*OPERATIONS) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]

    def schema(path: str) -> Any:
        (operation,) = paths[path].values()
        return next(iter(operation["requestBody"]["content"].values()))["schema"]

    ours = {path: schema(path) for path in paths}
    book = {"$ref": "#/components/schemas/Book"}
    for path in ("/books/{id}", "/by-header", "/by-query", "/by-cookie", "/form/{id}"):
        assert ours[path] == book
    assert set(ours["/strict/{id}"]["properties"]) == {"id", "dry"}
    assert ours["/strict/{id}"]["additionalProperties"] is False
    assert set(ours["/beside"]["properties"]) == {"book", "n"}


async def test_faults_of_both_places_are_told_together(http_server: str) -> None:
    async with run_service(put_strict, server=http_server) as client:
        answer = await client.put("/strict/x", json={"id": "y", "more": 1})
    faults = [(each["loc"], each["type"]) for each in answer.problem["errors"]]
    assert faults == [
        (["path", "id"], "int_parsing"),
        (["body", "id"], "int_parsing"),
        (["body", "more"], "extra_forbidden"),
    ]
