"""SQLite changes a table by making it anew; whoever refers to it must not notice."""

from __future__ import annotations

from typing import Any

Place = Any
TABLES = """
op.execute("CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT)")
op.execute("CREATE TABLE books (id INTEGER PRIMARY KEY, author INTEGER NOT NULL"
           " REFERENCES authors (id) ON DELETE CASCADE)")
op.execute("INSERT INTO authors VALUES (1, 'Austen')")
op.execute("INSERT INTO books VALUES (1, 1)")
"""
REBUILD = """
with op.batch_alter_table("authors") as batch:
    batch.alter_column("name", existing_type=sa.Text, nullable=False)
"""


def test_rows_that_refer_to_a_table_stay_when_it_is_made_anew(sqlite_place: Place) -> None:
    sqlite_place.add("one", TABLES)
    sqlite_place.add("two", REBUILD, below="one")
    sqlite_place.db("upgrade")
    assert sqlite_place.rows("SELECT * FROM books") == [(1, 1)]


def test_rows_that_refer_to_nothing_are_a_failure(sqlite_place: Place) -> None:
    sqlite_place.add("one", TABLES)
    sqlite_place.add("two", 'op.execute("DELETE FROM authors")', below="one")
    said = sqlite_place.db("upgrade", code=1)
    assert "rows of 'books' refer to rows of 'authors' that are not there" in said
    assert sqlite_place.version() == ["one"]
    assert sqlite_place.rows("SELECT * FROM authors") == [(1, "Austen")]


def test_data_moves_with_tables(place: Place) -> None:
    place.add(
        "one",
        """
op.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, whole TEXT)")
table = sa.table("t", sa.column("id", sa.Integer), sa.column("whole", sa.Text))
op.bulk_insert(table, [{"id": 1, "whole": "Ann Lee"}, {"id": 2, "whole": "Bo Ek"}])
""",
    )
    place.add(
        "two",
        """
op.add_column("t", sa.Column("first", sa.Text))
bind = op.get_bind()
for id, whole in bind.execute(sa.text("SELECT id, whole FROM t ORDER BY id")).all():
    done = bind.execute(
        sa.text("UPDATE t SET first = :first WHERE id = :id"),
        {"first": whole.split()[0], "id": id},
    )
    assert done.rowcount == 1
rows = bind.execute(sa.text("SELECT id FROM t WHERE id > :n"), {"n": 0})
assert rows.fetchone() is not None
assert len(rows.fetchmany(5)) == 1
""",
        below="one",
    )
    place.db("upgrade")
    assert place.rows("SELECT first FROM t ORDER BY id") == [("Ann",), ("Bo",)]


def test_statements_outside_of_a_transaction(sqlite_place: Place) -> None:
    sqlite_place.add("one", "with op.get_context().autocommit_block():\n    op.execute('VACUUM')")
    sqlite_place.db("upgrade")
    assert sqlite_place.version() == ["one"]
