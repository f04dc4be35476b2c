"""What the example's README tells to type works, and what it says of the example is so."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from e2e.answers import CASES
from e2e.images import png
from e2e.service import EXAMPLE, Service, covet

from docs.pages import blocks
from docs.scenario import commands, curl

TEXT = (EXAMPLE / "README.md").read_text("utf-8")
TYPED = [
    command
    for block in blocks(TEXT)
    if block.language == "console"
    for command, _ in commands(block.text)
]

OFFLINE = ("covet openapi", "covet contract")
"""Commands for which nothing is started."""


def test_its_requests_are_answered(shop: Service, tmp_path: Path) -> None:
    (tmp_path / "cover.png").write_bytes(png())
    requests = [command for command in TYPED if command.startswith("curl ")]
    assert len(requests) >= 12
    for command in requests:
        words = shlex.split(command.replace("localhost:8000", f"127.0.0.1:{shop.port}"))
        head, _, body = curl([*words[1:], "-i"], tmp_path).partition("\n\n")
        assert re.match(r"HTTP/1\.1 20[014]", head), f"{command}\n{head}\n{body}"
        if "application/json" in head:
            assert json.loads(body), command


def test_its_program_calls_methods(shop: Service, tmp_path: Path) -> None:
    (program,) = [block.text for block in blocks(TEXT) if block.file == "ask.py"]
    (tmp_path / "ask.py").write_text(program.replace(":8000", f":{shop.port}"), "utf-8")
    assert "python ask.py" in TYPED
    done = subprocess.run(
        [sys.executable, "ask.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    order, problem = done.stdout.splitlines()
    assert "'total_cents': " in order
    assert problem == "invalid"


def test_its_commands_do_what_it_says(folder: Path) -> None:
    commands = [shlex.split(each) for each in TYPED if each.startswith(OFFLINE)]
    assert {words[1] for words in commands} == {"openapi", "contract"}
    for _, *words in commands:
        done = covet(*words, cwd=folder)
        assert done.returncode == 0, done.stderr


def test_its_table_has_every_route(folder: Path) -> None:
    rows = re.findall(r"^\| `([A-Z]+) ([^?`]+)", TEXT, re.MULTILINE)
    done = covet("openapi", "-c", str(folder / "covet.toml"))
    served = json.loads(done.stdout)["paths"]
    assert sorted(rows) == sorted(
        (method.upper(), path) for path, methods in served.items() for method in methods
    )
    asked = {(case.method, re.sub(r"\d+$", "{id}", case.path.partition("?")[0])) for case in CASES}
    assert asked >= {
        row for row in rows if not row[1].endswith(("/cover", "/events", "/bestsellers"))
    }


def test_every_file_it_names_is_there() -> None:
    table = TEXT.partition("## Where to look")[2]
    named = re.findall(r"`((?:\w+/)*\w+\.\w+)`", table)
    assert len(named) >= 6
    assert [name for name in named if not (EXAMPLE / name).is_file()] == []
