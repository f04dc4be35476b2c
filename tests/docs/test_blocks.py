"""Every Python, TOML and JSON block of every page is at least well formed."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docs.pages import blocks, pages
from layout.checkout import ROOT, expect_none, plant

PARSERS: dict[str, Callable[[str], Any]] = {
    "python": ast.parse,
    "toml": tomllib.loads,
    "json": json.loads,
}


def malformed(root: Path) -> list[str]:
    """Blocks that do not parse."""
    wrong = []
    for page in pages(root):
        for block in blocks(page.read_text("utf-8")):
            try:
                PARSERS.get(block.language, str)(block.text)
            except (SyntaxError, ValueError) as error:
                wrong.append(f"{page.relative_to(root)}:{block.line} {block.language}: {error}")
    return wrong


def test_blocks_are_well_formed() -> None:
    expect_none(malformed(ROOT))


def test_malformed_blocks_are_found(tmp_path: Path) -> None:
    text = "```python\ndef f(:\n```\n\n```toml\na = \n```\n```json\n{}\n```\n```json\n{]\n```\n"
    found = malformed(plant(tmp_path, {"a.md": text}))
    assert [line.partition(" ")[2].partition(":")[0] for line in found] == [
        "python",
        "toml",
        "json",
    ]
    assert [line.partition(" ")[0] for line in found] == ["a.md:2", "a.md:6", "a.md:12"]
