"""The bookshop's search and orders on every protocol: one declaration, the same answers and errors."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from e2e.protocols.bookshop_clients import Client, Graphql, Grpc, Methods, RefusedError, Rest
from e2e.service import Service, bookshop, copy_example, covet

pytestmark = pytest.mark.once

CHANGES = {
    'use = "shop:Shop"': 'use = "guarded:Guarded"',
    "port = 8000": 'port = 8000\nserver = "hypercorn"',
}
MORE = """
[plugins.hypercorn]
http2 = true
"""


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = copy_example(tmp_path_factory.mktemp(request.param) / "shop")
    shutil.copy(Path(__file__).with_name("guarded.py"), folder)
    config = folder / "covet.toml"
    text = config.read_text("utf-8")
    for before, after in CHANGES.items():
        assert before in text
        text = text.replace(before, after, 1)
    config.write_text(f"{text}\n{MORE}", "utf-8")
    for words in (("grpc", "lock"), ("contract", "export", str(folder / "contract"))):
        done = covet(*words, "-c", str(config), cwd=folder)
        assert done.returncode == 0, done.stderr
    with bookshop(folder, request.param) as found:
        found.folder = folder  # type: ignore[attr-defined]
        yield found


@pytest.fixture(scope="module")
def clients(service: Service) -> Iterator[dict[str, Client]]:
    folder: Path = service.folder / "contract"  # type: ignore[attr-defined]
    with (
        service.client() as http,
        grpc.insecure_channel(f"127.0.0.1:{service.port}") as channel,
    ):
        yield {
            "rest": Rest(http),
            "graphql": Graphql(http),
            "grpc": Grpc(channel, folder),
            "websocket": Methods(f"ws://127.0.0.1:{service.port}/rpc"),
        }


def refused(call: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        call()
    return caught.value


def test_answers_are_the_same(clients: dict[str, Client]) -> None:
    found = {name: each.search(q="austen", limit=3) for name, each in clients.items()}
    assert found["rest"]["total"] > 3
    assert len(found["rest"]["books"]) == 3
    assert found["graphql"] == found["rest"]
    assert found["grpc"] == found["rest"]
    nothing = {name: each.search(q="xyzzy") for name, each in clients.items()}
    assert all(each == {"total": 0, "books": []} for each in nothing.values())


def test_orders_are_the_same_and_all_of_them_are_placed(clients: dict[str, Client]) -> None:
    (book,) = clients["rest"].search(q="emma", limit=1)["books"]
    lines = [{"book_id": book["id"], "quantity": 1}]
    placed = {name: each.order(lines, "ann") for name, each in clients.items()}
    numbers = {each.pop("id") for each in placed.values()}
    assert len(numbers) == len(clients)
    assert all(each.pop("placed_at") for each in placed.values())
    line = {"title": book["title"], "price_cents": book["price_cents"], **lines[0]}
    order = {"total_cents": book["price_cents"], "lines": [line]}
    assert all(each == order for each in placed.values())
    # Each of them took a copy.
    (left,) = clients["rest"].search(q="emma", limit=1)["books"]
    assert left["stock"] == book["stock"] - len(clients)


def test_errors_are_the_same(clients: dict[str, Client]) -> None:
    (book,) = clients["rest"].search(q="persuasion", limit=1)["books"]
    many = [{"book_id": book["id"], "quantity": 100}]
    for each in clients.values():
        gone = refused(lambda each=each: each.order([{"book_id": 10**6, "quantity": 1}], "ann"))
        assert (gone.code, gone.fields["book_id"]) == ("no-such-book", 10**6)
        short = refused(lambda each=each: each.order(many, "ann"))
        assert short.code == "out-of-stock"
        expected = {"book_id": book["id"], "available": book["stock"], "requested": 100}
        assert short.fields | expected == short.fields
        for wrong in ([{"book_id": 1, "quantity": 0}], []):
            assert (
                refused(lambda each=each, wrong=wrong: each.order(wrong, "ann")).code == "invalid"
            )
        assert refused(lambda each=each: each.search(q="a" * 101)).code == "invalid"
    # Whatever was refused, nothing was taken.
    (left,) = clients["rest"].search(q="persuasion", limit=1)["books"]
    assert left["stock"] == book["stock"]


def test_who_may_not_is_refused_alike(clients: dict[str, Client]) -> None:
    # Who calls is asked before what is asked.
    for lines in ([{"book_id": 1, "quantity": 1}], []):
        for token, code in (
            ("", "unauthenticated"),
            ("eve", "unauthenticated"),
            ("bob", "forbidden"),
        ):
            codes = {
                name: refused(
                    lambda each=each, lines=lines, token=token: each.order(lines, token)
                ).code
                for name, each in clients.items()
            }
            assert codes == dict.fromkeys(clients, code)


def test_deadlines_end_calls_alike(clients: dict[str, Client]) -> None:
    codes = {
        name: refused(lambda each=each: each.search(slow=True, q="austen", limit=1)).code
        for name, each in clients.items()
    }
    assert codes == dict.fromkeys(clients, "deadline-exceeded")
