"""The bookshop's tables: made by migrations, searched by words, and the same on every database."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from e2e.answers import NEW, lines
from e2e.events import events
from e2e.service import EXAMPLE, SHOPS, SQLITE, Service, bookshop, bookshop_folder, covet
from services import postgres_cluster

# A shop is a process with its own loop and database: one interpreter is enough for it.
pytestmark = pytest.mark.once
EVERY_DATABASE = True
TITLES = 908


def found(service: Service, words: str) -> int:
    total: int = service.request("GET", f"/books?q={quote(words)}").json()["total"]
    return total


def test_books_are_found_by_the_beginnings_of_words(shop: Service) -> None:
    assert found(shop, "AUSTEN") == found(shop, "austen") == found(shop, "aust") == 7
    assert found(shop, "usten") == 0
    assert found(shop, "emma austen") == found(shop, "austen, Emma!") == 1
    assert found(shop, "moby-dick") == found(shop, "dick moby") == found(shop, "Moby Dick") == 1
    assert found(shop, "emma melville") == 0


def test_short_and_frequent_words_are_words(shop: Service) -> None:
    assert found(shop, "the of") > found(shop, "the of monte") == found(shop, "t o monte") > 0
    assert found(shop, "h g wells") == found(shop, "wells") > 0
    assert found(shop, "r.u.r.") == 3


def test_letters_are_told_apart_by_their_accents(shop: Service) -> None:
    assert found(shop, "capek") == 0
    assert found(shop, "čapek") == found(shop, "Čapek") == 3


@pytest.mark.parametrize(
    "words",
    ['"', "'", "*", "a* OR b", "NEAR(", "'|'", "!", "&", ":*", "-", "^a", "+a -b", "@3", "~>(<"],
)
def test_the_language_of_the_search_is_not_the_callers(shop: Service, words: str) -> None:
    response = shop.request("GET", f"/books?q={quote(words)}")
    assert response.status_code == 200, response.text


def test_new_books_are_found(shop: Service) -> None:
    new = {**NEW, "title": "Zwölf Xylophone", "author": "Ýrsa Qvist"}
    made = shop.request("POST", "/books", json=new)
    assert made.status_code == 201, made.text
    for words in ("zwölf", "xylo", "Qvist", "Ýrsa", "xylophone qvist"):
        page = shop.request("GET", f"/books?q={quote(words)}").json()
        assert [book["id"] for book in page["books"]] == [made.json()["id"]], words


def test_one_of_many_adds_a_book(shop: Service) -> None:
    new = {**NEW, "title": "Added at Once", "author": "Somebody New"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shop.request("POST", "/books", json=new), range(8)))
    assert sorted(each.status_code for each in answers) == [201] + [409] * 7
    [made] = [each.json()["id"] for each in answers if each.status_code == 201]
    assert {each.json()["book_id"] for each in answers if each.status_code == 409} == {made}


def test_a_report_counts_the_orders(shop: Service) -> None:
    for book, copies in ((101, 60), (102, 99), (101, 40)):
        shop.request("PATCH", f"/books/{book}", json={"stock": 1000})
        placed = shop.request("POST", "/orders", json=lines((book, copies)))
        assert placed.status_code == 201, placed.text
    found = shop.request("GET", "/reports/bestsellers?limit=2").json()["books"]
    assert [(each["book_id"], each["orders"], each["copies"]) for each in found] == [
        (101, 2, 100),
        (102, 1, 99),
    ]


def test_reports_are_a_replicas_work(backend: str, tmp_path: Path) -> None:
    with postgres_cluster.cluster(1) as cluster:
        [replica] = cluster.replicas
        settings = [f'plugins.postgres.replicas=["{replica.url}"]', "plugins.postgres.max_lag=inf"]
        with (
            bookshop_folder(tmp_path / "bookshop", "postgresql", cluster.primary.url) as folder,
            bookshop(folder, backend, *settings) as service,
        ):
            assert service.request("GET", "/front/").status_code == 200  # it has its tables by then
            replica.catch_up()
            replica.pause()
            placed = service.request("POST", "/orders", json=lines((1, 2)))
            assert placed.status_code == 201, placed.text
            assert placed.json()["lines"][0]["quantity"] == 2, "read where it was written"
            assert service.request("GET", "/reports/bestsellers").json() == {"books": []}
            replica.resume()
            replica.catch_up()
            [sold] = service.request("GET", "/reports/bestsellers").json()["books"]
            assert (sold["book_id"], sold["copies"]) == (1, 2)


def test_changes_are_numbered_without_gaps_in_the_order_of_their_commits(shop: Service) -> None:
    books = range(30, 36)
    for book in books:
        shop.request("PATCH", f"/books/{book}", json={"stock": 500})
    first = newest(shop)
    orders = [lines(*((book, 1) for book in books)), lines(*((book, 2) for book in books[::-1]))]
    seen: list[int] = []
    with ThreadPoolExecutor(8) as pool:
        placed = [
            pool.submit(shop.request, "POST", "/orders", json=orders[n % 2]) for n in range(24)
        ]
        while not all(each.done() for each in placed):
            seen += numbers(shop, seen[-1] if seen else first)
    assert {each.result().status_code for each in placed} == {201}
    seen += numbers(shop, seen[-1] if seen else first)
    assert seen == [*range(first + 1, first + 1 + 24 * len(books))]


def numbers(service: Service, last: int) -> list[int]:
    """The changes behind a number, as whoever comes back with it gets them."""
    response = service.request(
        "GET", "/stock/events?seconds=0", headers={"last-event-id": str(last)}
    )
    told = events(response.text.split("\n"))
    return [int(each.id) for each in told if each.data and each.id]


def newest(service: Service) -> int:
    return max(
        int(each.id)
        for each in events(service.request("GET", "/stock/events?seconds=0").text.split("\n"))
    )


def test_the_page_says_which_three_lines_to_change() -> None:
    config = (EXAMPLE / "covet.toml").read_text("utf-8")
    assert config.count(SQLITE) == 1
    assert SQLITE.count("\n") == 3
    for plugin, scheme in (("postgres", "postgres"), ("mysql", "mysql")):
        three = f'# An empty database.\n[plugins.{plugin}]\nurl = "{scheme}://user@localhost/bookshop"\n'
        assert three in (EXAMPLE / "README.md").read_text("utf-8")
        assert "".join(f"#   {line}\n" for line in three.splitlines()) in config


@pytest.mark.once
@pytest.mark.parametrize("on", SHOPS)
def test_two_first_starts_at_once_on_a_server_stock_one_shop(
    backend: str, tmp_path: Path, on: str
) -> None:
    with bookshop_folder(tmp_path / "bookshop", on) as folder:
        shops = [bookshop(folder, backend), bookshop(folder, backend)]
        for each in shops:
            each.start()
        try:
            for each in shops:
                each.wait_until_up()
                assert found(each, "") == TITLES
            assert "".join(each.output for each in shops).count("stocked with 908 titles") == 1
        finally:
            assert [each.stop() for each in shops] == [0, 0], "".join(e.output for e in shops)


OLD = """
CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, born INTEGER, died INTEGER);
CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT NOT NULL,
    author_id INTEGER NOT NULL REFERENCES authors, published INTEGER NOT NULL, language TEXT NOT NULL,
    price_cents INTEGER NOT NULL, stock INTEGER NOT NULL, UNIQUE (author_id, title));
