"""Channels and methods in the contract, and what breaks it."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import covet_websocket as websocket
from covet_contract import ContractPlugin
from covet_http import Http
from covet_hypercorn import Hypercorn
from covet_kernel import Plugin
from covet_kernel.contracts import Operation
from covet_kernel.testing import assembly_of
from covet_operations import Operations, operations_of


class Said(BaseModel):
    text: str


class Louder(BaseModel):
    text: str
    volume: int


class Heard(BaseModel):
    text: str
    by: str


class Anonymous(BaseModel):
    text: str


class Desk(Plugin[None]):
    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)

    @websocket.channel("/desk")
    async def desk(self, connection: websocket.Connection[Said, Heard]) -> None: ...

    @websocket.channel("/strict", encodings=("json",))
    async def strict(self, connection: websocket.Connection[Said, Heard]) -> None: ...

    @websocket.method("add")
    def add(self, left: int, right: int = 1) -> int:
        return left + right


class Other(Plugin[None]):
    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)

    @websocket.channel("/desk")
    async def desk(self, connection: websocket.Connection[Louder, Anonymous]) -> None: ...

    @websocket.method("add")
    def add(self, left: int, right: int) -> str:
        return f"{left + right}"


def run(folder: Path, desk: type[Plugin[Any]], *words: str) -> int:
    assembly = assembly_of(
        {
            "operations": Operations, "hypercorn": Hypercorn, "http": Http,
            "websocket": websocket.WebSockets, "contract": ContractPlugin, "desk": desk,
        },
        {"http": {"server": "hypercorn"}, "websocket": {"rpc": {}}},
        directory=folder,
    )  # fmt: skip
    (command,) = [
        each for _, each in assembly.declared("covet_commands") if each.name == "contract"
    ]
    parser = ArgumentParser()
    parser.add_argument("--json", action="store_true")
    assert command.configure is not None
    command.configure(parser)
    return int(command.run(parser.parse_args(list(words)), assembly))


@pytest.mark.once
def test_frames_are_described_and_changes_of_them_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, Desk, "export") == 0
    folder = tmp_path / "contract"
    document = json.loads((folder / "asyncapi.json").read_text("utf-8"))
    channels = {each["address"]: each for each in document["channels"].values()}
    assert channels.keys() == {"/desk", "/strict", "/rpc"}
    names = {"Received", "Sent", "Acknowledgement", "Acknowledged", "Failure"}
    messages = channels["/desk"]["messages"]
    assert messages.keys() == names | {f"{name}.msgpack" for name in names}
    assert "contentType" not in messages["Sent"]
    assert messages["Sent.msgpack"]["contentType"] == "application/vnd.msgpack"
    assert messages["Sent.msgpack"]["payload"] == messages["Sent"]["payload"]
    asked = channels["/desk"]["bindings"]["ws"]["headers"]["properties"]["Sec-WebSocket-Protocol"]
    assert asked["enum"] == ["covet.json", "covet.msgpack"]
    # One that has no other encoding says nothing of any.
    assert channels["/strict"]["messages"].keys() == names
    assert channels["/rpc"]["messages"].keys() >= {"add", "add.result", "Failure", "Cancellation"}
    call = channels["/rpc"]["messages"]["add"]["payload"]
    text = json.dumps(call) + json.dumps(document["components"])
    assert '"left"' in text
    capsys.readouterr()
    assert run(tmp_path, Desk, "diff", str(folder)) == 0
    capsys.readouterr()
    assert run(tmp_path, Other, "--json", "diff", str(folder)) == 1
    found = json.loads(capsys.readouterr().out)
    codes = {
        each["code"]
        for each in found
        if each["severity"] == "breaking" and each["document"] == "asyncapi.json"
    }
    # A message needs more, one that is sent has less, a parameter is needed, a result is another.
    assert codes >= {"input-member-required", "output-member-removed", "output-type-changed"}, found
