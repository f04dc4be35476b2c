"""Reading revisions from files without running them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_kernel import ConfigurationError
from covet_migrations._revisions import Revisions
from covet_migrations._sources import Source


def source(folder: Path, name: str = "app") -> Source:
    return Source(name=name, owner="migrations", path=folder, tables="")


def write(folder: Path, id: str, down: object = None, needs: object = None, more: str = "") -> None:
    folder.mkdir(exist_ok=True)
    text = f"revision: str = {id!r}\ndown_revision = {down!r}\ndepends_on = {needs!r}\n{more}"
    (folder / f"{id}.py").write_text(text, "utf-8")


def test_heads_and_what_is_applied(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write(one, "a")
    write(one, "b", "a")
    write(two, "x", None, "a")
    write(two, "y", ("x",), ("b",))
    found = Revisions([source(one, "one"), source(two, "two")])
    assert found.heads == {"y"}, "what others stand on is not in the version table"
    assert found.applied(["y"]) == {"a", "b", "x", "y"}
    assert found.applied(["b"]) == {"a", "b"}
    assert found.applied(["x", "nowhere"]) == {"a", "x"}
    assert found.unknown(["y", "nowhere"]) == ["nowhere"]
    assert [each.id for each in found.tips("one")] == ["b"]


def test_what_stands_on_a_label_is_left_to_alembic(tmp_path: Path) -> None:
    write(tmp_path, "a", more="branch_labels = ('first',)")
    write(tmp_path, "b", "a", "first")
    assert Revisions([source(tmp_path)]).heads is None


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert Revisions([source(tmp_path / "nowhere")]).heads == frozenset()


@given(st.text() | st.text("revisiondown_='\"\n(),None ", max_size=80) | st.binary())
def test_whatever_is_in_a_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    (folder / "one.py").write_bytes(raw)
    try:
        Revisions([source(folder)])
    except ConfigurationError as error:
        assert error.code == "COVET-MIGRATION-SCRIPT"
