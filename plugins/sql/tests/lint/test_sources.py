"""Statements out of files, and out of reports."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from covet_sql.lint import Source, recorded, split


def test_files_are_split_at_semicolons() -> None:
    text = "-- first\nSELECT ';' ;\n\nSELECT :a -- ;\n, $$;$$;;\n  /* ; */ SELECT 3"
    assert list(split(text, "a.sql")) == [
        Source("-- first\nSELECT ';'", "a.sql:1"),
        Source("SELECT :a -- ;\n, $$;$$", "a.sql:4"),
        Source("/* ; */ SELECT 3", "a.sql:6"),
    ]
    assert list(split("  ; -- nothing\n ; ")) == []


@given(st.lists(st.sampled_from(["SELECT 1", "SELECT ';'", "SELECT :a", "SELECT ?"])))
def test_all_of_them_are_found(texts: list[str]) -> None:
    assert [each.text for each in split(";\n".join(texts))] == texts


def test_shapes_are_read_where_nothing_was_recorded() -> None:
    statements = [
        {"shape": "SELECT a FROM t WHERE b IN (?, ...)", "rows": 30, "count": 3},
        {"shape": "INSERT INTO t VALUES (?, ...), ...", "rows": 30, "count": 3},
        {"shape": "COMMIT", "rows": 0, "count": 3},
        {"shape": "(shapes that left to make room)", "rows": 0, "count": 0},
    ]
    assert list(recorded({"statements": statements})) == [
        Source("SELECT a FROM t WHERE b IN (?, ?)", rows=10),
        Source("INSERT INTO t VALUES (?, ?)", rows=10),
    ]
    issued = [
        {"shape": "COMMIT", "text": "COMMIT", "issuer": "shop.search"},
        {"shape": statements[0]["shape"], "text": "SELECT a", "issuer": "shop.search"},
    ]
    assert list(recorded({"statements": statements, "issued": issued})) == [
        Source("SELECT a", "shop.search", 10)
    ]
