"""Many processes migrate at once, and one is killed on the way."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from covet_migrations._progress import progress

pytestmark = pytest.mark.once

Place = Any
PATIENCE = 60.0
# A table that is there already is an error, so every step has to run once.
STEP = """\
op.create_table("t_{0}", sa.Column("id", sa.Integer, primary_key=True))
op.execute("INSERT INTO t_{0} VALUES (1)")
"""


def wait_for(path: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < until, f"{path} is not written"
        time.sleep(0.01)


def test_many_processes_at_once_run_every_step_once(place: Place) -> None:
    below = None
    for number in range(6):
        below, above = f"r{number}", below
        place.add(below, STEP.format(number), below=above)
    processes = [place.start("upgrade") for _ in range(4)]
    said = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, "\n".join(said)
    assert place.version() == ["r5"]
    assert sum(text.count("done in") for text in said) >= 6
    assert [place.rows(f"SELECT count(*) FROM t_{number}") for number in range(6)] == [[(1,)]] * 6


WAITING = """\
import pathlib, time
op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
pathlib.Path({0!r}).write_text("here")
while not pathlib.Path({1!r}).exists():
    time.sleep(0.01)
"""


def test_a_kill_in_the_middle_leaves_the_step_before(place: Place) -> None:
    here, go = place.folder / "here", place.folder / "go"
    place.add("one", STEP.format("one"))
    place.add("two", WAITING.format(str(here), str(go)), below="one")
    process = place.start("upgrade")
    try:
        wait_for(here)
        second = place.start("upgrade")
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    try:
        go.write_text("go")
        # Whoever waited goes on: nobody's lock survives its holder.
        said = second.communicate(timeout=PATIENCE)[0]
    finally:
        second.kill()
        second.wait()
    assert second.returncode == 0, said
    assert place.version() == ["two"]
    assert "half" in place.tables()


def test_what_was_killed_is_not_there(place: Place) -> None:
    here = place.folder / "here"
    place.add("one", STEP.format("one"))
    place.add("two", WAITING.format(str(here), str(place.folder / "never")), below="one")
    process = place.start("upgrade")
    try:
        wait_for(here)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert place.version() == ["one"]
    assert "half" not in place.tables()


def test_waiting_has_a_limit(place: Place) -> None:
    here, go = place.folder / "here", place.folder / "go"
    place.add("one", WAITING.format(str(here), str(go)))
    path = '\npath = "app.db"\nbusy_timeout = 0.05'
    database = "" if place.url else f"[plugins.sqlite]{path}"
    place.configure("wait = 0.1", database=database)
    process = place.start("upgrade")
    try:
        wait_for(here)
        said = place.db("upgrade", code=1)
        assert "COVET-MIGRATION-LOCKED" in said
        go.write_text("go")
        assert process.communicate(timeout=PATIENCE)[0]
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
    assert place.version() == ["one"]


def test_a_table_in_use_is_not_waited_for_long(postgres_place: Place) -> None:
    place = postgres_place
    place.configure("lock_timeout = 0.05")
    place.add("one", "op.execute('CREATE TABLE t (id int)')")
    place.add("two", "op.add_column('t', sa.Column('more', sa.Integer))", below="one")
    place.db("upgrade", "one")
    with psycopg.connect(place.url) as other:
        other.execute("SELECT * FROM t")  # a transaction that has not ended
        said = place.db("upgrade", code=1)
        assert "lock timeout" in said
        assert "The database is at one, the step before" in said
    place.db("upgrade")
    assert place.version() == ["two"]


def test_an_index_is_built_beside_writers_while_others_wait_for_the_lock(
    postgres_place: Place,
) -> None:
    """Whoever waits holds no snapshot, for which CREATE INDEX CONCURRENTLY would wait in turn."""
    place = postgres_place
    here, go = place.folder / "here", place.folder / "go"
    place.add("one", "op.execute('CREATE TABLE t (id int)')")
    index = (
        "with op.get_context().autocommit_block():\n"
        "    op.create_index('i', 't', ['id'], postgresql_concurrently=True)\n"
    )
    place.add("two", WAITING.format(str(here), str(go)) + index, below="one")
    first = place.start("upgrade")
    wait_for(here)
    second = place.start("upgrade")
    try:
        line = second.stdout.readline()
        assert "waiting for it" in line, line
        go.write_text("go")
        said = first.communicate(timeout=PATIENCE)[0]
        assert first.returncode == 0, said
        second.communicate(timeout=PATIENCE)
        assert second.returncode == 0
    finally:
        for each in (first, second):
            each.kill()
            each.wait()
    assert place.version() == ["two"]


def test_a_connection_that_is_lost_is_told_of(postgres_place: Place) -> None:
    place = postgres_place
    place.add("one", "op.execute('SELECT pg_terminate_backend(pg_backend_pid())')")
    said = place.db("upgrade", code=1)
    assert "COVET-MIGRATION-FAILED" in said
    assert "The database is at base" in said, "which another connection has found out"
    assert place.version() == []


def test_long_steps_give_signs_of_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = threading.Event()
    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        if "still at it" in line:
            told.set()

    monkeypatch.setattr("covet_migrations._progress.EVERY", 0.001)
    with progress(report, "a step"):
        assert told.wait(PATIENCE)
    assert lines[0] == "a step"
    assert lines[-1].startswith("  done in")
