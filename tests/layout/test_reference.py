"""The reference is complete: a page for every error code and every plugin, and none left over."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

from layout.checkout import ROOT, distributions, expect_none, files, manifest, plant

CODE = r"COVET(?:-[A-Z0-9]+)+"
ERRORS = Path("docs", "reference", "errors")
PLUGINS = Path("docs", "reference", "plugins")


def codes(root: Path) -> set[str]:
    """Every error code of the catalogue, or that a string of a first-party source consists of."""
    found = set()
    for each in distributions(root):
        for source in each.sources():
            found |= {
                node.value
                for node in ast.walk(source.tree)
                if isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(CODE, node.value)
            }
        for path in files(each.path):
            if path.suffix in {".c", ".h"}:
                found |= set(re.findall(f'"({CODE})"', path.read_text("utf-8")))
            elif path.name == "catalogue.toml":
                found |= set(tomllib.loads(path.read_text("utf-8")))
    return found


def pages(folder: Path) -> dict[str, str]:
    """The pages of a folder of the reference by name, its index left out."""
    return {
        path.stem: path.read_text("utf-8")
        for path in sorted(folder.glob("*.md"))
        if path.name != "index.md"
    }


def unmatched_errors(root: Path) -> list[str]:
    """Codes without a page, pages without a code, and pages with another title."""
    known, written = codes(root), pages(root / ERRORS)
    return [
        *(f"{code} has no page" for code in sorted(known - written.keys())),
        *(f"{code} has a page, and nobody raises it" for code in sorted(written.keys() - known)),
        *(
            f"{code} has a page of another title"
            for code, text in written.items()
            if code not in text.partition("\n")[0]
        ),
    ]


def unmatched_plugins(root: Path) -> list[str]:
    """Plugins without a page, and pages without a plugin."""
    known = {each.id for each in distributions(root) if each.kind in ("plugins", "native")}
    written = pages(root / PLUGINS).keys()
    return [
        *(f"{name} has no page" for name in sorted(known - written)),
        *(f"{name} has a page, and is no plugin" for name in sorted(written - known)),
    ]


def test_every_error_code_has_a_page_and_every_page_a_code() -> None:
    expect_none(unmatched_errors(ROOT))


def test_every_plugin_has_a_page_and_every_page_a_plugin() -> None:
    expect_none(unmatched_plugins(ROOT))


def test_missing_and_left_over_error_pages_are_found(tmp_path: Path) -> None:
    tree = {
        "kernel/pyproject.toml": manifest("covet-kernel"),
        "kernel/src/covet_kernel/_a.py": 'x = "COVET-ONE-TWO"\ny = "see COVET-IN-PROSE"\nz = "COVET-FINE"',
        "native/engine/pyproject.toml": manifest("covet-engine"),
        "native/engine/csrc/engine.c": 'fail("COVET-IN-C");',
        "docs/reference/errors/index.md": "# Errors",
        "docs/reference/errors/COVET-FINE.md": "# COVET-FINE: it is\n",
        "docs/reference/errors/COVET-GONE.md": "# Another\n",
    }
    assert unmatched_errors(plant(tmp_path, tree)) == [
        "COVET-IN-C has no page",
        "COVET-ONE-TWO has no page",
        "COVET-GONE has a page, and nobody raises it",
        "COVET-GONE has a page of another title",
    ]


def test_missing_and_left_over_plugin_pages_are_found(tmp_path: Path) -> None:
    tree = {
        "plugins/http/pyproject.toml": manifest("covet-http"),
        "docs/reference/plugins/ftp.md": "# ftp",
    }
    assert unmatched_plugins(plant(tmp_path, tree)) == [
        "http has no page",
        "ftp has a page, and is no plugin",
    ]
