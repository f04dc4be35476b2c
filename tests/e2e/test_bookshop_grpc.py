"""The bookshop's search and orders on gRPC: what REST answers, by the `.proto` of the shop."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest
from e2e.service import COVET, Service, bookshop, copy_example
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from grpc_tools import protoc

pytestmark = pytest.mark.once


def methods(place: Path, channel: grpc.Channel) -> dict[str, Any]:
    """The methods that the `.proto` of the shop has, by name, and its messages by theirs."""
    out = place / "protos"
    command = [COVET, "grpc", "proto", "-c", str(place / "covet.toml"), "--output", str(out)]
    subprocess.run(command, check=True, timeout=120)
    include = Path(protoc.__file__).parent / "_proto"
    binary = place / "shop.binpb"
    assert not protoc.main(
        ["protoc", f"-I{out}", f"-I{include}", "--include_imports", f"--descriptor_set_out={binary}",
         "bookshop/v1/bookshop.proto"]
    )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(binary.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    found: dict[str, Any] = {}
    for address in ("Books/SearchBooks", "Orders/PlaceOrder"):
        service, _, name = address.partition("/")
        method = pool.FindServiceByName(f"bookshop.v1.{service}").FindMethodByName(name)
        takes = message_factory.GetMessageClass(method.input_type)
        gives = message_factory.GetMessageClass(method.output_type)
        found[name] = channel.unary_unary(
            f"/bookshop.v1.{address}", takes.SerializeToString, gives.FromString
        )
        found[f"{name}Request"] = takes
    return found


def code_of(error: Any) -> str:
    info = ErrorInfo()
    assert rpc_status.from_call(error).details[0].Unpack(info)
    return str(info.reason)


@pytest.mark.parametrize("server", ["engine", "hypercorn"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_search_and_orders_are_those_of_rest(tmp_path: Path, backend: str, server: str) -> None:
    place = copy_example(tmp_path / "shop")
    overrides = (f"plugins.http.server={server}", f"plugins.{server}.http2=true")
    with (
        bookshop(place, backend, *overrides) as shop,
        grpc.insecure_channel(f"127.0.0.1:{shop.port}") as channel,
    ):
        have = methods(place, channel)
        check(shop, have)


def check(shop: Service, have: dict[str, Any]) -> None:
    found = have["SearchBooks"](have["SearchBooksRequest"](q="austen", limit=2))
    rest = shop.request("GET", "/books?q=austen&limit=2").json()
    assert found.total == rest["total"] > 2
    assert [each.title for each in found.books] == [each["title"] for each in rest["books"]]
    book = found.books[0]
    order = have["PlaceOrder"](
        have["PlaceOrderRequest"](lines=[{"book_id": book.id, "quantity": 2}])
    )
    (line,) = order.lines
    assert (line.book_id, line.title, line.quantity) == (book.id, book.title, 2)
    assert order.total_cents == 2 * book.price_cents
    stored = shop.request("GET", f"/orders/{order.id}").json()
    assert stored["total_cents"] == order.total_cents
    # Errors are the same ones, by their codes.
    for lines, code, status in (
        ([{"book_id": 10**6, "quantity": 1}], "NO_SUCH_BOOK", grpc.StatusCode.NOT_FOUND),
        ([{"book_id": 1, "quantity": 0}], "INVALID", grpc.StatusCode.INVALID_ARGUMENT),
        ([], "INVALID", grpc.StatusCode.INVALID_ARGUMENT),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            have["PlaceOrder"](have["PlaceOrderRequest"](lines=lines))
        assert (caught.value.code(), code_of(caught.value)) == (status, code)
