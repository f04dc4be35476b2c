"""The bookshop's search and orders on GraphQL: what REST answers, by another name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from e2e.service import Service, bookshop, copy_example

pytestmark = pytest.mark.once


def ask(shop: Service, query: str, **variables: Any) -> dict[str, Any]:
    asked = {"query": query, "variables": variables}
    answer = shop.request("POST", "/graphql", json=asked)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


SEARCH = """
    query($q: String!) {
      searchBooks(q: $q, limit: 2) { total books { id title author priceCents } }
    }
"""
ORDER = """
    mutation($lines: [WantedInput!]!) {
      placeOrder(lines: $lines) { totalCents lines { bookId quantity title } }
    }
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_search_and_orders_are_those_of_rest(tmp_path: Path, backend: str) -> None:
    with bookshop(copy_example(tmp_path / "shop"), backend) as shop:
        found = ask(shop, SEARCH, q="austen")["data"]["searchBooks"]
        rest = shop.request("GET", "/books?q=austen&limit=2").json()
        assert found["total"] == rest["total"] > 2
        assert [each["title"] for each in found["books"]] == [
            each["title"] for each in rest["books"]
        ]
        book = found["books"][0]
        placed = ask(shop, ORDER, lines=[{"bookId": book["id"], "quantity": 1}])["data"]
        assert placed["placeOrder"] == {
            "totalCents": book["priceCents"],
            "lines": [{"bookId": book["id"], "quantity": 1, "title": book["title"]}],
        }
        # Errors are the same ones, by their codes.
        gone = ask(shop, ORDER, lines=[{"bookId": 10**6, "quantity": 1}])
        body = {"lines": [{"book_id": 10**6, "quantity": 1}]}
        refused = shop.request("POST", "/orders", json=body).json()
        assert gone["errors"][0]["extensions"]["code"] == refused["code"] == "no-such-book"
        assert gone["errors"][0]["extensions"]["book_id"] == refused["book_id"]
        wrong = ask(shop, ORDER, lines=[{"bookId": 1, "quantity": 0}])
        assert wrong["errors"][0]["extensions"]["code"] == "invalid"
