"""One operation on every protocol: its documents, who else can read them, and a change seen on each."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema
from openapi_spec_validator import validate
from pydantic import BaseModel

import covet_graphql as graphql
import covet_grpc as grpc
import covet_http as http
import covet_websocket as websocket
from covet_contract import ContractPlugin, compare
from covet_graphql import Graphql
from covet_grpc import Grpc
from covet_http import Http
from covet_hypercorn import Hypercorn
from covet_kernel import Plugin
from covet_kernel.contracts import Operation
from covet_kernel.testing import assembly_of
from covet_operations import Operations, Topic, operation, operations_of
from covet_websocket import WebSockets


class Book(BaseModel):
    id: int
    title: str


class Thinner(BaseModel):
    id: int


class Sold(BaseModel):
    book: int


class Shop(Plugin[None]):
    """Books, told apart by their number."""

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)

    @operation(name="shop.book", effect="read")
    @http.get("/books/{id}")
    @graphql.query("book")
    @grpc.unary("shop.v1.Books/GetBook")
    @websocket.method("books.get")
    async def book(self, id: int) -> Book:
        """One book."""
        raise AssertionError("it is called")

    @websocket.channel("/desk")
    async def desk(self, connection: websocket.Connection[Sold, Book]) -> None:
        """Sell, and see what there is."""

    def covet_channels(self) -> Iterable[Any]:
        yield Topic("books.sold", Sold).sent()


class Other(Plugin[None]):
    """The same operation, of which more is asked, and which gives less."""

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)

    @operation(name="shop.book", effect="read")
    @http.get("/books/{id}")
    @graphql.query("book")
    @grpc.unary("shop.v1.Books/GetBook")
    @websocket.method("books.get")
    async def book(self, id: int, edition: int) -> Thinner: ...

    def covet_channels(self) -> Iterable[Any]:
        yield Topic("books.gone", Sold).sent()


FILES = {"asyncapi.json", "openapi.json", "schema.graphql", "shop/v1/shop.proto"}


def run(folder: Path, shop: type[Plugin[Any]], *words: str) -> int:
    assembly = assembly_of(
        {
            "operations": Operations,
            "hypercorn": Hypercorn,
            "http": Http,
            "graphql": Graphql,
            "grpc": Grpc,
            "websocket": WebSockets,
            "contract": ContractPlugin,
            "shop": shop,
        },
        {"http": {"server": "hypercorn"}, "websocket": {"rpc": {}}},
        directory=folder,
    )
    declared = assembly.declared("covet_commands")
    (command,) = [each for _, each in declared if each.name == "contract"]
    parser = ArgumentParser()
    parser.add_argument("--json", action="store_true")
    assert command.configure is not None
    command.configure(parser)
    return int(command.run(parser.parse_args(list(words)), assembly))


@pytest.fixture
def exported(tmp_path: Path) -> dict[str, str]:
    assert run(tmp_path, Shop, "export") == 0
    folder = tmp_path / "contract"
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.once
def test_others_read_the_documents(exported: dict[str, str], tmp_path: Path) -> None:
    """AsyncAPI's own parser has a test of its own."""
    assert exported.keys() == FILES
    validate(json.loads(exported["openapi.json"]))
    schema = build_schema(exported["schema.graphql"])
    assert schema.query_type is not None
    assert "book" in schema.query_type.fields
    words = [f"-I{tmp_path / 'contract'}", f"--descriptor_set_out={tmp_path / 'made'}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", *words, "shop/v1/shop.proto"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_channels_and_methods_are_in_one_document(exported: dict[str, str]) -> None:
    channels = json.loads(exported["asyncapi.json"])["channels"].values()
    found = {each["address"]: each["messages"] for each in channels}
    assert found.keys() == {"books.sold", "/desk", "/rpc", "/graphql"}
    assert found["/desk"].keys() >= {"Received", "Received.msgpack", "Sent", "Sent.msgpack"}
    assert found["/rpc"].keys() >= {"books.get", "books.get.result", "books.get.result.msgpack"}


def test_nothing_has_changed_since_the_export(
    exported: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(tmp_path, Shop, "diff", str(tmp_path / "contract")) == 0
    assert capsys.readouterr().out == "0 breaking, 0 risky, 0 compatible\n"
    assert run(tmp_path, Shop, "export", "--check") == 0


@pytest.mark.once
def test_a_change_is_seen_on_each_protocol(
    exported: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(tmp_path, Other, "--json", "diff", str(tmp_path / "contract")) == 1
    rows = json.loads(capsys.readouterr().out)
    breaking = {(each["document"], each["code"]) for each in rows if each["severity"] == "breaking"}
    assert breaking >= {
        ("openapi.json", "parameter-required"),
        ("openapi.json", "output-member-removed"),
        ("schema.graphql", "graphql-argument-required"),
        ("schema.graphql", "graphql-type-removed"),
        ("shop/v1/shop.proto", "proto-response-changed"),
        ("asyncapi.json", "channel-removed"),
        # Of the method: a parameter more, and a result with less in it.
        ("asyncapi.json", "input-member-required"),
        ("asyncapi.json", "output-member-removed"),
    }


@pytest.mark.once
def test_one_file_of_a_format_whose_files_belong_together(
    exported: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "contract" / "shop" / "v1" / "shop.proto"
    assert run(tmp_path, Shop, "diff", str(file)) == 0
    assert run(tmp_path, Other, "diff", str(file)) == 1


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from covet_contract import _known
    from covet_kernel import ConfigurationError

    monkeypatch.setattr(_known, "find_spec", lambda name: None)
    for kind in ("graphql", "proto"):
        with pytest.raises(ConfigurationError, match="COVET-CONTRACT-LIBRARY") as caught:
            compare(kind, {"a": ""}, {"a": ""})
        assert f"covet-contract[{kind}]" in caught.value.fix
