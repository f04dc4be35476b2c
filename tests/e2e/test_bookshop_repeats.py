"""Orders with an idempotency key: sent again, they are placed once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest
from e2e.answers import lines
from e2e.service import Service

# A shop is a process with its own loop and database: one interpreter is enough for it.
pytestmark = pytest.mark.once


def order(service: Service, key: str, *wanted: tuple[int, int]) -> httpx.Response:
    headers = {"idempotency-key": key}
    return service.request("POST", "/orders", json=lines(*wanted), headers=headers)


def stock(service: Service, book: int) -> int:
    copies: int = service.request("GET", f"/books/{book}").json()["stock"]
    return copies


def set_stock(service: Service, book: int, copies: int) -> None:
    assert service.request("PATCH", f"/books/{book}", json={"stock": copies}).status_code == 200


def test_an_order_that_is_sent_again_is_placed_once(shop: Service) -> None:
    key = str(uuid4())
    set_stock(shop, 1, 10)
    first, again = order(shop, key, (1, 2)), order(shop, key, (1, 2))
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert first.headers["location"] == again.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert stock(shop, 1) == 8


def test_other_keys_and_none_are_other_orders(shop: Service) -> None:
    set_stock(shop, 1, 10)
    placed = [order(shop, str(uuid4()), (1, 1)) for _ in range(2)]
    placed += [shop.request("POST", "/orders", json=lines((1, 1))) for _ in range(2)]
    assert len({each.headers["location"] for each in placed}) == 4
    assert stock(shop, 1) == 6


def test_a_key_belongs_to_one_order(shop: Service) -> None:
    key = str(uuid4())
    set_stock(shop, 1, 10)
    assert order(shop, key, (1, 1)).status_code == 201
    refused = order(shop, key, (1, 2))
    assert (refused.status_code, refused.json()["code"]) == (422, "key-reused")
    assert stock(shop, 1) == 9


def test_an_order_that_failed_may_be_tried_again(shop: Service) -> None:
    key = str(uuid4())
    set_stock(shop, 2, 0)
    assert order(shop, key, (2, 1)).json()["code"] == "out-of-stock"
    set_stock(shop, 2, 1)
    assert order(shop, key, (2, 1)).status_code == 201
    assert stock(shop, 2) == 0


def test_an_order_sent_many_times_at_once_is_placed_once(shop: Service) -> None:
    key = str(uuid4())
    set_stock(shop, 3, 100)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: order(shop, key, (3, 1)), range(24)))
    placed = [each for each in answers if each.status_code == 201]
    assert {each.headers["location"] for each in placed} == {placed[0].headers["location"]}
    assert {each.json()["code"] for each in answers if each not in placed} <= {"key-in-use"}
    assert stock(shop, 3) == 99


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, 'a"b'])
def test_a_key_that_is_none_is_refused(shop: Service, key: str) -> None:
    set_stock(shop, 1, 10)
    assert order(shop, key, (1, 1)).status_code == 400
    assert stock(shop, 1) == 10
