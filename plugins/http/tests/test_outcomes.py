"""Many items in one request: 207 and a problem document for each that failed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from msgspec import msgpack
from pydantic import BaseModel, ConfigDict, Field

import covet_http as http
from covet_operations import Bulk, BulkFailed, BulkResult, Checked, Conflict, operation


class NewBook(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    title: str = Field(min_length=1)


class Book(NewBook):
    id: int


class BookExists(Conflict):
    """The shop has this book already."""


async def add(book: NewBook) -> Book:
    if book.title == "Emma":
        raise BookExists("as book 1")
    return Book(id=len(book.title), title=book.title)


@http.post("/books/each", status=201)
async def add_each(
    bulk: Bulk, books: Annotated[list[Checked[NewBook]], Field(max_length=4)]
) -> BulkResult[Book]:
    return await bulk.each(books, add)


@operation(errors=(BulkFailed,))
@http.post("/books/all")
async def add_all(bulk: Bulk, books: list[Checked[NewBook]]) -> list[Book]:
    return await bulk.all(books, add)


@http.post("/books/stream")
async def add_stream(bulk: Bulk, books: AsyncIterator[Checked[NewBook]]) -> BulkResult[Book]:
    return await bulk.each(books, add, keep="failed")


GOOD = {"title": "Persuasion"}


async def test_each_item_has_its_own_outcome(web: Any) -> None:
    async with (
        web.serving(
            add_each,
            add_all,
            add_stream,
            config={"operations": {"max_bulk_items": 3}},
            http={"openapi": {"contract": True}},
        ) as shop,
        shop.connect() as client,
    ):
        fine = await client.ask("POST", "/books/each", json={"books": [GOOD, GOOD]})
        assert (fine.status, fine.json["succeeded"]) == (201, 2)
        assert fine.json["outcomes"][0] == {
            "index": 0, "value": {"id": 10, "title": "Persuasion"}, "error": None,
        }  # fmt: skip

        mixed = {"books": [GOOD, {"title": "Emma"}, {"title": "", "x": 1}]}
        some = await client.ask("POST", "/books/each", json=mixed)
        assert (some.status, some.json["failed"]) == (207, 2)
        assert some.headers["content-type"] == "application/json"
        exists, misfit = (each["error"] for each in some.json["outcomes"][1:])
        assert (exists["status"], exists["type"]) == (409, "/problems/book-exists")
        assert (exists["title"], exists["detail"]) == (
            "The shop has this book already",
            "as book 1",
        )
        assert (misfit["status"], misfit["type"]) == (422, "/problems/invalid")
        assert [fault["loc"] for fault in misfit["errors"]] == [["title"], ["x"]]

        five = await client.ask("POST", "/books/each", json={"books": [GOOD] * 5})
        assert (five.status, five.json["code"]) == (422, "invalid")
        four = await client.ask("POST", "/books/each", json={"books": [GOOD] * 4})
        assert (four.status, four.json["code"]) == (413, "too-large")
        none = await client.ask("POST", "/books/each", json={"books": 7})
        assert none.status == 422

        every = await client.ask("POST", "/books/all", json={"books": [GOOD]})
        assert (every.status, len(every.json)) == (200, 1)
        failed = await client.ask("POST", "/books/all", json={"books": [GOOD, {"title": "Emma"}]})
        assert (failed.status, failed.json["code"], failed.json["index"]) == (409, "bulk-failed", 1)
        assert failed.json["error"]["code"] == "book-exists"

        lines = [GOOD] * 5 + [{"title": "Emma"}, {"title": 7}] + [GOOD] * 5
        body = b"\n".join(json.dumps(line).encode() for line in lines)
        headers = {"Content-Type": "application/x-ndjson"}
        streamed = await client.ask("POST", "/books/stream", body=body, headers=headers)
        assert streamed.status == 207
        assert (streamed.json["succeeded"], streamed.json["failed"]) == (10, 2)
        assert [each["index"] for each in streamed.json["outcomes"]] == [5, 6]


async def test_the_document_says_so(web: Any) -> None:
    async with web.serving(add_each) as shop:
        answer = await shop.ask("GET", "/openapi.json")
        answers = answer.json["paths"]["/books/each"]["post"]["responses"]
        assert {"201", "207", "422"} <= answers.keys()
        assert "NewBook" in answer.json["components"]["schemas"]


async def test_outcomes_in_other_codecs(web: Any) -> None:
    packed = {"Content-Type": "application/vnd.msgpack", "Accept": "application/vnd.msgpack"}
    config = {"message_pack": True, "openapi": {"contract": True}}
    async with web.serving(add_each, http=config) as shop:
        body = msgpack.encode({"books": [GOOD, {"title": "Emma"}]})
        answer = await shop.ask("POST", "/books/each", body=body, headers=packed)
        assert (answer.status, answer.headers["content-type"]) == (207, "application/vnd.msgpack")
        found = msgpack.decode(answer.body)
        assert found["outcomes"][1]["error"]["status"] == 409
