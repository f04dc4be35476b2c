"""``covet grpc``: the ``.proto`` and the lock, written without starting anything."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import anyio.to_thread
import grpc
import pytest
from grpc_served import CLASSES, CONFIG, Messages, compile_protos, plugin_of

import covet_grpc
from covet_http import HTTP
from covet_kernel import ConfigurationError
from covet_kernel.testing import assembly_of, run_kernel
from covet_operations import ContractView, preview


def run(folder: Path, *words: str) -> int:
    assembly = assembly_of(CLASSES, CONFIG, directory=folder)
    commands = {command.name: command for _, command in assembly.declared("covet_commands")}
    parser = ArgumentParser()
    assert commands["grpc"].configure is not None
    commands["grpc"].configure(parser)
    return commands["grpc"].run(parser.parse_args(list(words)), assembly)


def test_the_proto_is_written_for_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "proto") == 0
    text = capsys.readouterr().out
    assert "// library/v1/library.proto" in text
    assert "  // One book.\n  rpc GetBook(GetBookRequest) returns (Book) {" in text
    assert run(tmp_path, "proto", "--output", str(tmp_path / "out")) == 0
    assert compile_protos(tmp_path / "out").method("library.v1.Books/Chat").client_streaming


def test_it_is_part_of_what_the_service_promises(tmp_path: Path) -> None:
    assembly = assembly_of(CLASSES, CONFIG, directory=tmp_path)
    ((owner, document),) = [
        each for each in assembly.declared("covet_contract_documents") if each[0] == "grpc"
    ]
    pipeline, serving = preview(assembly)
    view = ContractView(assembly=assembly, pipeline=pipeline, serving=serving)
    texts = document.render(view)
    assert (owner, document.kind, list(texts)) == ("grpc", "proto", ["library/v1/library.proto"])
    assert texts == document.render(view)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as caught:
        run(tmp_path, "proto", "--output", str(tmp_path / "file" / "x"))
    assert caught.value.code == "COVET-GRPC-FILE"


async def test_a_lock_that_lacks_a_field_stops_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "grpc.lock.json"
    assert run(tmp_path, "lock", "--check") == 1
    assert not path.exists()
    assert run(tmp_path, "lock") == 0
    assert "library.v1.Book.title is new" in capsys.readouterr().out
    assert run(tmp_path, "lock", "--check") == 0
    assert capsys.readouterr().out == ""
    async with run_kernel(CLASSES, CONFIG, directory=tmp_path):
        pass
    path.write_text(path.read_text().replace('"title"', '"heading"'))
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(CLASSES, CONFIG, directory=tmp_path):
            pass
    (error,) = caught.value.exceptions
    assert isinstance(error, ConfigurationError)
    assert error.code == "COVET-GRPC-LOCK-OLD"
    assert "library.v1.Book.title is new" in str(error)


async def test_without_a_lock_it_starts_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", logger="covet.grpc"):
        async with run_kernel(CLASSES, CONFIG, directory=tmp_path):
            pass
    assert "covet grpc lock" in caplog.text


async def test_what_cannot_be_said_is_told_once(tmp_path: Path) -> None:
    async def odd(x: int) -> int | str: ...

    odd.__annotations__ = {"x": int, "return": int | str}
    bound: Any = covet_grpc.unary("odd.v1.Odd/Odd")(odd)
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel({**CLASSES, "library": plugin_of(bound)}, CONFIG, directory=tmp_path):
            pass
    (error,) = caught.value.exceptions
    assert isinstance(error, ConfigurationError)
    assert error.code == "COVET-GRPC-TYPE"


async def test_messages_may_be_made_by_the_first_call(tmp_path: Path, protos: Messages) -> None:
    """Then a lock that is wrong stops no start, and fails the call."""
    config = {**CONFIG, "grpc": {"build": "on first request", "health": False}}
    path = tmp_path / "grpc.lock.json"
    assert run(tmp_path, "lock") == 0
    right = path.read_text()
    path.write_text(right.replace('"title"', '"heading"'))

    def say(port: int) -> str:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            takes, gives = protos("library.v1.SayRequest"), protos("library.v1.SayResponse")
            stub = channel.unary_unary(
                "/library.v1.Books/Say", takes.SerializeToString, gives.FromString
            )
            return str(stub(takes(text="hello"), timeout=30).value)

    async with run_kernel(CLASSES, config, directory=tmp_path) as kernel:
        port = int(kernel.require(HTTP).urls[0].rpartition(":")[2])
        with pytest.raises(grpc.RpcError) as caught:
            await anyio.to_thread.run_sync(say, port)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        path.write_text(right)
        assert await anyio.to_thread.run_sync(say, port) == "hello"
