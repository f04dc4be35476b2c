"""The server ends with the tests, however they end; where there is none, CI says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pymysql
import pytest
from services import mariadb

START = """
import signal, sys
from services import mariadb
server = mariadb.MariaDbServer()
server.start()
print(server.port, server._folder, flush=True)
signal.pause()
"""


def test_a_killed_process_leaves_no_server_behind() -> None:
    mariadb.skip_without_mariadb()
    if os.environ.get(mariadb.VARIABLE):
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
        mariadb.connect(f"mysql://root@127.0.0.1:{port}/").close()
        process.kill()
    until = time.monotonic() + 30
    while True:
        try:
            mariadb.connect(f"mysql://root@127.0.0.1:{port}/").close()
        except pymysql.MySQLError:
            break
        assert time.monotonic() < until, "the server is still there"
        time.sleep(0.05)
    shutil.rmtree(folder)


def test_each_test_has_an_empty_database() -> None:
    seen = set()
    for _ in range(2):
        with mariadb.database() as url:
            assert mariadb.run(url, "SHOW TABLES") == []
            mariadb.run(url, "CREATE TABLE left_over (a INTEGER)")
            seen.add(url)
    assert len(seen) == 1


def test_what_a_test_has_left_open_is_ended() -> None:
    with mariadb.database() as url:
        left = mariadb.connect(url)
    with pytest.raises(pymysql.MySQLError):
        left.ping(reconnect=False)


def test_what_a_test_has_left_prepared_is_rolled_back() -> None:
    mariadb.skip_without_mariadb()
    with mariadb.database() as url:
        mariadb.run(url, "CREATE TABLE locked (a INTEGER) ENGINE=InnoDB")
        left = mariadb.connect(url)
        with left.cursor() as cursor:
            for each in ("START", "END", "PREPARE"):
                cursor.execute(f"XA {each} X'ff27',X'00',7")
                if each == "START":
                    cursor.execute("INSERT INTO locked VALUES (1)")
    with mariadb.database() as url:
        assert mariadb.run(url, "XA RECOVER") == []
        assert mariadb.run(url, "SHOW TABLES") == []


def test_without_a_server_tests_are_skipped_but_in_ci_they_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> str:
        raise mariadb.MariaDbMissing("there is none")

    monkeypatch.setattr(mariadb, "program", missing)
    monkeypatch.delenv(mariadb.VARIABLE, raising=False)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="there is none"):
        mariadb.skip_without_mariadb()
    monkeypatch.setenv("CI", "1")
    with pytest.raises(mariadb.MariaDbMissing):
        mariadb.skip_without_mariadb()
    monkeypatch.setenv(mariadb.VARIABLE, "mysql://elsewhere/")
    mariadb.skip_without_mariadb()
