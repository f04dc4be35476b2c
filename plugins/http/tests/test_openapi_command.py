"""``covet openapi``: printing, writing and comparing."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import covet_http as http
from covet_http import Http
from covet_hypercorn import Hypercorn
from covet_kernel import ConfigurationError, LifecycleError, Plugin
from covet_kernel.contracts import Capability
from covet_kernel.testing import assembly_of
from covet_operations import Operations, operations_of, preview, provider

DEPOT = Capability[list]("depot")  # type: ignore[type-arg]


@http.get("/books/{id}")
async def find(id: int, limit: int = 3) -> str:
    """One book."""
    raise AssertionError("it is not called")


class Depot(Plugin[None]):
    """Has a capability, an operation, and a lifespan that must not be entered."""

    provides = (DEPOT,)

    def covet_lifespan(self, ctx: Any) -> Any:
        raise AssertionError("it is started")

    def covet_operations(self) -> Any:
        return operations_of(self)

    @http.post("/stock")
    async def stock(self, count: int) -> None: ...


def run(*words: str, config: Any = None, **classes: type[Plugin[Any]]) -> int:
    assembly = assembly_of(
        {"operations": Operations, "hypercorn": Hypercorn, "http": Http, **classes},
        {"http": {"server": "hypercorn", **(config or {})}},
    )
    commands = {command.name: command for _, command in assembly.declared("covet_commands")}
    command = commands["openapi"]
    parser = ArgumentParser()
    parser.add_argument("--json", action="store_true")
    assert command.configure is not None
    command.configure(parser)
    return command.run(parser.parse_args(list(words)), assembly)


def test_it_is_printed_and_nothing_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(depot=Depot, config={"openapi": {"title": "Shop"}}) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["info"]["title"] == "Shop"
    assert list(found["paths"]) == ["/stock"]


def test_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "openapi.json"
    assert run("--output", str(path), depot=Depot) == 0
    assert json.loads(path.read_text("utf-8"))["openapi"] == "3.1.1"


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"):
        run("--output", str(tmp_path), depot=Depot)


def test_operations_of_plain_modules_are_previewed() -> None:
    class Clock:
        pass

    @provider()
    def clock() -> Clock:
        return Clock()

    clock.__annotations__["return"] = Clock

    @http.get("/time")
    async def time(clock: Clock) -> str: ...  # type: ignore[empty-body]

    time.__annotations__["clock"] = Clock
    module = ModuleType("plain")
    for function in (clock, time, find):
        function.__module__ = "plain"
        setattr(module, function.__name__, function)
    assembly = assembly_of({"operations": Operations}, {"operations": {"refuse_extra": False}})
    assembly.modules = (module,)
    pipeline, serving = preview(assembly)
    assert [each.name for each in serving.operations] == ["plain.time", "plain.find"]
    assert pipeline.config.refuse_extra is False
    assert not pipeline.signature(serving, serving.operations[0]).inputs


def test_what_is_wrong_is_said_by_a_preview() -> None:
    class Broken(Depot):
        def covet_operations(self) -> Any:
            raise OSError("the depot is closed")

    with pytest.raises(LifecycleError, match="the depot is closed"):
        run(depot=Broken)


def documents(tmp_path: Path, new: dict[str, Any]) -> tuple[str, str]:
    path = {"/books": {"get": {"responses": {"200": {"description": "OK"}}}}}
    old = {"openapi": "3.1.1", "info": {}, "paths": path}
    names = tmp_path / "old.json", tmp_path / "new.json"
    names[0].write_text(json.dumps(old), "utf-8")
    names[1].write_text(json.dumps({**old, **new}), "utf-8")
    return str(names[0]), str(names[1])


def test_documents_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = documents(tmp_path, {})
    assert run("diff", *same) == 0
    assert capsys.readouterr().out == "no breaking changes\n"
    changed = documents(tmp_path, {"paths": {}})
    assert run("diff", *changed) == 1
    assert capsys.readouterr().out == "/books: the path is gone (path-removed)\n"
    assert run("diff", *changed, "--json") == 1
    assert json.loads(capsys.readouterr().out) == [
        {"kind": "path-removed", "place": "/books", "problem": "the path is gone"}
    ]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"swagger": "2.0"}', "[" * 100_000])
def test_what_is_no_document_is_refused(tmp_path: Path, content: str) -> None:
    old, new = documents(tmp_path, {})
    Path(new).write_text(content, "utf-8")
    with pytest.raises(ConfigurationError) as caught:
        run("diff", old, new)
    assert caught.value.code == "COVET-HTTP-OPENAPI-FILE"


def test_two_documents_are_needed(tmp_path: Path) -> None:
    old, _ = documents(tmp_path, {})
    with pytest.raises(ConfigurationError, match="two documents"):
        run("diff", old)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        run("diff", old, str(tmp_path / "none.json"))
