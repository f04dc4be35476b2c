"""Every route of the bookshop, and every way in which it refuses; the FastAPI peer agrees."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.answers import CASES, NEW, Case, lines
from e2e.service import CONTRACT, SHOPS, Service, bookshop, bookshop_folder, peer

EVERY_DATABASE = True


@contextmanager
def shop_on(backend: str, database: str, folder: Path) -> Iterator[Service]:
    with (
        bookshop_folder(folder / "bookshop", database) as place,
        bookshop(place, backend, CONTRACT) as running,
    ):
        yield running


SERVICES: dict[str, Callable[[Path], AbstractContextManager[Service]]] = {
    f"{backend}, {database}": partial(shop_on, backend, database)
    for backend in ("asyncio", "trio")
    for database in ("sqlite", *SHOPS)
}
if find_spec("fastapi") and find_spec("aiosqlite") and find_spec("uvicorn"):
    SERVICES["fastapi"] = peer


def faults(answer: Any) -> list[list[Any]]:
    return sorted((fault["loc"] for fault in answer["errors"]), key=repr)


def check(case: Case, response: httpx.Response) -> None:
    """An answer is the one the case asks for, on the wire as well."""
    answer = response.json()
    assert response.status_code == case.status, f"{case.name}: {response.text}"
    kind = "application/problem+json" if case.code else "application/json"
    assert response.headers["content-type"] == kind, case.name
    assert {key: answer.get(key) for key in case.fields} == case.fields, case.name
    if case.code:
        assert (answer["code"], answer["status"]) == (case.code, case.status), case.name
        assert answer["title"], case.name
        assert answer["type"].endswith(case.code), case.name
    if case.faults:
        assert faults(answer) == sorted(case.faults, key=repr), f"{case.name}: {answer}"
        assert all(set(fault) == {"loc", "msg", "type"} for fault in answer["errors"]), case.name
    if case.status == 201:
        assert response.headers["location"] == f"{case.path}/{answer['id']}", case.name


@pytest.fixture(params=list(SERVICES))
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    with SERVICES[request.param](tmp_path) as running:
        yield running


def test_every_answer(service: Service) -> None:
    with service.client() as client:
        for case in CASES:
            check(case, client.request(case.method, case.path, **case.send()))


def test_all_servers_give_the_same_answers(tmp_path: Path) -> None:
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(stack.enter_context(start(tmp_path / name)).client())
            for name, start in SERVICES.items()
        }
        for case in CASES:
            found = {
                name: essence(client.request(case.method, case.path, **case.send()))
                for name, client in clients.items()
            }
            first = found.pop("asyncio, sqlite")
            assert found == dict.fromkeys(found, first), case.name


def essence(response: httpx.Response) -> dict[str, Any]:
    """An answer without what may differ: the time of an order, and the words for a fault."""
    answer = response.json()
    answer.pop("placed_at", None)
    if response.status_code == 400:
        answer.pop("errors", None)
        answer.pop("detail", None)
    if "errors" in answer:
        answer["errors"] = faults(answer)
    names = ("content-type", "location")
    return {
        "status": response.status_code,
        **{name: response.headers.get(name) for name in names},
        "answer": answer,
    }


@pytest.mark.parametrize("path", ["/books/", "/books/1/pages", "/stock", "/nowhere"])
def test_other_paths_are_not_found(shop: Service, path: str) -> None:
    response = shop.request("GET", path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["DELETE", "PUT", "BREW"])
def test_other_methods_are_not_allowed(shop: Service, method: str) -> None:
    response = shop.request(method, "/orders")
    assert response.status_code in (405, 501)
    if response.status_code == 405:
        assert response.headers["allow"] == "OPTIONS, POST"


def test_a_nul_does_not_end_the_search(shop: Service) -> None:
    # bad input 41
    assert shop.request("GET", "/books?q=%00").status_code in (400, 422)


def test_json_sent_as_text_is_refused(shop: Service) -> None:
    # bad input 44
    body = {"content": b'{"lines": [{"book_id": 1, "quantity": 1}]}'}
    before = shop.request("GET", "/books/1").json()["stock"]
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        response = shop.request("POST", "/orders", **body, headers={"content-type": kind})
        assert response.status_code == 415, kind
    assert shop.request("GET", "/books/1").json()["stock"] == before


def test_hostile_json_is_refused(shop: Service) -> None:
    # bad input 41
    headers = {"content-type": "application/json"}
    for body in (
        b"[" * 50_000,
        b'{"lines": [{"book_id": 1e999999, "quantity": 1}]}',
        b'{"lines": [{"book_id": NaN, "quantity": 1}]}',
        b'{"lines": [{"book_id": ' + b"9" * 100_000 + b', "quantity": 1}]}',
        b"\xff\xfe",
    ):
        response = shop.request("POST", "/orders", content=body, headers=headers)
        assert response.status_code in (400, 422), body[:40]
    lone = {**NEW, "title": "lone"}
    text = json.dumps(lone).replace("lone", "\\ud800").encode()
    assert shop.request("POST", "/books", content=text, headers=headers).status_code in (400, 422)
    assert shop.request("GET", "/books/1").status_code == 200


def test_the_last_copy_is_sold_once(shop: Service) -> None:
    shop.request("PATCH", "/books/5", json={"stock": 1})
    buyers = 12
    with ThreadPoolExecutor(buyers) as pool:
        answers = list(
            pool.map(lambda _: shop.request("POST", "/orders", json=lines((5, 1))), range(buyers))
        )
    found = sorted(answer.status_code for answer in answers)
    assert found == [201] + [409] * (buyers - 1)
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert all(
        (each["code"], each["book_id"], each["available"]) == ("out-of-stock", 5, 0)
        for each in refused
    )
    assert shop.request("GET", "/books/5").json()["stock"] == 0


def test_copies_are_neither_made_nor_lost_by_concurrent_orders(shop: Service) -> None:
    shop.request("PATCH", "/books/6", json={"stock": 20})
    shop.request("PATCH", "/books/7", json={"stock": 20})
    baskets = [lines((6, 1), (7, 2)), lines((7, 2), (6, 1))] * 8
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: shop.request("POST", "/orders", json=body), baskets))
    sold = sum(answer.status_code == 201 for answer in answers)
    assert {answer.status_code for answer in answers} == {201, 409}
    assert sold == 10, "20 copies of book 7 are 10 orders"
    assert shop.request("GET", "/books/6").json()["stock"] == 10
    assert shop.request("GET", "/books/7").json()["stock"] == 0
