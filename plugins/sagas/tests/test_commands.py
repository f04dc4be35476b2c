"""``covet sagas`` as it is typed, and what is kept of sagas that are over."""

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
from covet_sagas import Saga, Step
from covet_sagas._tables import make_ready
from covet_sagas._upkeep import look, sweep

Start = Any
Script = Any
TOML = """
[plugins.sqlite]
path = "test.db"
[plugins.sagas]
"""


@pytest.fixture
def covet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Types a command; gives what is printed."""
    (tmp_path / "covet.toml").write_text(TOML, "utf-8")
    path = list(sys.path)

    def typed(*words: str, code: int = 0) -> str:
        got = main(["sagas", *words, "-c", str(tmp_path / "covet.toml")])
        out, err = capsys.readouterr()
        assert got == code, out + err
        return out + err

    yield typed
    sys.path[:] = path


def fill(path: Path, covet: Any) -> None:
    with closing(sqlite3.connect(path / "test.db")) as database, database:
        database.executescript(covet("schema", "--dialect", "sqlite"))
        for number, state in enumerate([0, 1, 2, 3, 4]):
            database.execute(
                "INSERT INTO covet_sagas (id, name, state, was, step, data, attempts, fence, due,"
                " started, changed, ends, error) VALUES (?, 'trip', ?, 1, 'car', '[]', 2, 1, 5, 1, 1, 0, ?)",
                (f"s{number}", state, "closed" if state == 4 else ""),
            )
        database.execute(
            "INSERT INTO covet_saga_log (saga, happened, event, step, attempt, error)"
            " VALUES ('s4', 1501, 'parked', 'car', 2, 'closed')"
        )


def test_what_needs_attention_is_shown_and_goes_on(tmp_path: Path, covet: Any) -> None:
    fill(tmp_path, covet)
    said = covet("list", code=1)
    assert "5 shown; 1 parked" in said
    for word in ("running", "undoing", "done", "undone", "parked", "closed"):
        assert word in said
    found = json.loads(covet("list", "--state", "parked", "--json", code=1))
    assert [each["id"] for each in found["sagas"]] == ["s4"]
    assert "1.5 s" in covet("show", "s4")
    shown = json.loads(covet("show", "s4", "--json"))
    assert (shown["state"], shown["log"][0]["event"]) == ("parked", "parked")
    assert "0 resumed" in covet("retry", "s1")
    assert json.loads(covet("retry", "--all", "--json")) == {"resumed": 1}
    assert json.loads(covet("show", "s4", "--json"))["state"] == "undoing"
    assert "0 parked" in covet("list")


def test_which_saga_has_to_be_said_and_to_be_there(tmp_path: Path, covet: Any) -> None:
    assert "COVET-SAGAS-WHICH" in covet("retry", code=2)
    fill(tmp_path, covet)
    assert "COVET-SAGAS-WHICH" in covet("show", "nothing", code=2)


def test_without_tables_it_says_how_to_have_them(covet: Any) -> None:
    assert "COVET-SAGAS-TABLES" in covet("list", code=2)
    assert "CREATE TABLE IF NOT EXISTS covet_sagas" in covet("schema")


async def test_sagas_are_counted_and_go_in_time(start: Start, script: Script) -> None:
    saga = Saga("short", list[str], Step("one", script.act("one")))
    async with start(saga) as service:
        await make_ready(service.db, make=True)
        assert (await service.run(saga, [])).state == "done"
        assert not await sweep(service.db, 1000)
        await service.db.execute("UPDATE covet_sagas SET due = 1")
        assert not await sweep(service.db, 1000)
        for table in ("covet_sagas", "covet_saga_log"):
            assert await service.db.fetch_value(f"SELECT count(*) AS n FROM {table}") == 0
    async with start(run=False) as service:
        assert vars(await look(service.db)) == {"running": 0, "undoing": 0, "parked": 0, "lag": 0.0}
        for state in (0, 1, 4):
            identifier = await service.start(saga, [])
            await service.db.execute(
                "UPDATE covet_sagas SET state = ?, due = due - 90000 WHERE id = ?",
                (state, identifier),
            )
        found = await look(service.db)
        assert (found.running, found.undoing, found.parked) == (1, 1, 1)
        assert found.lag >= 90
