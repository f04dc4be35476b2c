"""Money moves by messages and by sagas while the processes that move it are killed: none is lost or made."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from services import mariadb, postgres
from soak.paying import ACCOUNTS, FileBroker

FUNDS = 1000
SCRIPT = Path(__file__).with_name("paying.py")
SETUP = (
    "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, sent INTEGER NOT NULL)",
    "CREATE TABLE given (id VARCHAR(100) PRIMARY KEY, undone INTEGER NOT NULL DEFAULT 0)",
    *(f"INSERT INTO accounts VALUES ({number}, {FUNDS}, 0)" for number in range(ACCOUNTS)),
)


class Bank:
    """The database, past everything, and the processes that work on it."""

    def __init__(self, kind: str, table: dict[str, Any], folder: Path, backend: str) -> None:
        self._kind = kind
        self._table = table
        self._words = [kind, json.dumps(table), str(folder), backend]
        self._folder = folder
        self.messages = folder / "messages"
        self.messages.touch()

    def rows(self, *statements: str) -> list[tuple[Any, ...]]:
        """The rows of the last of some statements."""
        if self._kind == "mysql":
            return mariadb.run(self._table["url"], *statements)
        if self._kind == "sqlite":
            path = self._folder / self._table["path"]
            with closing(sqlite3.connect(path, timeout=60)) as database, database:
                found: list[tuple[Any, ...]] = []
                for statement in statements:
                    found = database.execute(statement).fetchall()
                return found
        with psycopg.connect(self._table["url"]) as connection:
            *others, last = statements
            for statement in others:
                connection.execute(statement.encode())
            cursor = connection.execute(last.encode())
            return cursor.fetchall() if cursor.description else []

    def process(self, what: str) -> subprocess.Popen[str]:
        """One that works, or settles."""
        paths = str(SCRIPT.parents[1])
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), *self._words, what],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )


@contextmanager
def bank(kind: str, folder: Path, backend: str) -> Iterator[Bank]:
    """A bank on a database of that kind."""
    if kind == "sqlite":
        yield Bank(kind, {"path": "bank.db", "busy_timeout": 30}, folder, backend)
        return
    with (postgres if kind == "postgres" else mariadb).database() as url:
        yield Bank(kind, {"url": url}, folder, backend)


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
def test_kills_neither_lose_nor_make_money(
    kind: str,
    anyio_backend_name: str,
    tmp_path: Path,
    unfinished: Callable[[], bool],
    record_property: Callable[[str, Any], None],
) -> None:
    kills = 0
    with bank(kind, tmp_path, anyio_backend_name) as it:
        it.rows(*SETUP)
        while unfinished() or not kills:
            workers = [it.process("work") for _ in range(2)]
            for each in workers:
                assert each.stdout is not None
                said = each.stdout.readline()
                assert said == "up\n", each.communicate()[1]
            time.sleep(random.uniform(0.5, 4))
            for each in workers:
                each.kill()
                _, errors = each.communicate()
                assert "Traceback" not in errors, errors
                kills += 1
        settling = it.process("settle")
        _, errors = settling.communicate()
        assert settling.returncode == 0, errors
        ((total,),) = it.rows("SELECT sum(balance) FROM accounts")
        sent = dict(it.rows("SELECT id, sent FROM accounts"))
        sagas = dict(it.rows("SELECT state, count(*) FROM covet_sagas GROUP BY state"))
    assert total == ACCOUNTS * FUNDS
    # Every message once at least, and the first times of a key in the order of its transactions.
    lines, _ = FileBroker(it.messages).lines(0)
    firsts = {line.headers["message-id"]: line for line in reversed(lines)}
    order: dict[str, list[int]] = {f"{number}": [] for number in sent}
    for line in reversed(firsts.values()):
        assert line.key is not None
        order[line.key].append(json.loads(line.body)["number"])
    assert order == {f"{number}": [*range(1, count + 1)] for number, count in sent.items()}
    assert sagas.keys() <= {2, 3}
    record_property("kills", kills)
    record_property("messages", f"{len(firsts):,}, {len(lines) - len(firsts):,} of them again")
    record_property("sagas", f"{sagas.get(2, 0):,} done, {sagas.get(3, 0):,} undone")
