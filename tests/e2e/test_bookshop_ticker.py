"""The bookshop's stock ticker: what it tells, where it goes on, and how it ends."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from e2e.answers import lines
from e2e.events import Told, events
from e2e.service import Service, bookshop

# A shop is a process with its own loop and database: one interpreter is enough for it.
pytestmark = pytest.mark.once
EVERY_DATABASE = True
KEPT = 1000
RECENT = 10
FLATLAND = {"book_id": 1, "title": "Flatland"}


def told(service: Service, last: int | None = None) -> list[Told]:
    """What the ticker has to say at once."""
    headers = {} if last is None else {"last-event-id": str(last)}
    response = service.request("GET", "/stock/events?seconds=0", headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream"
    first, *changes = events(response.text.split("\n"))
    assert (first.retry, first.data) == ("2000", "")
    assert first.id.isdecimal()
    return changes


@contextmanager
def listening(service: Service, last: int | None = None) -> Iterator[Iterator[Told]]:
    """Events as they come, from behind the first one, which tells where the stream starts."""
    headers = {} if last is None else {"last-event-id": str(last)}
    with (
        service.client() as client,
        client.stream("GET", "/stock/events", headers=headers) as response,
    ):
        assert response.status_code == 200
        found = events(response.iter_lines())
        next(found)
        yield found


def newest(service: Service) -> int:
    """The number of the last change."""
    response = service.request("GET", "/stock/events?seconds=0")
    return max(int(each.id) for each in events(response.text.split("\n")))


def set_stock(service: Service, copies: int, book: int = 1) -> None:
    assert service.request("PATCH", f"/books/{book}", json={"stock": copies}).status_code == 200


def change_past_the_service(folder: Path, count: int) -> None:
    """Change the stock of a book that often, as another process."""
    with closing(sqlite3.connect(folder / "bookshop.db", timeout=20)) as database, database:
        for number in range(count):
            database.execute("UPDATE books SET stock = ? WHERE id = 1", (5000 + number,))


def test_changes_are_told_as_they_are_committed(shop: Service) -> None:
    last = newest(shop)
    with listening(shop, last) as stream:
        set_stock(shop, 100)
        assert (first := next(stream)).json == {**FLATLAND, "stock": 100}
        set_stock(shop, 50, book=4)
        assert shop.request("POST", "/orders", json=lines((4, 2), (1, 3))).status_code == 201
        rest = [next(stream) for _ in range(3)]
    assert [each.json["stock"] for each in rest] == [50, 97, 48]
    assert [int(each.id) for each in [first, *rest]] == [last + number for number in range(1, 5)]


def test_what_was_rolled_back_or_is_no_change_is_not_told(shop: Service) -> None:
    set_stock(shop, 20)
    set_stock(shop, 3, book=4)
    last = newest(shop)
    refused = shop.request("POST", "/orders", json=lines((1, 1), (4, 4)))
    assert refused.status_code == 409
    shop.request("PATCH", "/books/1", json={"price_cents": 1000})
    set_stock(shop, 20)
    set_stock(shop, 21)
    assert [each.json for each in told(shop, last)] == [{**FLATLAND, "stock": 21}]


def test_who_comes_back_gets_what_came_after(shop: Service) -> None:
    last = newest(shop)
    for copies in (31, 32, 33):
        set_stock(shop, copies)
    assert [each.json["stock"] for each in told(shop, last)] == [31, 32, 33]
    assert [each.json["stock"] for each in told(shop, last + 2)] == [33]
    assert told(shop, last + 3) == []


def test_who_comes_first_gets_the_last_few(shop: Service) -> None:
    for copies in range(200, 200 + RECENT + 3):
        set_stock(shop, copies)
    assert [each.json["stock"] for each in told(shop)] == [*range(203, 203 + RECENT)]


@pytest.mark.parametrize("last", ["-1", str(2**63), "yesterday", "1 2"])
def test_a_number_that_is_none_is_refused(shop: Service, last: str) -> None:
    response = shop.request("GET", "/stock/events", headers={"last-event-id": last})
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["header", "last-event-id"]


@pytest.mark.parametrize("seconds", ["-1", "3601", "nan", "inf", "soon"])
def test_nobody_listens_for_ever(shop: Service, seconds: str) -> None:
    response = shop.request("GET", f"/stock/events?seconds={seconds}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["query", "seconds"]


def test_history_is_bounded_and_what_is_missing_is_said(backend: str, folder: Path) -> None:
    with bookshop(folder, backend) as service:
        set_stock(service, 1)
        change_past_the_service(folder, KEPT + 100)
        missed, *changes = told(service, 1)
        assert (missed.event, missed.data) == ("missed", "100 changes")
        assert [int(each.id) for each in changes] == [*range(102, KEPT + 102)]
        assert told(service, 101) == changes
        with closing(sqlite3.connect(folder / "bookshop.db")) as database:
            kept = database.execute("SELECT count(*) FROM stock_changes").fetchone()
        assert kept == (KEPT,)


def test_a_number_of_another_database_starts_again(backend: str, folder: Path) -> None:
    with bookshop(folder, backend) as service:
        set_stock(service, 1)
        assert [each.json["stock"] for each in told(service, 4711)] == [1]


def test_every_process_tells_what_any_of_them_changes(backend: str, folder: Path) -> None:
    with bookshop(folder, backend) as one, bookshop(folder, backend) as other:
        with listening(one) as first, listening(other) as second:
            set_stock(one, 71)
            set_stock(other, 72)
            assert [next(first).json["stock"] for _ in range(2)] == [71, 72]
            assert [next(second).json["stock"] for _ in range(2)] == [71, 72]


def test_a_stop_ends_the_ticker_politely(backend: str, folder: Path) -> None:
    with bookshop(folder, backend) as service:
        with listening(service) as stream:
            set_stock(service, 7)
            assert next(stream).json["stock"] == 7
            service.signal(signal.SIGTERM)
            # An answer that broke off would raise.
            *_, farewell = stream
            assert farewell == Told(comment="the service is stopping")
        assert service.process.wait(20) == 0, service.output
        assert "Traceback" not in service.output


def test_a_reload_loses_no_change(backend: str, folder: Path) -> None:
    file = folder / "covet.toml"
    with bookshop(folder, backend) as service:
        with listening(service) as stream:
            set_stock(service, 81)
            last = int(next(stream).id)
            text = file.read_text("utf-8").replace(
                "[plugins.sqlite]", "[plugins.sqlite]\nreaders = 2"
            )
            file.write_text(text, "utf-8")
            service.signal(signal.SIGHUP)
            assert all(each.comment for each in stream)
        set_stock(service, 82)
        with listening(service, last) as stream:
            assert next(stream).json["stock"] == 82
            service.wait_for("reloaded: ")
            set_stock(service, 83)
            assert next(stream).json["stock"] == 83


def test_the_ticker_goes_on_after_a_crash(backend: str, folder: Path) -> None:
    with bookshop(folder, backend) as service:
        set_stock(service, 91)
        [change] = told(service)
        set_stock(service, 92)
        service.signal(signal.SIGKILL)
        service.process.wait()
    with bookshop(folder, backend) as service:
        assert [each.json["stock"] for each in told(service, int(change.id))] == [92]
