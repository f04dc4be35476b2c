"""The catalogue: what every line of it has to be."""

from __future__ import annotations

import csv

from e2e.service import EXAMPLE

TEXT = (EXAMPLE / "books.csv").read_bytes().decode("utf-8", "strict")
ROWS = list(csv.DictReader(TEXT.splitlines()))
COLUMNS = ["title", "author", "born", "died", "published", "language", "price_cents", "stock"]
NUMBERS = ("born", "died", "published", "price_cents", "stock")


def test_there_are_a_few_hundred_complete_lines() -> None:
    assert len(ROWS) >= 300
    for row in ROWS:
        assert list(row) == COLUMNS
        assert all(row.values()), row
        assert all(value == value.strip() for value in row.values()), row
        assert all(row[column].isdecimal() for column in NUMBERS), row


def test_no_book_is_there_twice() -> None:
    found = [(row["title"], row["author"]) for row in ROWS]
    assert len(set(found)) == len(found)


def test_an_author_has_one_life() -> None:
    lives: dict[str, set[tuple[str, str]]] = {}
    for row in ROWS:
        lives.setdefault(row["author"], set()).add((row["born"], row["died"]))
    assert {author: found for author, found in lives.items() if len(found) > 1} == {}


def test_years_are_those_of_a_life_and_its_papers() -> None:
    for row in ROWS:
        born, died, published = (int(row[key]) for key in ("born", "died", "published"))
        assert 20 <= died - born <= 105, row
        assert born + 15 < published < 1928, row
        # Editors may take their time: Pepys's diary came out 122 years after him.
        assert published <= died + 125, row


def test_languages_are_codes_of_iso_639() -> None:
    known = {"bn", "cs", "da", "de", "en", "es", "fr", "it", "ja", "la", "nl", "no", "pl", "pt"}
    assert {row["language"] for row in ROWS} <= known | {"ru", "sv", "zh"}


def test_an_author_writes_in_few_languages() -> None:
    spoken: dict[str, set[str]] = {}
    for row in ROWS:
        spoken.setdefault(row["author"], set()).add(row["language"])
    assert all(len(languages) <= 2 for languages in spoken.values())


def test_prices_and_stock_are_a_shops() -> None:
    for row in ROWS:
        assert 500 <= int(row["price_cents"]) <= 5_000, row
        assert 0 <= int(row["stock"]) <= 50, row
    assert any(row["stock"] == "0" for row in ROWS), "something has to be sold out"
