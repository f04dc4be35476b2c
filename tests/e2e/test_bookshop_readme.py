"""What the example's README tells to type works, and what it says of the example is so."""

from __future__ import annotations

import json
import re
import shlex

from e2e.answers import CASES
from e2e.service import EXAMPLE, Service

from docs.pages import blocks
from docs.scenario import commands, curl

TEXT = (EXAMPLE / "README.md").read_text("utf-8")
TYPED = [
    command
    for block in blocks(TEXT)
    if block.language == "console"
    for command, _ in commands(block.text)
]


def test_its_requests_are_answered(shop: Service) -> None:
    requests = [command for command in TYPED if command.startswith("curl ")]
    assert len(requests) >= 6
    for command in requests:
        words = shlex.split(command.replace("localhost:8000", f"127.0.0.1:{shop.port}"))
        head, _, body = curl([*words[1:], "-i"]).partition("\n\n")
        assert re.match(r"HTTP/1\.1 20[01]", head), f"{command}\n{head}\n{body}"
        assert json.loads(body), command


def test_its_table_has_every_route() -> None:
    rows = re.findall(r"^\| `([A-Z]+) (/\w+)(/\{id\})?", TEXT, re.MULTILINE)
    asked = {
        (case.method, match[1], bool(match[2]))
        for case in CASES
        if (match := re.match(r"(/\w+)(/[^?]+)?", case.path))
    }
    assert {(method, path, bool(rest)) for method, path, rest in rows} == asked


def test_every_file_it_names_is_there() -> None:
    table = TEXT.partition("## Where to look")[2]
    named = re.findall(r"`((?:\w+/)?\w+\.\w+)`", table)
    assert len(named) >= 6
    assert [name for name in named if not (EXAMPLE / name).is_file()] == []
