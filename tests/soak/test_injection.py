"""sqlmap against every route of the bookshop that reaches SQL, and against one that is open to it."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from e2e.service import SCRIPTS, bookshop

LEVEL, RISK = 3, 2
"""Of sqlmap's 5 and 3: headers are tried as well; what is left are statements that change rows."""
SENT = re.compile(r"(\d+) times")
BOOK = {
    "title": "a title", "author": "an author", "published": 1900, "language": "en",
    "price_cents": 100, "stock": 1,
}  # fmt: skip

ROUTES: dict[str, list[str]] = {
    "search": ["-u", "/books?q=the&limit=2&offset=1"],
    "book": ["-u", "/books/1*"],
    "author": ["-u", "/authors/1*"],
    "report": ["-u", "/reports/bestsellers?limit=5"],
    "order": ["-u", "/orders/1*"],
    "cover": ["-u", "/books/1*/cover"],
    "change": ["-u", "/books/1*", "--method", "PATCH", "--data", json.dumps({"stock": 5})],
    "add": ["-u", "/books", "--data", json.dumps(BOOK)],
    "buy": ["-u", "/orders", "--data", json.dumps([{"book_id": 1, "quantity": 1}])],
    "buy again": [
        "-u", "/orders", "--data", json.dumps([{"book_id": 1, "quantity": 1}]),
        "--header", "Idempotency-Key: a-key*",
    ],
}  # fmt: skip
"""What sqlmap is told of each: a ``*`` marks what it would not find out by itself."""


def attack(port: int, options: list[str], folder: Path) -> str:
    """What sqlmap has to say when it has tried everything."""
    address = [
        f"http://127.0.0.1:{port}{each}" if each.startswith("/") else each for each in options
    ]
    ran = subprocess.run(
        [
            str(SCRIPTS / "sqlmap"), *address, "--batch", "--disable-coloring",
            "--flush-session", "--output-dir", str(folder / "sqlmap"), "--level", str(LEVEL),
            "--risk", str(RISK), "--headers", "Content-Type: application/json",
            "--ignore-code", "*",
        ],
        check=False,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize("route", ROUTES)
def test_sqlmap_finds_nothing(
    route: str, folder: Path, record_property: Callable[[str, Any], None]
) -> None:
    service = bookshop(folder, "asyncio")
    with service:
        service.request("POST", "/orders", json=[{"book_id": 1, "quantity": 1}])
        said = attack(service.port, ROUTES[route], folder)
        assert "500 (Internal Server Error)" not in said, said
        assert "all tested parameters do not appear to be injectable" in said, said
        assert service.request("GET", "/books/1").status_code == 200
        assert service.stop() == 0, service.output
    assert "Traceback" not in service.output
    record_property("refused", f"{sum(int(each) for each in SENT.findall(said)):,}")


class Careless(BaseHTTPRequestHandler):
    """Writes what it is sent into its SQL."""

    database: sqlite3.Connection
    lock = threading.Lock()

    def do_GET(self) -> None:
        wanted = parse_qs(urlsplit(self.path).query).get("id", ["1"])[0]
        try:
            with self.lock:
                rows = self.database.execute(
                    f"SELECT title FROM books WHERE id = {wanted}"
                ).fetchall()
            body, status = json.dumps(rows).encode(), 200
        except sqlite3.Error as error:
            body, status = str(error).encode(), 500
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def careless() -> Iterator[int]:
    """The port of a service that is open to injection."""
    Careless.database = sqlite3.connect(":memory:", check_same_thread=False)
    Careless.database.executescript(
        "CREATE TABLE books (id INTEGER PRIMARY KEY, title); INSERT INTO books (title) VALUES ('Emma')"
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), Careless) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_address[1]
        server.shutdown()
        serving.join()
    Careless.database.close()


def test_sqlmap_would_find_it(careless: int, tmp_path: Path) -> None:
    said = attack(careless, ["-u", "/?id=1"], tmp_path)
    assert "Parameter: id (GET)" in said, said
