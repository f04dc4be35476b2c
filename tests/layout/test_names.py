"""One word names everything: the folder, the distribution, the import, the entry point."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from layout.checkout import (
    IGNORED,
    KINDS,
    PREFIX,
    ROOT,
    Distribution,
    distributions,
    expect_none,
    files,
    manifest,
    plant,
)

PLUGIN_KINDS = ("plugins", "native")


def misnamed(root: Path) -> list[str]:
    """Names that break the rule, each with what it should be."""
    wrong = []
    for kind in KINDS[1:]:
        wrong += [
            f"{kind}/{folder.name} has no pyproject.toml"
            for folder in sorted((root / kind).glob("*/"))
            if any(files(folder)) and not (folder / "pyproject.toml").is_file()
        ]
    for each in distributions(root):
        where = each.path.relative_to(root).as_posix()
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", each.id):
            wrong.append(f"{where} is not one lower-case word, with dashes at most")
        expected = PREFIX if each.is_metapackage else f"{PREFIX}-{each.id}"
        if each.project.get("name") != expected:
            wrong.append(f"{where} is called {each.project.get('name')!r}, not {expected!r}")
        folders = (each.path / "src").glob("*/")
        # Setuptools keeps the metadata of an editable install beside the package.
        packages = {path.name for path in folders if path.suffix != ".egg-info"} - IGNORED
        if not {each.import_name} & each.packages <= packages <= each.packages:
            wrong.append(f"{where}/src holds {sorted(packages)}, not {each.import_name!r} alone")
        if not (each.path / "README.md").is_file():
            wrong.append(f"{where} has no README.md")
        wrong += misnamed_plugin(each, where)
    return wrong


def misnamed_plugin(each: Distribution, where: str) -> list[str]:
    """Entry points that break the rule; a plugin has one, and it may be all that `contrib` has."""
    entries: dict[str, str] = each.project.get("entry-points", {}).get("covet.plugins", {})
    if not entries:
        return [f"{where} has no entry point {each.id!r}"] if each.kind in PLUGIN_KINDS else []
    if each.kind == "kernel" or each.is_metapackage or list(entries) != [each.id]:
        return [f"{where} has the entry points {sorted(entries)}, not {each.id!r} alone"]
    module, _, name = entries[each.id].partition(":")
    exported = {
        node.value
        for source in each.sources()
        if source.module == each.import_name
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    if module != each.import_name:
        return [f"{where}: its entry point leads to {module!r}, not {each.import_name!r}"]
    if name not in exported:
        return [f"{where}: its entry point's {name!r} is not in __all__ of {module}"]
    return []


def test_one_word_names_everything() -> None:
    expect_none(misnamed(ROOT))


def test_there_are_distributions_to_check() -> None:
    assert "covet-kernel" in {each.project["name"] for each in distributions(ROOT)}


GOOD = {
    "plugins/two-words/pyproject.toml": manifest(
        "covet-two-words", plugin="two-words = covet_two_words:TwoWords"
    ),
    "plugins/two-words/README.md": "",
    "plugins/two-words/src/covet_two_words/__init__.py": '__all__ = ["TwoWords"]',
    "contrib/covet/pyproject.toml": manifest("covet"),
    "contrib/covet/README.md": "",
}


def test_a_dash_becomes_an_underscore_in_the_import_and_the_metapackage_is_the_prefix(
    tmp_path: Path,
) -> None:
    assert misnamed(plant(tmp_path, GOOD)) == []


def test_a_distribution_named_unlike_its_folder_is_found(tmp_path: Path) -> None:
    text = manifest("covet-postgresql", plugin="two-words = covet_two_words:TwoWords")
    tree = GOOD | {"plugins/two-words/pyproject.toml": text}
    assert misnamed(plant(tmp_path, tree)) == [
        "plugins/two-words is called 'covet-postgresql', not 'covet-two-words'"
    ]


def test_a_package_named_unlike_its_folder_is_found(tmp_path: Path) -> None:
    tree = GOOD | {"plugins/two-words/src/covet_more/__init__.py": ""}
    assert misnamed(plant(tmp_path, tree)) == [
        "plugins/two-words/src holds ['covet_more', 'covet_two_words'], not 'covet_two_words' alone"
    ]


def test_entry_points_that_break_the_rule_are_found(tmp_path: Path) -> None:
    wrong = {
        "": "has no entry point",
        "two_words = covet_two_words:TwoWords": "has the entry points",
        "two-words = covet_two_words._plugin:TwoWords": "leads to",
        "two-words = covet_two_words:Hidden": "is not in __all__",
    }
    for entry, complaint in wrong.items():
        text = manifest("covet-two-words", plugin=entry)
        tree = GOOD | {"plugins/two-words/pyproject.toml": text}
        (found,) = misnamed(plant(tmp_path, tree))
        assert complaint in found


def test_a_metapackage_with_a_plugin_is_found(tmp_path: Path) -> None:
    tree = GOOD | {"contrib/covet/pyproject.toml": manifest("covet", plugin="covet = covet:All")}
    assert "has the entry points" in misnamed(plant(tmp_path, tree))[0]


def test_a_folder_without_metadata_or_readme_is_found(tmp_path: Path) -> None:
    tree = {
        "plugins/Odd_Name/pyproject.toml": manifest(
            "covet-Odd_Name", plugin="Odd_Name = covet_Odd_Name:Odd"
        ),
        "plugins/Odd_Name/src/covet_Odd_Name/__init__.py": '__all__ = ["Odd"]',
        "native/bare/csrc/bare.c": "",
    }
    assert misnamed(plant(tmp_path, tree)) == [
        "native/bare has no pyproject.toml",
        "plugins/Odd_Name is not one lower-case word, with dashes at most",
        "plugins/Odd_Name has no README.md",
    ]
