"""Requests to the bookshop and what they have to be answered with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SOLD_OUT = {"title": "The Debacle", "author": "Émile Zola"}
BIG = 2**63


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        status: What it has to be answered with.
        code: The problem's code, if it is refused.
        fields: Other members the answer has to have.
        faults: Where the faults of a 422 are, in any order.
    """

    name: str
    method: str
    path: str
    status: int
    json: Any = None
    content: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    code: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    faults: list[list[Any]] = field(default_factory=list)

    def send(self) -> dict[str, Any]:
        """What to hand to httpx."""
        if self.content is not None:
            return {
                "content": self.content,
                "headers": {"content-type": "application/json", **self.headers},
            }
        return {"json": self.json, "headers": self.headers} if self.json is not None else {}


def invalid(name: str, method: str, path: str, *faults: list[Any], json: Any = None) -> Case:
    return Case(name, method, path, 422, json=json, code="invalid", faults=list(faults))


def lines(*pairs: tuple[Any, Any]) -> dict[str, Any]:
    return {"lines": [{"book_id": book_id, "quantity": quantity} for book_id, quantity in pairs]}


NEW = {
    "title": "The Castle of Crossed Wires",
    "author": "Nobody Known",
    "published": 1901,
    "language": "en",
    "price_cents": 1250,
    "stock": 3,
}

READS = [
    Case("first page", "GET", "/books", 200, fields={"total": 908}),
    Case("a page", "GET", "/books?limit=3&offset=905", 200),
    Case("past the end", "GET", "/books?offset=5000", 200, fields={"total": 908, "books": []}),
    Case("by author", "GET", "/books?q=austen", 200, fields={"total": 7}),
    Case("by title", "GET", "/books?q=moby", 200, fields={"total": 1}),
    Case("beyond ASCII", "GET", "/books?q=%C4%8Capek", 200, fields={"total": 3}),
    Case("percent is a letter", "GET", "/books?q=%25", 200, fields={"total": 0, "books": []}),
    Case("underscore is a letter", "GET", "/books?q=_", 200, fields={"total": 0}),
    Case("backslash is a letter", "GET", "/books?q=%5C", 200, fields={"total": 0}),
    Case("a quote is a letter", "GET", "/books?q=d%27Urb", 200, fields={"total": 1}),
    Case("not SQL", "GET", "/books?q=%27)%20OR%201=1--", 200, fields={"total": 0}),
    Case("a book", "GET", "/books/1", 200, fields={"id": 1, "title": "Flatland"}),
    Case("an author", "GET", "/authors/2", 200, fields={"name": "Henry Adams", "born": 1838}),
    Case("no such book", "GET", "/books/4711", 404, code="no-such-book", fields={"book_id": 4711}),
    Case("no such author", "GET", "/authors/4711", 404, code="no-such-author"),
    Case("no such order", "GET", "/orders/4711", 404, code="no-such-order"),
    Case("the last id", "GET", f"/books/{BIG - 1}", 404, code="no-such-book"),
    invalid("id past 64 bits", "GET", f"/books/{BIG}", ["path", "id"]),
    invalid("id of 30 digits", "GET", "/orders/" + "9" * 30, ["path", "id"]),
    invalid("id zero", "GET", "/books/0", ["path", "id"]),
    invalid("negative id", "GET", "/authors/-1", ["path", "id"]),
    invalid("id in words", "GET", "/books/flatland", ["path", "id"]),
    invalid("limit zero", "GET", "/books?limit=0", ["query", "limit"]),
    invalid("limit too high", "GET", "/books?limit=101", ["query", "limit"]),
    invalid("limit in words", "GET", "/books?limit=all", ["query", "limit"]),
    invalid("negative offset", "GET", "/books?offset=-1", ["query", "offset"]),
    invalid("huge offset", "GET", f"/books?offset={BIG}", ["query", "offset"]),
    invalid(
        "both wrong", "GET", "/books?limit=0&offset=-1", ["query", "limit"], ["query", "offset"]
    ),
    invalid("ESC in a search", "GET", "/books?q=%1b%5b2J", ["query", "q"]),
    invalid("long search", "GET", "/books?q=" + "x" * 101, ["query", "q"]),
]

