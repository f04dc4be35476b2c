"""Which characters of a text are parameters for this server, and what its words tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_kernel.contracts import SqlError
from covet_mysql._statement import MysqlStatement


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("a = ? AND b = :x", "a = ? AND b = ?"),
        ("a = :x OR b = :y OR c = :x", "a = ? OR b = ? OR c = ?"),
        ("'?', ':x', 'it''s ?', :a", "'?', ':x', 'it''s ?', ?"),
        (r"'\', :a", r"'\', ?"),
        ('"?" "a"":x" :a', '"?" "a"":x" ?'),
        ("`?` `a``:x` :a", "`?` `a``:x` ?"),
        ("# ? :x 'a\n:a", "# ? :x 'a\n?"),
        ("-- :x 'a\n:a", "-- :x 'a\n?"),
        ("1--:a", "1--?"),
        ("--", "--"),
        ("/* :x /* ' */ :a", "/* :x /* ' */ ?"),
        ("/*! :a */ /*M!100100 :b */", "/*! ? */ /*M!100100 ? */"),
        ("@x := :a, @y:=:b", "@x := ?, @y:=?"),
        ("$$ :a $$", "$$ ? $$"),
        ("E'\\' :a", "E'\\' ?"),
        ("x'3f', _utf8mb4':x', :a", "x'3f', _utf8mb4':x', ?"),
        ("'never closed :a", "'never closed ?"),
        ("/* never closed :a", "/* never closed :a"),
    ],
)
def test_parameters_are_found_where_they_are(text: str, sent: str) -> None:
    assert MysqlStatement(text).sql == sent


def test_a_name_has_its_value_in_every_place() -> None:
    statement = MysqlStatement(":a :b :a")
    assert (statement.count, statement.marks) == (2, 3)
    assert statement.values({"a": 1, "b": 2, "c": 3}) == [1, 2, 1]
    assert MysqlStatement("? ?").values((1, 2)) == (1, 2)


@given(st.text(alphabet="?:'\"`#$-/*!M\\ ab1\n", max_size=60))
def test_any_text_is_read(text: str) -> None:
    statement = MysqlStatement(text)
    assert statement.marks >= statement.count
    assert statement.sql.count("?") >= statement.marks


def test_a_text_is_read_in_time_that_grows_with_its_length() -> None:
    for part in ("'", '"', "`", "#", "/*", "*/", "/*!", "?", ":a", "-- ", "''", "(", "SET ", " "):
        MysqlStatement(part * 20_000)


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN", " -- now\n begin", "START TRANSACTION", "COMMIT", "commit and chain", "ROLLBACK",
        "/* x */ ROLLBACK WORK", "XA START 'x'", "XA COMMIT 'x'", "SET autocommit = 0",
        "SET @a = 1, SESSION autocommit = 1", "SET @@session.autocommit=1", "START  TRANSACTION READ ONLY",
    ],
)  # fmt: skip
def test_what_begins_or_ends_a_transaction(text: str) -> None:
    for within in (False, True):
        with pytest.raises(SqlError) as caught:
            MysqlStatement(text).check(within=within)
        assert caught.value.sqlstate == "25001"


@pytest.mark.parametrize(
    "text",
    [
        "ROLLBACK TO SAVEPOINT a", "rollback work to a", "SAVEPOINT a", "RELEASE SAVEPOINT a",
        "SELECT 'COMMIT'", "UPDATE beginning SET a = 1", "BEGIN NOT ATOMIC SELECT 1; END",
        "SELECT 1 AS autocommit", "START SLAVE",
    ],
)  # fmt: skip
def test_what_does_not(text: str) -> None:
    MysqlStatement(text).check(within=True)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE x (a INT)", "create or replace view v as select 1", "ALTER TABLE x ADD b INT",
        "DROP TABLE x", "TRUNCATE x", "TRUNCATE TABLE x", "RENAME TABLE a TO b", "GRANT ALL ON *.* TO a",
        "LOCK TABLES a READ", "UNLOCK TABLES", "ANALYZE TABLE x", "ANALYZE LOCAL TABLE x",
        "OPTIMIZE TABLE x", "FLUSH TABLES", "CREATE INDEX i ON x (a)",
    ],
)  # fmt: skip
def test_what_would_commit_a_transaction(text: str) -> None:
    statement = MysqlStatement(text)
    statement.check(within=False)
    with pytest.raises(SqlError, match="commit") as caught:
        statement.check(within=True)
    assert caught.value.sqlstate == "25001"


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TEMPORARY TABLE x (a INT)", "CREATE OR REPLACE TEMPORARY TABLE x (a INT)",
        "DROP TEMPORARY TABLE x", "ANALYZE SELECT 1", "ANALYZE FORMAT=JSON SELECT 1",
        "SELECT created FROM x", "INSERT INTO x VALUES ('DROP TABLE x')",
    ],
)  # fmt: skip
def test_what_would_not(text: str) -> None:
    MysqlStatement(text).check(within=True)


@pytest.mark.parametrize(
    "text",
    [
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE x",
        "load xml low_priority local infile 'x' into table x",
    ],
)
def test_files_of_the_clients(text: str) -> None:
    with pytest.raises(SqlError) as caught:
        MysqlStatement(text).check(within=False)
    assert caught.value.sqlstate == "0A000"


def test_a_text_with_a_nul_is_refused() -> None:
    with pytest.raises(SqlError):
        MysqlStatement("SELECT '\0'")