INSERT INTO authors VALUES (1, 'Edwin A. Abbott', 1838, 1926);
INSERT INTO books VALUES (1, 'Flatland', 1, 1884, 'en', 899, 3);
"""


def test_a_shop_from_before_the_migrations_goes_on(backend: str, folder: Path) -> None:
    with closing(sqlite3.connect(folder / "bookshop.db")) as database:
        database.executescript(OLD)
    with bookshop(folder, backend) as service:
        assert found(service, "flat abbott") == found(service, "") == 1
        assert service.request("POST", "/orders", json=lines((1, 2))).status_code == 201
        assert service.request("GET", "/books/1").json()["stock"] == 1


@pytest.mark.once
@pytest.mark.parametrize("on", ["sqlite", *SHOPS])
def test_the_tables_can_be_taken_back(tmp_path: Path, on: str) -> None:
    with bookshop_folder(tmp_path / "bookshop", on) as folder:
        config = str(folder / "covet.toml")
        for word in (["upgrade"], ["downgrade", "base"], ["upgrade"], ["status", "--check"]):
            done = covet("db", *word, "-c", config)
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.once
def test_a_shop_without_its_tables_may_be_refused(folder: Path) -> None:
    done = covet(
        "run", "-c", str(folder / "covet.toml"), "--set", "plugins.migrations.migrate=check"
    )
    assert done.returncode == 2
    assert "COVET-MIGRATION-PENDING" in done.stderr