WRITES = [
    Case("add", "POST", "/books", 201, json=NEW, fields={**NEW, "id": 909, "author_id": 303}),
    Case("add again", "POST", "/books", 409, json=NEW, code="book-exists", fields={"book_id": 909}),
    Case("its author", "GET", "/authors/303", 200, fields={"born": None, "died": None}),
    Case(
        "add to a known author",
        "POST",
        "/books",
        201,
        json={**NEW, "author": "Jane Austen"},
        fields={"id": 910, "author_id": 10},
    ),
    Case(
        "blanks around",
        "POST",
        "/books",
        409,
        json={**NEW, "title": "  Flatland ", "author": "Edwin A. Abbott"},
        code="book-exists",
        fields={"book_id": 1},
    ),
    invalid(
        "add nothing", "POST", "/books", *[["body", key] for key in NEW if key != "stock"], json={}
    ),
    invalid("add blank", "POST", "/books", ["body", "title"], json={**NEW, "title": "  "}),
    invalid("long title", "POST", "/books", ["body", "title"], json={**NEW, "title": "x" * 201}),
    invalid(
        "language", "POST", "/books", ["body", "language"], json={**NEW, "language": "English"}
    ),
    invalid("line end", "POST", "/books", ["body", "language"], json={**NEW, "language": "en\n"}),
    invalid("year", "POST", "/books", ["body", "published"], json={**NEW, "published": 2101}),
    invalid("price", "POST", "/books", ["body", "price_cents"], json={**NEW, "price_cents": -1}),
    invalid("cents", "POST", "/books", ["body", "price_cents"], json={**NEW, "price_cents": 9.5}),
    invalid("number in quotes", "POST", "/books", ["body", "stock"], json={**NEW, "stock": "3"}),
    invalid("true is no number", "POST", "/books", ["body", "stock"], json={**NEW, "stock": True}),
    invalid("unknown key", "POST", "/books", ["body", "isbn"], json={**NEW, "isbn": "0"}),
    Case(
        "price",
        "PATCH",
        "/books/2",
        200,
        json={"price_cents": 1800},
        fields={"price_cents": 1800, "stock": 4},
    ),
    Case(
        "stock",
        "PATCH",
        "/books/2",
        200,
        json={"stock": 9},
        fields={"price_cents": 1800, "stock": 9},
    ),
    Case("nothing", "PATCH", "/books/2", 200, json={}, fields={"price_cents": 1800, "stock": 9}),
    Case("change no book", "PATCH", "/books/4711", 404, json={"stock": 1}, code="no-such-book"),
    invalid("change title", "PATCH", "/books/2", ["body", "title"], json={"title": "x"}),
    invalid("too many", "PATCH", "/books/2", ["body", "stock"], json={"stock": 10_001}),
    invalid(
        "id and body", "PATCH", "/books/0", ["path", "id"], ["body", "stock"], json={"stock": -1}
    ),
    Case(
        "order",
        "POST",
        "/orders",
        201,
        json=lines((2, 1), (1, 2)),
        fields={
            "id": 1,
            "total_cents": 3598,
            "lines": [
                {"book_id": 1, "title": "Flatland", "quantity": 2, "price_cents": 899},
                {
                    "book_id": 2,
                    "title": "The Education of Henry Adams",
                    "quantity": 1,
                    "price_cents": 1800,
                },
            ],
        },
    ),
    Case("dearer", "PATCH", "/books/2", 200, json={"price_cents": 5000}),
    Case("at the price of its day", "GET", "/orders/1", 200, fields={"total_cents": 3598}),
    Case("fewer are left", "GET", "/books/1", 200, fields={"stock": 10}),
    Case(
        "one book twice",
        "POST",
        "/orders",
        201,
        json=lines((1, 1), (1, 2)),
        fields={"total_cents": 2697},
    ),
    Case(
        "together too many",
        "POST",
        "/orders",
        409,
        json=lines((1, 4), (1, 4)),
        code="out-of-stock",
        fields={"book_id": 1, "available": 7, "requested": 8},
    ),
    Case(
        "all or nothing",
        "POST",
        "/orders",
        409,
        json=lines((1, 1), (908, 1)),
        code="out-of-stock",
        fields={"book_id": 908, "available": 0, "requested": 1},
    ),
    Case("nothing", "GET", "/books/1", 200, fields={"stock": 7}),
    Case(
        "an unknown book",
        "POST",
        "/orders",
        404,
        json=lines((1, 1), (4711, 1)),
        code="no-such-book",
        fields={"book_id": 4711},
    ),
    Case("no order was kept", "GET", "/orders/3", 404, code="no-such-order"),
    invalid("no lines", "POST", "/orders", ["body", "lines"], json=lines()),
    invalid("lines missing", "POST", "/orders", ["body", "lines"], json={}),
    invalid("51 lines", "POST", "/orders", ["body", "lines"], json=lines(*[(1, 1)] * 51)),
    invalid("none", "POST", "/orders", ["body", "lines", 0, "quantity"], json=lines((1, 0))),
    invalid(
        "101", "POST", "/orders", ["body", "lines", 1, "quantity"], json=lines((1, 1), (1, 101))
    ),
    invalid("half", "POST", "/orders", ["body", "lines", 0, "quantity"], json=lines((1, 0.5))),
    invalid("in words", "POST", "/orders", ["body", "lines", 0, "quantity"], json=lines((1, "1"))),
    invalid("id too big", "POST", "/orders", ["body", "lines", 0, "book_id"], json=lines((BIG, 1))),
    invalid("a list", "POST", "/orders", ["body"], json=[]),
    Case("half JSON", "POST", "/orders", 400, content=b'{"lines": [', code="malformed"),
    Case("not JSON", "POST", "/orders", 400, content=b"lines=1", code="malformed"),
]

CASES = [*READS, *WRITES]
