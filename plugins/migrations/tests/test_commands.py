"""``covet db`` on real databases: there, back, and every way in which it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from covet_cli import main

Place = Any
MADE = 'op.create_table("{0}", sa.Column("id", sa.Integer, primary_key=True))'
GONE = 'op.drop_table("{0}")'


def three(place: Place) -> None:
    for name, below in (("one", None), ("two", "one"), ("three", "two")):
        place.add(name, MADE.format(f"t_{name}"), GONE.format(f"t_{name}"), below=below)


def test_from_an_empty_folder_to_a_table_and_back(place: Place) -> None:
    assert "migrations made" in place.db("init")
    assert "is there" in place.db("init")
    written = place.db("revision", "-m", "make  'a\" thing\\", "--id", "first")
    path = next((place.folder / "migrations").glob("*_first_*.py"))
    assert str(path) in written
    text = path.read_text("utf-8").replace("pass", MADE.format("things"), 1)
    path.write_text(text.replace("    pass", f"    {GONE.format('things')}"), "utf-8")
    assert "1 pending" in place.db("status")
    assert "1/1 upgrade: app first make 'a\" thing\\" in place.db("upgrade")
    assert place.tables() == {"things", "alembic_version"}
    assert place.version() == ["first"]
    assert "is there already" in place.db("upgrade")
    assert "downgrade: app first" in place.db("downgrade", "base")
    assert place.tables() == {"alembic_version"}
    assert place.version() == []


def test_steps_up_and_down(place: Place) -> None:
    three(place)
    place.db("upgrade", "two")
    assert place.version() == ["two"]
    place.db("upgrade", "+1")
    assert place.version() == ["three"]
    place.db("downgrade", "-1")
    assert place.version() == ["two"]
    place.db("downgrade", "one")
    assert place.tables() == {"t_one", "alembic_version"}


def test_status_tells_what_is_there(place: Place) -> None:
    three(place)
    place.db("upgrade", "one")
    place.db("status", "--check", code=1)
    found = json.loads(place.db("status", "--json"))
    assert found["ahead"] == []
    assert [(row["revision"], row["status"]) for row in found["revisions"]] == [
        ("one", "applied"),
        ("two", "pending"),
        ("three", "pending"),
    ]
    place.db("upgrade")
    assert "0 pending" in place.db("status", "--check")


def test_a_failure_leaves_the_step_before_and_says_so(place: Place) -> None:
    three(place)
    place.add("two", f"{MADE.format('half')}\nop.execute('SELECT * FROM nowhere')", below="one")
    said = place.db("upgrade", code=1)
    assert "COVET-MIGRATION-FAILED: the upgrade of revision two of app failed: " in said
    assert "nowhere" in said
    assert "The database is at one, the step before" in said
    assert place.tables() == {"t_one", "alembic_version"}
    assert place.version() == ["one"]
    place.add("two", MADE.format("whole"), below="one")
    place.db("upgrade")
    assert place.version() == ["three"]


def test_a_failed_downgrade_leaves_the_step_before(place: Place) -> None:
    three(place)
    place.db("upgrade")
    place.add("two", MADE.format("t_two"), "raise RuntimeError('never')", below="one")
    said = place.db("downgrade", "base", code=1)
    assert "the downgrade of revision two of app failed: never" in said
    assert place.version() == ["two"]
    assert place.tables() == {"t_one", "t_two", "alembic_version"}


def test_the_first_step_may_fail(place: Place) -> None:
    place.add("one", "op.execute('nonsense')")
    assert "The database is at base" in place.db("upgrade", code=1)
    assert place.version() == []


@pytest.mark.parametrize("word", [["upgrade", "nine"], ["downgrade", "nine"], ["upgrade", "+9"]])
def test_an_unknown_revision_is_refused(place: Place, word: list[str]) -> None:
    three(place)
    said = place.db(*word, code=2)
    assert "COVET-MIGRATION-REVISION" in said
    assert "valid: one, three, two, heads, base" in said
    assert place.tables() <= {"alembic_version"}


def test_a_misspelt_revision_gets_a_hint(sqlite_place: Place) -> None:
    three(sqlite_place)
    assert "Did you mean 'three'?" in sqlite_place.db("upgrade", "thre3", code=2)


def test_a_database_that_is_ahead_is_refused(place: Place) -> None:
    three(place)
    place.db("upgrade")
    (place.folder / "migrations" / "three.py").unlink()
    for word in (["upgrade"], ["downgrade", "one"]):
        assert "at the revision 'three', which no source has" in place.db(*word, code=2)
    assert place.version() == ["three"]
    said = place.db("status")
    assert "is at three, ahead of this version: revision three is not known here" in said
    assert "pending" not in said
    place.db("status", "--check", code=3)
    found = json.loads(place.db("status", "--json", "--check", code=3))
    assert found["ahead"] == ["three"]
    assert [(row["revision"], row["status"]) for row in found["revisions"]] == [
        ("one", "unknown"),
        ("two", "unknown"),
    ]


def test_a_database_may_be_ahead_in_one_source_only(sqlite_place: Place) -> None:
    three(sqlite_place)
    other = sqlite_place.add("other", MADE.format("t_other"), head="branch_labels = ('more',)")
    sqlite_place.db("upgrade", "two")
    sqlite_place.db("upgrade", "other")
    other.unlink()
    found = json.loads(sqlite_place.db("status", "--json", "--check", code=3))
    assert found["ahead"] == ["other"]
    assert [(row["revision"], row["status"]) for row in found["revisions"]] == [
        ("one", "applied"),
        ("two", "applied"),
        ("three", "unknown"),
    ]


def test_two_newest_revisions_are_refused_until_they_are_joined(place: Place) -> None:
    three(place)
    other = place.add("other", MADE.format("t_other"), below="two")
    said = place.db("upgrade", code=2)
    assert "COVET-MIGRATION-HEADS" in said
    assert str(other) in said
    assert "COVET-MIGRATION-HEADS" in place.db("revision", "-m", "on which", code=2)
    place.db("revision", "--merge", "-m", "join", "--id", "both")
    place.db("upgrade")
    assert place.version() == ["both"]
    assert {"t_three", "t_other"} <= place.tables()
    assert "nothing to join" in place.db("revision", "--merge", "-m", "again", code=2)


def test_without_migrations_there_is_nothing_to_do(place: Place) -> None:
    for word in (["upgrade"], ["status"], ["diff"], ["lint"], ["squash"], ["revision", "-m", "x"]):
        said = place.db(*word, code=2)
        assert "COVET-MIGRATION-SOURCE" in said
        assert "covet db init" in said


def test_without_a_database_there_is_nowhere_to_go(sqlite_place: Place) -> None:
    sqlite_place.configure(database="[plugins.memory]")
    sqlite_place.add("one")
    assert "COVET-MIGRATION-DATABASE" in sqlite_place.db("upgrade", code=2)
    sqlite_place.configure()
    said = sqlite_place.db("upgrade", "--database", "reports", code=2)
    assert "COVET-MIGRATION-SOURCE" in said


@pytest.mark.parametrize(
    ("database", "word"),
    [
        ('[plugins.sqlite]\npath = "nowhere/app.db"', "COVET-SQLITE-FOLDER"),
        ('[plugins.sqlite]\npath = "migrations"', "COVET-SQLITE-OPEN"),
        ('[plugins.sqlite]\npath = "covet.toml"', "COVET-SQLITE-FORMAT"),
        ('[plugins.sqlite]\npath = ":memory:"', "COVET-SQLITE-MEMORY"),
        ('[plugins.postgres]\nurl = "postgres://x@127.0.0.1:1/x"', "COVET-POSTGRES-UNREACHABLE"),
        ('[plugins.postgres]\nurl = "mysql://x"', "COVET-POSTGRES-URL"),
    ],
)
def test_a_database_that_cannot_be_reached_says_why(
    sqlite_place: Place, database: str, word: str
) -> None:
    sqlite_place.configure(database=database)
    sqlite_place.add("one")
    said = sqlite_place.db("upgrade", code=2)
    assert word in said
    assert "Traceback" not in said


def test_a_server_that_refuses_says_why(postgres_place: Place) -> None:
    postgres_place.add("one")
    base = postgres_place.url.rpartition("/")[0]
    postgres_place.configure(database=f'[plugins.postgres]\nurl = "{base}/nowhere"')
    assert "COVET-POSTGRES-DATABASE" in postgres_place.db("upgrade", code=2)
    locked = base.replace("postgres@", "locked@", 1)
    postgres_place.configure(database=f'[plugins.postgres]\nurl = "{locked}/postgres"')
    said = postgres_place.db("upgrade", code=2)
    assert "COVET-POSTGRES-PASSWORD" in said


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("revision = 'x'\n", "does not say revision and down_revision"),
        ("revision = \n", "invalid syntax"),
        ("revision = str(1)\ndown_revision = None\n", "revision is not written out"),
        ("revision = 'x'\ndown_revision = 'gone'\n", "stands on the revision 'gone'"),
        ("revision = 'one'\ndown_revision = None\n", "has the revision 'one' as well"),
        ("revision = 'x'\ndown_revision = 'one'\nraise RuntimeError('boo')\n", "boo"),
        ("\0", "null bytes"),
    ],
)
def test_a_file_that_is_no_revision_is_named(sqlite_place: Place, text: str, problem: str) -> None:
    sqlite_place.add("one")
    bad = sqlite_place.folder / "migrations" / "zbad.py"
    bad.write_text(text, "utf-8")
    said = sqlite_place.db("upgrade", code=2)
    assert "COVET-MIGRATION-SCRIPT" in said
    assert problem in said
    assert str(bad) in said


def test_offline_sql_does_what_it_would_do(place: Place) -> None:
    three(place)
    script = place.db("upgrade", "--sql")
    assert place.tables() == set()
    assert place.db("upgrade", "--sql", "--from", "base") == script
    statements = [line for line in script.split(";") if line.strip()]
    place.run(*(each for each in statements if each.strip() not in ("BEGIN", "COMMIT")))
    assert place.tables() == {"t_one", "t_two", "t_three", "alembic_version"}
    assert place.version() == ["three"]
    assert place.db("upgrade", "--sql") == ""
    part = place.db("upgrade", "--sql", "--from", "two")
    assert "t_three" in part
    assert "t_two" not in part
    assert "DROP TABLE t_three" in place.db("downgrade", "--sql", "two")
    assert "COVET-MIGRATION-REVISION" in place.db("upgrade", "--from", "one", code=2)


def test_offline_sql_keeps_percent_signs(place: Place) -> None:
    place.add("one", "op.execute(\"CREATE TABLE t AS SELECT '100%' AS c, '\\\\:x' AS d\")")
    assert "'100%' AS c" in place.db("upgrade", "--sql")
    place.db("upgrade")
    assert place.rows("SELECT c FROM t") == [("100%",)]


def test_offline_sql_needs_no_database(sqlite_place: Place) -> None:
    three(sqlite_place)
    url = "postgres://x@127.0.0.1:1/x"
    sqlite_place.configure(database=f'[plugins.postgres]\nurl = "{url}"')
    assert "CREATE TABLE t_two" in sqlite_place.db("upgrade", "--sql", "--from", "one")


def test_help_names_the_words(capsys: pytest.CaptureFixture[str], sqlite_place: Place) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["db", "-c", sqlite_place.config, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for word in ("init", "revision", "upgrade", "downgrade", "status", "diff", "lint", "squash"):
        assert word in said
    with pytest.raises(SystemExit) as ended:
        main(["db", "-c", sqlite_place.config, "sidegrade"])
    assert ended.value.code == 2


def test_head_is_one_of_several(sqlite_place: Place) -> None:
    three(sqlite_place)
    sqlite_place.add("other", head="branch_labels = ('second',)")
    said = sqlite_place.db("upgrade", "head", code=2)
    assert "COVET-MIGRATION-HEADS" in said
    assert "valid: app@head" in said


def test_what_ran_outside_of_the_transaction_is_told_of(postgres_place: Place) -> None:
    block = "with op.get_context().autocommit_block():\n    "
    postgres_place.add(
        "one", f"{block}op.execute('CREATE TABLE t (id int)')\nraise ValueError('x')"
    )
    said = postgres_place.db("upgrade", code=1)
    assert "at base, the step before; what ran in its autocommit_block() stays" in said
    assert "t" in postgres_place.tables()


def test_folders_that_cannot_be_made_are_named(sqlite_place: Place) -> None:
    (sqlite_place.folder / "migrations").write_text("no folder")
    said = sqlite_place.db("init", code=2)
    assert "COVET-MIGRATION-SOURCE" in said
    assert "cannot be made" in said
    assert "COVET-MIGRATION-SOURCE" in sqlite_place.db("init", "--database", "reports", code=2)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO t VALUES (1), (1)", "UNIQUE constraint failed: t.id"),
        ("INSERT INTO t VALUES (?)", "Statement has 1 bindings"),
        ("INSERT INTO nowhere VALUES (1)", "no such table: nowhere"),
    ],
)
def test_what_sqlite_refuses_is_said_in_its_words(
    sqlite_place: Place, statement: str, said: str
) -> None:
    made = 'op.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")'
    sqlite_place.add("one", f'{made}\nop.get_bind().exec_driver_sql("{statement}")')
    assert said in sqlite_place.db("upgrade", code=1)
    assert sqlite_place.tables() == set()


def test_a_value_that_sqlite_cannot_keep_is_a_failure(sqlite_place: Place) -> None:
    statement = 'op.get_bind().exec_driver_sql("SELECT ?", (object(),))'
    sqlite_place.add("one", statement)
    assert "COVET-MIGRATION-FAILED" in sqlite_place.db("upgrade", code=1)


def test_of_several_hosts_the_one_that_can_be_written_to_is_migrated(postgres_place: Place) -> None:
    head, _, name = postgres_place.url.rpartition("/")
    user, _, address = head.rpartition("@")
    url = f"{user}@127.0.0.1:1,{address}/{name}?target_session_attrs=prefer-standby"
    postgres_place.configure(database=f'[plugins.postgres]\nurl = "{url}"')
    postgres_place.add("one", MADE.format("t_one"))
    postgres_place.db("upgrade")
    assert postgres_place.version() == ["one"]
