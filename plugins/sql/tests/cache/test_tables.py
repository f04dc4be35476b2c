"""Which tables a statement reads and writes; where it is not sure, all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_sql.cache import ANY, Touched, touched

READS = [
    ("SELECT a FROM t", "t"),
    ("SELECT a FROM s.T AS x JOIN u ON u.a = x.a", "t u"),
    (
        "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = ?) AND b IN (SELECT b FROM v)",
        "t u v",
    ),
    ("SELECT a FROM t UNION ALL SELECT a FROM u", "t u"),
    ("SELECT (SELECT count(*) FROM u) FROM t", "t u"),
    ("WITH c AS (SELECT a FROM t) SELECT a FROM c JOIN u USING (a)", "t u"),
    ("WITH t AS (SELECT a FROM t) SELECT a FROM t", "t"),
    ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n, t", "t"),
    ("SELECT a FROM t WHERE b = :b LIMIT :many", "t"),
    ('SELECT "A" FROM "My Table"', "my table"),
    ("SELECT 1", ""),
    ("SELECT total_of(a) FROM t", ANY),
    ("SELECT a FROM rows_of(1)", ANY),
]
WRITES = [
    ("INSERT INTO t (a) VALUES (?)", "t"),
    ("INSERT INTO s.t SELECT a FROM u", "t"),
    ("INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = excluded.a RETURNING a", "t"),
    ("UPDATE t SET a = (SELECT max(a) FROM u)", "t"),
    ("DELETE FROM t WHERE a IN (SELECT a FROM u)", "t"),
    ("CREATE INDEX i ON t (a)", ANY),
    ("DROP TABLE t", ANY),
    ("ALTER TABLE t ADD COLUMN b INT", ANY),
    ("VACUUM", ANY),
    ("SELEKT", ANY),
    ("SELECT 1; DELETE FROM t", ANY),
    ("(((", ANY),
    ("", ANY),
]
POSTGRES = [
    ("WITH x AS (DELETE FROM t RETURNING a) INSERT INTO u SELECT a FROM x", "t u"),
    ("UPDATE t SET a = u.a FROM u WHERE u.b = t.b", "t"),
    ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "t"),
    ("SELECT a INTO v FROM t", ANY),
    ("TRUNCATE t", ANY),
    ("REFRESH MATERIALIZED VIEW v", ANY),
    ("SET search_path = s", ANY),
    ("COPY t FROM STDIN", ANY),
]
MYSQL = [
    ("UPDATE t JOIN u ON t.a = u.a SET u.b = 1", "t u"),
    ("DELETE t, u FROM t JOIN u ON t.a = u.a", "t u"),
    ("REPLACE INTO t VALUES (1)", ""),
]


def names(text: str) -> frozenset[str]:
    return frozenset([text] if text == "my table" else text.split())


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize(("text", "tables"), READS)
def test_reads(text: str, tables: str, dialect: str) -> None:
    assert touched(text, dialect) == Touched(names(tables), frozenset())


@pytest.mark.parametrize(("text", "tables"), WRITES)
def test_writes(text: str, tables: str) -> None:
    for dialect in ("sqlite", "postgresql"):
        found = touched(text, dialect)
        assert (ANY if ANY in found.writes else found.writes) in (names(tables), tables)
        assert not found.may_be_kept


@pytest.mark.parametrize(
    ("text", "tables", "dialect"),
    [*((*each, "postgresql") for each in POSTGRES), *((*each, "mysql") for each in MYSQL)],
)
def test_writes_of_one_dialect(text: str, tables: str, dialect: str) -> None:
    writes = touched(text, dialect).writes
    assert ANY in writes or (tables and names(tables) <= writes)


def test_what_locks_is_not_to_be_kept() -> None:
    found = touched("SELECT a FROM t FOR UPDATE", "postgresql")
    assert (found.reads, found.locks, found.may_be_kept) == ({"t"}, True, False)


def test_question_marks_are_read_as_covet_reads_them() -> None:
    assert touched("SELECT a FROM t WHERE data ?? 'k' AND b = ?", "postgresql").reads == {"t"}
    assert touched("SELECT a FROM t WHERE data ? 'k' AND b = :b", "postgresql").reads == {"t"}
    assert touched("SELECT a FROM t WHERE a = ? AND b = ?", "postgresql").reads == {"t"}


@given(st.text(), st.sampled_from(["sqlite", "postgresql", "mysql"]))
def test_no_text_is_too_odd(text: str, dialect: str) -> None:
    found = touched(text, dialect)
    assert found.writes or found.may_be_kept or found.locks
