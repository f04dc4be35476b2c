"""Calls to the shop and what they are answered with, whatever the transport."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import anyio
from operations_testbed.client import Client

ORDER = {"key": "o1", "lines": [{"book_id": 1, "quantity": 2}]}
EMMA = {"id": 1, "title": "Emma", "stock": 3}


class Tested(Protocol):
    """A shop that is served, and a client of it."""

    @property
    def client(self) -> Client: ...


async def forever() -> None:
    await anyio.sleep(math.inf)


async def watch(made: Tested, book_id: int, **options: Any) -> list[Any]:
    async with made.client.stream("watch_stock", {"book_id": book_id, **options}) as items:
        return [item async for item in items]


Step = Callable[[Tested], Awaitable[Any]]
GOOD: dict[str, tuple[Step, Any]] = {
    "list": (
        lambda made: made.client.call("list_books", {"q": "a", "limit": 2}),
        [EMMA, {"id": 2, "title": "Persuasion", "stock": 1}],
    ),
    "list by defaults": (
        lambda made: made.client.call("list_books", {"q": "Emma"}),
        [EMMA],
    ),
    "get": (lambda made: made.client.call("get_book", {"id": 1}), EMMA),
    "order": (
        lambda made: made.client.call("place_order", ORDER, token="ann"),
        {"key": "o1", "customer": "ann", "copies": 2},
    ),
    "stream out": (lambda made: watch(made, 1, count=2), [EMMA, EMMA]),
    "stream out, empty": (lambda made: watch(made, 1, count=0), []),
    "stream in": (
        lambda made: made.client.upload("import_books", [EMMA, {**EMMA, "id": 9}], token="ann"),
        {"count": 2},
    ),
    "stream in, empty": (
        lambda made: made.client.upload("import_books", [], token="ann"),
        {"count": 0},
    ),
}
BAD: dict[str, tuple[Step, dict[str, Any]]] = {
    "no such book": (
        lambda made: made.client.call("get_book", {"id": 77}),
        {"kind": "not_found", "code": "no-such-book", "book_id": 77},
    ),
    "sold out": (
        lambda made: made.client.call(
            "place_order", {"key": "o2", "lines": [{"book_id": 3, "quantity": 1}]}, token="ann"
        ),
        {"kind": "conflict", "code": "out-of-stock", "left": 0, "detail": "only 0 left"},
    ),
    "not an integer": (
        lambda made: made.client.call("get_book", {"id": "x1"}),
        {"kind": "invalid"},
    ),
    "over the limit": (
        lambda made: made.client.call("list_books", {"limit": 101}),
        {"kind": "invalid"},
    ),
    "no credentials": (
        lambda made: made.client.call("place_order", ORDER),
        {"kind": "unauthenticated"},
    ),
    "wrong credentials": (
        lambda made: made.client.call("get_book", {"id": 1}, token="eve"),
        {"kind": "unauthenticated", "detail": "no such token"},
    ),
    "no credentials and no sense: who calls is asked first": (
        lambda made: made.client.call("place_order", {"lines": "?"}),
        {"kind": "unauthenticated"},
    ),
    "no permission": (
        lambda made: made.client.call("place_order", ORDER, token="bob"),
        {"kind": "forbidden"},
    ),
    "no permission to stream in": (
        lambda made: made.client.upload("import_books", [EMMA], token="bob"),
        {"kind": "forbidden"},
    ),
    "stream fails before the first item": (
        lambda made: watch(made, 77),
        {"kind": "not_found", "book_id": 77},
    ),
    "bad item in a stream in": (
        lambda made: made.client.upload("import_books", [EMMA, {"id": 1}], token="ann"),
        {"kind": "invalid"},
    ),
}
