"""``covet outbox`` as it is typed."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from covet_cli import main

Start = Any
TOML = """
[plugins.sqlite]
path = "test.db"
[plugins.memory]
[plugins.outbox]
"""


@pytest.fixture
def covet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Types a command; gives what is printed."""
    (tmp_path / "covet.toml").write_text(TOML, "utf-8")
    path = list(sys.path)

    def typed(*words: str, code: int = 0) -> str:
        got = main(["outbox", *words, "-c", str(tmp_path / "covet.toml")])
        out, err = capsys.readouterr()
        assert got == code, out + err
        return out + err

    yield typed
    sys.path[:] = path


def fill(path: Path, covet: Any) -> None:
    with closing(sqlite3.connect(path / "test.db")) as database, database:
        database.executescript(covet("schema", "--dialect", "sqlite"))
        for number, state in enumerate([0, 1, 2, 2]):
            database.execute(
                "INSERT INTO covet_outbox (id, topic, message_key, headers, body, lane, stored, state,"
                " due, error) VALUES (?, ?, 'k', '{}', x'', 0, 1, ?, 9e15, ?)",
                (f"m{number}", "a" if number < 3 else "b", state, "no" if state else ""),
            )


def test_what_is_in_trouble_is_shown_tried_again_and_removed(tmp_path: Path, covet: Any) -> None:
    fill(tmp_path, covet)
    said = covet("status", code=1)
    assert "2 waiting" in said
    assert "2 dead" in said
    for word in ("m1", "m2", "m3", "dead", "waiting", "no"):
        assert word in said
    found = json.loads(covet("status", "--json", "--limit", "1", code=1))
    assert (found["waiting"], found["dead"]) == (2, 2)
    assert [each["id"] for each in found["messages"]] == ["m2"]
    assert "1 tried again" in covet("retry", "m2")
    assert json.loads(covet("purge", "--topic", "b", "--json")) == {"removed": 1}
    assert "1 tried again" in covet("retry", "--all")
    assert "3 waiting, the oldest for" in covet("status")


def test_which_messages_has_to_be_said(tmp_path: Path, covet: Any) -> None:
    assert "COVET-OUTBOX-WHICH" in covet("purge", code=2)


def test_without_tables_it_says_how_to_have_them(covet: Any) -> None:
    assert "COVET-OUTBOX-TABLES" in covet("status", code=2)
    assert "CREATE TABLE IF NOT EXISTS covet_outbox" in covet("schema")
