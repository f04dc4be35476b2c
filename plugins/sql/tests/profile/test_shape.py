"""What two statements have in common, and what must not be seen of either."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from covet_sql.profile import normalised

SAME = [
    ("SELECT a FROM t WHERE b = 1", "SELECT a FROM t WHERE b = ?"),
    ("SELECT a\n  FROM t -- why\n WHERE b = :b", "SELECT a FROM t WHERE b = ?"),
    ("SELECT a FROM t WHERE b = ? /* and\n c */;", "SELECT a FROM t WHERE b = ?"),
    ("SELECT a FROM t WHERE b IN (1, 2, 3)", "SELECT a FROM t WHERE b IN (?, ...)"),
    ("SELECT a FROM t WHERE b IN (:b__0,:b__1)", "SELECT a FROM t WHERE b IN (?, ...)"),
    ("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')", "INSERT INTO t VALUES (?, ...), ..."),
    ("INSERT INTO t VALUES (?), (?)", "INSERT INTO t VALUES (?), ..."),
    ("SELECT 'it''s', E'it\\'s', $$it's$$, $x$ $$ $x$", "SELECT ?, ?, ?, ?"),
    ("SELECT t1.a, 0x1F, 1.5, .5 FROM t1", "SELECT t1.a, ?, ?, ? FROM t1"),
    ("SELECT x::int, a[1:2] FROM t", "SELECT x::int, a[?:?] FROM t"),
    ('SELECT "a 1" FROM "t""2"', 'SELECT "a 1" FROM "t""2"'),
    ("SELECT $1", "SELECT ?"),
    ("SELECT a ?? 'k' FROM t", "SELECT a ?? ? FROM t"),
    ("SELECT 'never ends", "SELECT ?"),
    ("SELECT $$never ends", "SELECT ?"),
    ("SELECT 1 /* never ends", "SELECT ?"),
]


@pytest.mark.parametrize(("text", "shape"), SAME)
def test_shapes(text: str, shape: str) -> None:
    assert normalised(text) == shape


def test_mysql_quotes_in_its_own_ways() -> None:
    text = "SELECT `a 1`, \"it's\", 'it\\'s 7' FROM t # 8"
    assert normalised(text, "mysql") == "SELECT `a 1`, ?, ? FROM t"


def test_what_is_very_long_is_cut() -> None:
    shape = normalised("SELECT " + "a, " * 10_000)
    assert len(shape) < 10_010
    assert shape.endswith("...")


SECRET = "s3cr3t"
QUOTED = {
    "postgresql": ["'{}'", "E'\\'{}'", "$${}$$", "$q$'{}$q$", "'''{}'", "/* {} */", "-- {}\n"],
    "sqlite": ["'{}'", "'''{}'", "/* {} */", "-- {}\n"],
    "mysql": ["'{}'", "'\\'{}'", '"{}"', '"\'{}"', "/* {} */", "# {}\n"],
}


@given(st.data(), st.sampled_from(sorted(QUOTED)))
def test_no_literal_is_ever_in_a_shape(data: st.DataObject, dialect: str) -> None:
    words = st.sampled_from(
        ["SELECT", "a", "(", ")", ",", "=", "::", ":b", "?", "1", "t1", "'x'", "\n"]
    )
    before = data.draw(st.lists(words))
    quoted = data.draw(st.sampled_from(QUOTED[dialect])).format(SECRET)
    after = data.draw(st.lists(words))
    assert SECRET not in normalised(" ".join([*before, quoted, *after]), dialect)


@example("0:A", "")  # as in a slice, a[1:n]
@given(st.text(), st.sampled_from(["", "postgresql", "mysql", "sqlite"]))
def test_any_text_has_a_shape_that_is_its_own(text: str, dialect: str) -> None:
    shape = normalised(text, dialect)
    assert normalised(shape, dialect).replace(" ", "") == shape.replace(" ", "")
