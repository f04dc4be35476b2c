"""Version 1 of the bookshop's API: the same shop, as old clients know it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from e2e.answers import NEW, lines
from e2e.service import Service, covet

# A shop is a process with its own loop and database: one interpreter is enough for it.
pytestmark = pytest.mark.once

ONE = {"api-version": "1"}


def in_version_one(book: dict[str, Any]) -> dict[str, Any]:
    """A book as version 1 shows it."""
    rest = {key: value for key, value in book.items() if key != "stock"}
    return {**rest, "available": book["stock"] > 0}


@pytest.mark.parametrize("path", ["/books?q=austen", "/authors/2"])
def test_lists_of_books_are_those_of_the_version(shop: Service, path: str) -> None:
    new = shop.request("GET", path).json()
    old = shop.request("GET", path, headers=ONE).json()
    assert new["books"]
    assert old == {**new, "books": [in_version_one(book) for book in new["books"]]}


@pytest.mark.parametrize("stock", [0, 1, 7])
def test_a_book_is_there_or_not(shop: Service, stock: int) -> None:
    new = shop.request("PATCH", "/books/1", json={"stock": stock}).json()
    old = shop.request("GET", "/books/1", headers=ONE)
    assert old.json() == in_version_one(new)
    assert old.json()["available"] is (stock > 0)
    assert "stock" not in old.json()


def test_writes_are_answered_in_the_version(shop: Service) -> None:
    made = shop.request("POST", "/books", json={**NEW, "title": "One"}, headers=ONE)
    assert made.status_code == 201
    assert made.json()["available"] is True
    changed = shop.request("PATCH", made.headers["location"], json={"stock": 0}, headers=ONE)
    assert changed.json() == {**made.json(), "available": False}


def test_it_says_that_it_will_end(shop: Service) -> None:
    for path, status in (("/books/1", 200), ("/books/4711", 404), ("/books?limit=0", 422)):
        old = shop.request("GET", path, headers=ONE)
        assert old.status_code == status
        assert old.headers["deprecation"] == "@1788220800"
        assert old.headers["sunset"] == "Wed, 01 Sep 2027 00:00:00 GMT"
        assert (old.headers["vary"], old.headers["api-version"]) == ("api-version", "1")
        new = shop.request("GET", path)
        assert not {"deprecation", "sunset"} & new.headers.keys()


def test_who_says_nothing_gets_the_present_version(shop: Service) -> None:
    plain = shop.request("GET", "/books?q=moby")
    named = shop.request("GET", "/books?q=moby", headers={"api-version": "2"})
    assert plain.content == named.content
    assert plain.headers["api-version"] == "2"


@pytest.mark.parametrize("version", ["0", "3", "1.0", "one", "2, 1", "\x01"])
def test_another_version_is_refused(shop: Service, version: str) -> None:
    refused = shop.request("GET", "/books/1", headers={"api-version": version})
    assert refused.status_code == 400
    if version.isprintable():
        assert refused.json()["code"] == "unsupported-version"
        assert refused.json()["supported"] == ["1", "2"]


def test_orders_have_no_versions(shop: Service) -> None:
    shop.request("PATCH", "/books/2", json={"stock": 5})
    order = shop.request("POST", "/orders", json=lines((2, 1)), headers=ONE)
    assert order.status_code == 201
    assert "deprecation" not in order.headers


@pytest.mark.once
def test_each_version_is_described() -> None:
    def book(version: str) -> set[str]:
        from e2e.service import EXAMPLE

        done = covet("openapi", "-c", str(EXAMPLE / "covet.toml"), "--api-version", version)
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        answer = document["paths"]["/books/{id}"]["get"]["responses"]["200"]["content"]
        name = answer["application/json"]["schema"]["$ref"].rpartition("/")[2]
        return set(document["components"]["schemas"][name]["properties"])

    assert book("1") ^ book("2") == {"available", "stock"}
