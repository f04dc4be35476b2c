"""`covet shards`, as it is typed; and processes of it that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest

from covet_cli import main

pytestmark = pytest.mark.once

CONFIG = """
[plugins."sqlite/a"]
path = "a.db"
[plugins."sqlite/b"]
path = "b.db"
[plugins.sharding]
shards = ["a", "b"]
home = "a"
buckets = 8
map_lifetime = 0.05
tables = [{ name = "orders", key = "customer" }]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "covet.toml").write_text(CONFIG, "utf-8")
    for name in "ab":
        with closing(connect(tmp_path / f"{name}.db")) as database, database:
            database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER)")
    return tmp_path


def shards(folder: Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    path = list(sys.path)
    capsys.readouterr()
    got = main(["shards", *words, "-c", str(folder / "covet.toml")])
    sys.path[:] = path
    out, err = capsys.readouterr()
    assert got == code, out + err
    return out + err


def customers(folder: Path, name: str) -> list[int]:
    with closing(connect(folder / f"{name}.db")) as database:
        return sorted(row[0] for row in database.execute("SELECT customer FROM orders"))


def fill(folder: Path, name: str, keys: range) -> None:
    with closing(connect(folder / f"{name}.db")) as database, database:
        database.executemany("INSERT INTO orders (customer) VALUES (?)", [(each,) for each in keys])


def test_the_words(folder, capsys) -> None:
    out = shards(folder, capsys, "status")
    assert "map 1 of 'hash 8'" in out
    rows = json.loads(shards(folder, capsys, "map", "--json"))
    assert [row["shard"] for row in rows] == ["a"] * 4 + ["b"] * 4
    [mine] = json.loads(shards(folder, capsys, "map", "--key", "42", "--json"))
    where = mine["shard"]
    fill(folder, where, range(42, 43))
    target = "b" if where == "a" else "a"
    out = shards(folder, capsys, "move", mine["bucket"], "--to", target)
    assert f"bucket {mine['bucket']} is on {target}" in out
    assert f"1 buckets moved to {target}, 1 rows" in out
    assert customers(folder, target) == [42]
    assert customers(folder, where) == []
    out = shards(folder, capsys, "move", "--all", "--from", target, "--to", where)
    assert "5 buckets moved" in out
    assert customers(folder, where) == [42]
    status = json.loads(shards(folder, capsys, "status", "--json"))
    assert {row["shard"]: row["buckets"] for row in status["shards"]} == {target: 0, where: 8}
    assert status["moves"] == []
    out = shards(folder, capsys, "move", "--all", "--count", "2", "--from", where, "--to", target)
    assert "2 buckets moved" in out
    assert "nothing to move" in shards(folder, capsys, "move", "--to", "a")
    assert "nothing is under way" in shards(folder, capsys, "resume")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["move", "99", "--to", "a"], "no bucket '99'"),
        (["move", "--all", "--to", "a"], "every bucket of one shard"),
        (["move", "1", "--to", "c"], "no shard 'c'"),
        (["status", "--sharding", "sharding/x"], "is not known"),
    ],
)
def test_mistakes(folder, capsys, words, problem) -> None:
    assert problem in shards(folder, capsys, *words, code=2)


def test_a_process_that_is_killed_is_gone_on_with(folder, capsys) -> None:
    found = json.loads(shards(folder, capsys, "map", "--json"))
    mine = {row["bucket"] for row in found if row["shard"] == "a"}
    from covet_sharding import hash_of

    keys = [each for each in range(400) if str(hash_of(each) % 8) in mine]
    for each in keys:
        fill(folder, "a", range(each, each + 1))
    command = [str(Path(sys.executable).with_name("covet")), "shards", "move", "--all"]
    mover = subprocess.Popen(
        [*command, "--from", "a", "--to", "b", "-c", str(folder / "covet.toml")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert mover.stdout is not None
    with mover.stdout:
        for line in mover.stdout:
            if "rows copied" in line:
                mover.send_signal(signal.SIGKILL)
    mover.wait()
    out = shards(folder, capsys, "status")
    if mover.returncode == -signal.SIGKILL:
        assert "a -> b: 0 of 4 buckets moved" in out
    shards(folder, capsys, "resume")
    assert customers(folder, "b") == keys
    assert customers(folder, "a") == []
