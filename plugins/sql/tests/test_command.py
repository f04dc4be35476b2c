"""`covet sql`, as it is typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from services import postgres

from covet_cli import main
from covet_sql.profile import write_report

TOP = {
    "count": 3, "rows": 3, "errors": 0, "cancelled": 0, "seconds": 0.25, "slowest": 0.2,
    "p50": 0.00005, "p95": 0.2, "p99": 0.2, "waits": 0, "waited": 0.0,
}  # fmt: skip
REPORT: dict[str, Any] = {
    "databases": {
        "sqlite": {
            "dialect": "sqlite",
            "statements": [
                {"shape": "SELECT title FROM books WHERE id = ?", **TOP},
                {"shape": "SELECT * FROM books", **TOP, "rows": 3000, "seconds": 2.0},
                {"shape": "BEGIN", **TOP, "seconds": 0.0},
            ],
            "slow": [],
            "issued": [
                {
                    "issuer": "shop.search",
                    "shape": "SELECT title FROM books WHERE id = ?",
                    "text": "SELECT title FROM books WHERE id = :id",
                    "calls": 1,
                    "statements": 40,
                    "most": 40,
                    "seconds": 0.1,
                },
                {
                    "issuer": "shop.all",
                    "shape": "SELECT * FROM books",
                    "text": "SELECT * FROM books",
                    "calls": 1,
                    "statements": 1,
                    "most": 1,
                    "seconds": 2.0,
                },
            ],
            "dropped": 0,
        }
    }
}


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a service's configuration and a report of it."""
    (tmp_path / "covet.toml").write_text(
        '[plugins.sql]\nreport = "report.json"\n[plugins.sqlite]\n', "utf-8"
    )
    write_report(tmp_path / "report.json", REPORT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_top(service: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sql", "top", "--limit", "2"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "DATABASE"
    assert first.endswith("SELECT * FROM books")
    assert " 250 ms " in second
    assert " 50 us " in second
    assert main(["sql", "top", "--json", "--sort", "count"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 3


def test_top_without_a_report(service: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (service / "report.json").write_text("[]", "utf-8")
    assert main(["sql", "top"]) == 2
    assert "COVET-SQL-REPORT" in capsys.readouterr().err
    assert main(["--set", "plugins.sql.report=", "sql", "top"]) == 2
    assert "writes no report" in capsys.readouterr().err
    assert main(["sql", "top", "--report", "nowhere.json"]) == 2
    (service / "report.json").write_text('{"databases": {}}', "utf-8")
    assert main(["sql", "top"]) == 0
    assert "no statements yet" in capsys.readouterr().out


def test_lint_of_what_was_recorded(service: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sql", "lint", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {(each["place"], each["rule"]) for each in found} == {
        ("shop.all", "select-star"),
        ("shop.all", "no-limit"),
        ("shop.search", "n-plus-one"),
    }
    (repeated,) = [each for each in found if each["rule"] == "n-plus-one"]
    assert "40 times in a call of shop.search" in repeated["why"]
    assert repeated["rewrite"]["text"] == "SELECT title, id FROM books WHERE id IN (:id_list)"
    assert main(["sql", "lint", "--fail", "error"]) == 0
    text = capsys.readouterr().out
    assert "shop.search:\n    SELECT title FROM books WHERE id = :id\n  warning n-plus-one" in text
    assert main(["sql", "lint", "--ignore", "n-plus-one", "--ignore", "no-limit"]) == 0


def test_lint_of_files(service: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (service / "a.sql").write_text("SELECT 1;\n\nDELETE FROM books;\n", "utf-8")
    assert main(["sql", "lint", "a.sql", "--fail", "error", "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["place"], found["rule"]) == ("a.sql:3", "every-row")
    assert main(["sql", "lint", "a.sql", "--fail", "never"]) == 0
    assert main(["sql", "lint", "--sql", "SELECT 1"]) == 0
    assert main(["sql", "lint", "none.sql"]) == 2
    assert main(["sql", "lint", "a.sql", "--ignore", "evry-row"]) == 2
    assert "Did you mean" in capsys.readouterr().err
    (service / "covet.toml").write_text("[plugins.sql]\n", "utf-8")
    assert main(["sql", "lint", "a.sql"]) == 2
    assert main(["sql", "lint", "a.sql", "--dialect", "postgresql"]) == 1


def test_explain_on_sqlite(service: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import apsw

    db = apsw.Connection("app.db")
    db.execute("CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT, author TEXT)")
    db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
        " INSERT INTO books SELECT i, 'title ' || i, 'author ' || i % 50 FROM n"
    )
    db.close()
    text = "SELECT title FROM books AS b WHERE b.author = :author LIMIT 5"
    assert main(["sql", "explain", text, "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert found["rule"] == "sequential-scan"
    assert found["rewrite"]["text"] == "CREATE INDEX ix_books_author ON books(author)"
    assert main(["sql", "explain", text, "--param", "author=author 3", "--plan"]) == 1
    assert "SCAN b" in capsys.readouterr().out
    assert main(["sql", "explain", text, "--rows", "5000"]) == 0
    assert "Nothing is wrong" in capsys.readouterr().out
    assert (
        main(["sql", "explain", "SELECT * FROM books WHERE id = 7", "--json", "--fail", "never"])
        == 0
    )
    (star,) = json.loads(capsys.readouterr().out)
    assert star["rewrite"]["text"] == "SELECT id, title, author FROM books WHERE id = 7"
    assert main(["sql", "explain", "DELETE FROM books WHERE id = 7", "SELECT nonsense"]) == 0
    assert "no plan" in capsys.readouterr().err
    assert main(["sql", "explain", "DELETE FROM books WHERE id = 7", "--writes"]) == 0
    assert main(["sql", "explain", "SELECT title FROM books WHERE id = 7", "--plan"]) == 0
    assert "SEARCH books" in capsys.readouterr().out
    assert main(["sql", "explain", "--database", "postgres", "SELECT 1"]) == 2


@pytest.fixture
def on_postgres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A service on PostgreSQL, with 20,000 books."""
    import psycopg

    with postgres.database() as url:
        (tmp_path / "covet.toml").write_text(
            f'[plugins.sql]\n[plugins.postgres]\nurl = "{url}"\n', "utf-8"
        )
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(
                "CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT, author TEXT, isbn TEXT)"
            )
            db.execute(
                "INSERT INTO books SELECT n, 'title ' || n || repeat('x', 300), 'author ' || n % 50,"
                " n::text FROM generate_series(1, 20000) n"
            )
            db.execute("ANALYZE books")
        monkeypatch.chdir(tmp_path)
        yield


@pytest.mark.usefixtures("on_postgres")
def test_explain_on_postgresql(capsys: pytest.CaptureFixture[str]) -> None:
    def rules(*words: str) -> dict[str, Any]:
        main(["sql", "explain", *words, "--json", "--fail", "never"])
        return {each["rule"]: each for each in json.loads(capsys.readouterr().out)}

    text = "SELECT title FROM books WHERE author = :author LIMIT 5"
    measured = rules(text.replace(" LIMIT 5", ""), "--param", "author=author 7")
    scan = measured["sequential-scan"]
    assert "19600 of 20000 rows of books" in scan["why"]
    assert scan["rewrite"]["text"] == "CREATE INDEX ON books(author)"
    assert "about 20000 rows" in rules(text)["sequential-scan"]["why"]
    assert rules("SELECT title FROM books WHERE id = :id", "--param", "id=7") == {}
    assert rules("SELECT title FROM books WHERE id = :id") == {}
    cast = rules("SELECT title FROM books WHERE isbn::numeric = 7 LIMIT 1")
    assert "function-on-column" in cast
    spilled = rules("SELECT title FROM books ORDER BY title, id")
    assert "spilled-sort" in spilled
    # What changes something is explained without being run, unless it is asked for: and undone.
    for more in ([], ["--writes"]):
        deleted = rules("DELETE FROM books WHERE author = 'author 7'", *more)
        assert ("19600 of 20000" in deleted["sequential-scan"]["why"]) is bool(more)
    assert (
        "19600 of 20000"
        in rules(text.replace(" LIMIT 5", ""), "--param", "author=author 7")["sequential-scan"][
            "why"
        ]
    )
