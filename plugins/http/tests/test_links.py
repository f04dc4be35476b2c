"""Links to the pages around an answer (RFC 8288)."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urljoin

from pydantic import BaseModel

import covet_http as http
from covet_operations import (
    CursorQuery,
    Filter,
    OffsetPage,
    OffsetQuery,
    Page,
    Paging,
    Sort,
    SortBy,
)


class Book(BaseModel):
    id: int
    title: str
    language: str = "en"


class BookQuery(CursorQuery[Book]):
    sort: Annotated[Sort, SortBy("title", "id", key="id")] = Sort("id")
    language: Annotated[list[str] | None, Filter("in")] = None


class Slice(OffsetQuery[Book]):
    sort: Annotated[Sort, SortBy("id", key="id")] = Sort("-id")


BOOKS = [Book(id=number, title=f"title {number % 3}") for number in range(7)]


@http.get("/books")
async def by_cursor(
    paging: Paging,
    query: Annotated[BookQuery, http.Query()],
    q: list[str] = [],  # noqa: B006
) -> Page[Book]:
    return paging.select(query).of(BOOKS)


@http.get("/slices")
async def by_offset(paging: Paging, query: Annotated[Slice, http.Query()]) -> OffsetPage[Book]:
    return paging.select(query).of(BOOKS, count=True)


@http.post("/searches")
async def by_post(paging: Paging, limit: int = 3) -> Page[Book]:
    return paging.select(BookQuery(limit=limit)).of(BOOKS)


def links(answer: Any) -> dict[str, str]:
    found = re.findall(r'<([^<>"]*)>; rel="([a-z]+)"', answer.headers.get("link", ""))
    return {relation: target for target, relation in found}


async def test_pages_link_to_each_other(web: Any) -> None:
    async with web.serving(by_cursor, by_offset, by_post) as shop, shop.connect() as client:
        here, seen = "/books?q=a%26b&q=%3C%3E%22&sort=title&limit=3", []
        while True:
            answer = await client.ask("GET", here)
            assert answer.status == 200
            seen += [book["id"] for book in answer.json["items"]]
            around = links(answer)
            assert ("prev" in around) == (len(seen) > 3)
            if "next" not in around:
                break
            assert "q=a%26b&q=%3C%3E%22" in around["next"]
            here = urljoin(here, around["next"])
        assert seen == [0, 3, 6, 1, 4, 2, 5]
        before = await client.ask("GET", urljoin(here, around["prev"]))
        assert [book["id"] for book in before.json["items"]] == [1, 4, 2]
        first = await client.ask("GET", urljoin(here, around["first"]))
        assert "prev" not in links(first)

        german = await client.ask("GET", "/books?language=de&language=fr")
        assert german.json["items"] == []

        middle = await client.ask("GET", "/slices?offset=2&limit=2")
        assert links(middle) == {
            "next": "?offset=4&limit=2", "prev": "?offset=0&limit=2", "first": "?limit=2",
            "last": "?offset=6&limit=2",
        }  # fmt: skip
        last = await client.ask("GET", "/slices?" + links(middle)["last"][1:])
        assert [book["id"] for book in last.json["items"]] == [0]

        # Nothing to link to: what was asked is in the body, or too long to say again.
        assert "link" not in (await client.ask("POST", "/searches", json={})).headers
        assert "link" not in (await client.ask("GET", "/books?limit=100")).headers
        assert "link" not in (await client.ask("GET", f"/books?q={'x' * 2100}")).headers
        refused = await client.ask("GET", "/books?cursor=nonsense")
        assert (refused.status, refused.json["errors"][0]["type"]) == (422, "cursor_invalid")
        assert "link" not in refused.headers
        refused = await client.ask("GET", "/books?sort=stock&limit=0")
        assert [fault["loc"] for fault in refused.json["errors"]] == [
            ["query", "limit"], ["query", "sort"],
        ]  # fmt: skip


async def test_the_document_shows_every_parameter(web: Any) -> None:
    async with web.serving(by_cursor, http={"openapi": {"contract": True}}) as shop:
        assert (await shop.ask("GET", "/books?limit=2")).status == 200
        document = (await shop.ask("GET", "/openapi.json")).json
        shown = document["paths"]["/books"]["get"]
        schemas = {each["name"]: each["schema"] for each in shown["parameters"]}
        assert schemas.keys() == {"limit", "cursor", "sort", "language", "q"}
        assert schemas["sort"]["pattern"] == "^-?(title|id)(,-?(title|id))*$"
        assert (schemas["limit"]["maximum"], schemas["limit"]["default"]) == (100, 20)
        assert "Link" in shown["responses"]["200"]["headers"]
