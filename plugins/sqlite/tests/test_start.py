"""What is wrong with a database is said at the start: what, where, and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import anyio
import pytest

from covet_kernel import ConfigurationError, flatten
from covet_kernel.contracts import SQL, SqlUnavailableError
from covet_kernel.testing import run_kernel
from covet_sqlite import Sqlite

OPEN = """
import os, sys, anyio
from pathlib import Path
from covet_kernel import flatten
from covet_kernel.testing import run_kernel
from covet_sqlite import Sqlite

async def main(folder):
    async with run_kernel({"sqlite": Sqlite}, directory=Path(folder)):
        pass

anyio.run(main, sys.argv[1])
if os.getuid() == 0:  # root may write anywhere: leave its rights behind
    os.seteuid(65534)
try:
    anyio.run(main, sys.argv[2])
except BaseExceptionGroup as group:
    print([error.code for error in flatten(group)])
"""


async def refusal(folder: Path, **config: object) -> ConfigurationError:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with run_kernel({"sqlite": Sqlite}, {"sqlite": config}, directory=folder):
            pass
    (error,) = flatten(caught.value)
    assert isinstance(error, ConfigurationError)
    assert error.place == "[plugins.sqlite] path"
    assert error.fix
    return error


async def test_there_is_no_such_folder(tmp_path: Path) -> None:
    error = await refusal(tmp_path, path="no/where.db")
    assert error.code == "COVET-SQLITE-FOLDER"
    assert str(tmp_path / "no") in error.problem
    assert os.listdir(tmp_path) == []


async def test_the_path_is_a_folder(tmp_path: Path) -> None:
    assert (await refusal(tmp_path, path=".")).code == "COVET-SQLITE-OPEN"


@pytest.mark.parametrize(
    "content",
    [b"not a database, but long enough to be one" * 100, b"SQLite format 3\0" + b"\xff" * 4096],
    ids=["text", "header"],
)
async def test_the_file_is_no_database(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "app.db").write_bytes(content)
    error = await refusal(tmp_path)
    assert error.code == "COVET-SQLITE-FORMAT"
    assert (tmp_path / "app.db").read_bytes() == content


async def test_a_part_of_the_file_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    async with run_kernel({"sqlite": Sqlite}, directory=tmp_path) as kernel:
        db = kernel.require(SQL)
        await db.execute("CREATE TABLE t (a TEXT)")
        await db.execute_many("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 200)
    whole = file.read_bytes()
    file.write_bytes(whole[:8192] + b"\xa5" * (len(whole) - 8192))
    async with run_kernel({"sqlite": Sqlite}, directory=tmp_path) as kernel:
        with pytest.raises(SqlUnavailableError) as caught:
            await kernel.require(SQL).fetch_all("SELECT * FROM t")
        assert caught.value.sqlstate == "08001"


def test_the_folder_is_read_only(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    bad.mkdir(mode=0o555)
    for parent in (tmp_path, *tmp_path.parents[:3]):
        if parent.stat().st_uid == os.getuid() and parent != Path(tempfile.gettempdir()):
            parent.chmod(0o755)
    ran = subprocess.run(
        [sys.executable, "-c", OPEN, str(good), str(bad)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    bad.chmod(0o755)
    assert ran.stdout == "['COVET-SQLITE-OPEN']\n", ran.stderr


async def test_another_process_keeps_it_locked(tmp_path: Path) -> None:
    keep = (
        "import apsw, os, sys; c = apsw.Connection(sys.argv[1]); c.execute('CREATE TABLE t (a)');"
        "c.execute('BEGIN EXCLUSIVE'); os.write(1, b'locked'); sys.stdin.read()"
    )
    command = [sys.executable, "-c", keep, str(tmp_path / "app.db")]
    async with await anyio.open_process(command, stderr=None) as other:
        assert other.stdout is not None
        assert await other.stdout.receive() == b"locked"
        error = await refusal(tmp_path, busy_timeout=0.05)
        assert other.stdin is not None
        await other.stdin.aclose()
        await other.wait()
    assert error.code == "COVET-SQLITE-LOCKED"
    async with run_kernel({"sqlite": Sqlite}, directory=tmp_path) as kernel:
        assert await kernel.require(SQL).fetch_all("SELECT * FROM t") == []


async def test_wrong_keys_are_refused_together(tmp_path: Path) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        wrong = {"path": "a\0b", "readers": 0, "busy_timeout": -1, "synchronous": "off", "pool": 3}
        async with run_kernel({"sqlite": Sqlite}, {"sqlite": wrong}, directory=tmp_path):
            pass
    errors = "\n".join(map(str, flatten(caught.value)))
    assert all(key in errors for key in wrong)


def workers() -> int:
    return sum(thread.name.startswith("covet-sqlite") for thread in threading.enumerate())


async def test_starts_and_stops_leave_no_thread_and_no_file_behind(tmp_path: Path) -> None:
    assert workers() == 0
    for _ in range(20):
        async with run_kernel({"sqlite": Sqlite}, directory=tmp_path) as kernel:
            await kernel.require(SQL).fetch_all("SELECT 1")
            assert workers() == 2
        left = os.listdir(tmp_path)
        assert left == ["app.db"]
    for _ in range(5):
        (tmp_path / "other.db").write_bytes(b"no database" * 100)
        await refusal(tmp_path, path="other.db")
    assert workers() == 0


async def test_first_starts_at_once_wait_for_each_other(tmp_path: Path) -> None:
    async def start(name: str) -> None:
        async with run_kernel({"sqlite": Sqlite}, {"sqlite": {"path": name}}, directory=tmp_path):
            pass

    for number in range(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(start, f"new{number}.db")
