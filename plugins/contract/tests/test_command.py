"""``covet contract``: documents written, compared, and what the exit code says."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import covet_http as http
from covet_contract import ContractPlugin, compare
from covet_contract._codes import CODES, found
from covet_http import Http
from covet_hypercorn import Hypercorn
from covet_kernel import ConfigurationError, Plugin
from covet_kernel.contracts import Operation
from covet_kernel.testing import assembly_of
from covet_operations import ContractDocument, Finding, Operations, operation, operations_of

Run = Callable[..., int]


class Shop(Plugin[None]):
    """Its lifespan must not be entered."""

    def covet_lifespan(self, ctx: Any) -> Any:
        raise AssertionError("it is started")

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)

    @operation(name="shop.find")
    @http.get("/books/{id}")
    async def find(self, id: int, limit: int = 3) -> str:
        """One book."""
        raise AssertionError("it is called")


class Versioned(Plugin[None]):
    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)

    @http.get("/books/{id}", versions="*")
    async def find(self, id: int) -> str: ...


class Larger(Shop):
    @http.post("/books")
    async def add(self, title: str) -> None: ...


class Smaller(Shop):
    def covet_operations(self) -> Iterable[Operation]:
        return ()


def ftp(text: str) -> ContractDocument:
    """A document of a protocol that nobody knows."""

    def compare(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Finding]:
        if old != new:
            yield found("document-removed", "", "the list", "it is another")

    return ContractDocument(kind="ftp", render=lambda view: {"list.json": text}, compare=compare)


class Ftp(Plugin[None]):
    def covet_contract_documents(self) -> Iterable[ContractDocument]:
        yield ftp('{"files": 1}')


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(
        *words: str,
        config: Mapping[str, Any] | None = None,
        contract: Mapping[str, Any] | None = None,
        **classes: type[Plugin[Any]],
    ) -> int:
        assembly = assembly_of(
            {
                "operations": Operations,
                "hypercorn": Hypercorn,
                "http": Http,
                "contract": ContractPlugin,
                "shop": Shop,
                **classes,
            },
            {"http": {"server": "hypercorn", **(config or {})}, "contract": contract or {}},
            directory=tmp_path,
        )
        declared = assembly.declared("covet_commands")
        (command,) = [each for _, each in declared if each.name == "contract"]
        parser = ArgumentParser()
        parser.add_argument("--json", action="store_true")
        assert command.configure is not None
        command.configure(parser)
        return int(command.run(parser.parse_args(list(words)), assembly))

    return run


def test_documents_are_written_beside_the_configuration(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("export") == 0
    file = tmp_path / "contract" / "openapi.json"
    assert json.loads(file.read_text())["paths"].keys() == {"/books/{id}"}
    assert capsys.readouterr().out == f"new      {file}\n"
    before = file.read_bytes()
    assert run("export", "--check") == 0
    assert run("--json", "export") == 0
    rows = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert rows == [{"kind": "openapi", "file": str(file), "state": "same"}]
    assert file.read_bytes() == before


def test_a_check_writes_nothing(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    assert run("export", str(folder), "--check") == 1
    assert not folder.exists()
    assert run("export", str(folder)) == 0
    assert run("export", str(folder), "--check") == 0
    assert run("export", str(folder), "--check", shop=Larger) == 1


def test_each_version_that_a_header_names_has_a_document(run: Run, tmp_path: Path) -> None:
    config = {"versions": {"by": "header", "known": [{"name": "1"}, {"name": "2"}]}}
    assert run("export", config=config, contract={"folder": "api"}, shop=Versioned) == 0
    assert {each.name for each in (tmp_path / "api").iterdir()} == {
        "openapi-1.json",
        "openapi-2.json",
    }


def test_what_is_promised_is_compared_with_the_configuration(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("export", shop=Larger) == 0
    promised = str(tmp_path / "contract")
    capsys.readouterr()
    assert run("diff", promised, shop=Larger) == 0
    assert capsys.readouterr().out == "0 breaking, 0 risky, 0 compatible\n"
    assert run("diff", promised) == 1
    assert capsys.readouterr().out == (
        "breaking: openapi.json /books: the path is gone (path-removed)\n"
        "  at /paths/~1books\n"
        "  for callers of the path, who find nothing there\n"
        "1 breaking, 0 risky, 0 compatible\n"
    )


def test_what_is_compatible_is_told_when_asked_for(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("export") == 0
    promised = str(tmp_path / "contract" / "openapi.json")
    capsys.readouterr()
    assert run("diff", promised, shop=Larger) == 0
    assert capsys.readouterr().out == "0 breaking, 0 risky, 1 compatible\n"
    assert run("diff", promised, "--all", shop=Larger) == 0
    assert capsys.readouterr().out.startswith(
        "compatible: openapi.json /books: the path is new (path-added)\n"
    )


def test_two_files_and_two_folders(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    assert run("export", str(old), shop=Larger) == 0
    assert run("export", str(new)) == 0
    assert run("diff", str(old), str(new)) == 1
    (new / "openapi.json").rename(new / "renamed.json")
    # One on each side belong together, whatever they are called.
    assert run("diff", str(old / "openapi.json"), str(new / "renamed.json")) == 1
    assert run("diff", str(new), str(old)) == 0
    capsys.readouterr()
    assert run("--json", "diff", str(old), str(new)) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert row == {
        "code": "path-removed",
        "severity": "breaking",
        "place": "/paths/~1books",
        "subject": "/books",
        "problem": "the path is gone",
        "breaks": "callers of the path, who find nothing there",
        "document": "renamed.json",
    }


def test_which_changes_fail(run: Run, tmp_path: Path) -> None:
    assert run("export") == 0
    file = tmp_path / "contract" / "openapi.json"
    text = file.read_text()
    file.write_text(text.replace('"shop.find"', '"shop.search"'))
    words = "diff", str(file), "--fail-on"
    assert run(*words, "breaking") == 0
    assert run(*words, "risky") == 1
    assert run(*words, "never") == 0
    assert run(*words, "never", shop=Smaller) == 0


def test_a_document_that_is_gone_breaks(run: Run, tmp_path: Path) -> None:
    assert run("export") == 0
    folder = tmp_path / "contract"
    (folder / "v1.json").write_text((folder / "openapi.json").read_text())
    assert run("diff", str(folder)) == 1
    with pytest.raises(ConfigurationError, match="COVET-CONTRACT-FILE"):
        run("diff", str(tmp_path / "nowhere"))


def test_a_file_is_compared_with_the_one_of_its_name(run: Run, tmp_path: Path) -> None:
    config = {"versions": {"by": "header", "known": [{"name": "1"}, {"name": "2"}]}}
    assert run("export", config=config, shop=Versioned) == 0
    folder = tmp_path / "contract"
    assert run("diff", str(folder / "openapi-1.json"), config=config, shop=Versioned) == 0
    (folder / "openapi-1.json").rename(folder / "v1.json")
    with pytest.raises(ConfigurationError, match="COVET-CONTRACT-WHICH") as caught:
        run("diff", str(folder / "v1.json"), config=config, shop=Versioned)
    assert caught.value.valid == ("openapi-1.json", "openapi-2.json")


def test_plugins_bring_formats_of_their_own(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("export", ftp=Ftp) == 0
    assert (tmp_path / "contract" / "list.json").read_text() == '{"files": 1}'
    assert run("export", "--only", "ftp", ftp=Ftp) == 0
    other = ftp("other").compare
    assert other is not None
    assert [each.code for each in compare("ftp", {"a": "1"}, {"a": "2"}, {"ftp": other})] == [
        "document-removed"
    ]
    with pytest.raises(ConfigurationError, match="cannot be compared"):
        compare("ftp", {"a": "1"}, {"a": "2"})


def test_a_format_that_nothing_writes_is_refused(run: Run) -> None:
    with pytest.raises(ConfigurationError, match="COVET-CONTRACT-KIND") as caught:
        run("export", "--only", "openapy")
    assert "Did you mean 'openapi'?" in caught.value.fix


def test_two_plugins_do_not_write_one_file(run: Run) -> None:
    with pytest.raises(ConfigurationError, match=r"ftp and other both write list\.json"):
        run("export", ftp=Ftp, other=Ftp)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"openapi": "2.0"}', '{"openapi": 3}', '{"openapi": null}']
)
def test_what_is_no_document_is_refused(run: Run, tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match="COVET-CONTRACT-FILE"):
        run("diff", str(file))


def test_a_folder_that_cannot_be_written_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "contract").write_text("a file")
    with pytest.raises(ConfigurationError, match="COVET-CONTRACT-FILE"):
        run("export")


def test_every_code_that_breaks_says_whom() -> None:
    for name, code in CODES.items():
        assert bool(code.breaks) == (code.severity.value != "compatible"), name


def test_every_code_is_in_the_reference() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "plugins" / "contract.md"
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| `")]
    for name, code in CODES.items():
        assert (
            f"| `{name}` | {code.severity.value} | {code.breaks} |".replace("|  |", "| |") in rows
        )
