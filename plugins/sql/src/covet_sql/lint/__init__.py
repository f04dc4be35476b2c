"""What is wrong with statements, and how they are better written."""

try:
    import sqlglot as _sqlglot  # noqa: F401 - said here, not somewhere below
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "covet_sql.lint needs sqlglot: pip install 'covet-sql[insight]'", name=error.name
    ) from error

from covet_sql.lint._examine import examine, examine_plan
from covet_sql.lint._finding import LEVELS, Finding, Level, Rewrite, Source, worst
from covet_sql.lint._render import render
from covet_sql.lint._repeats import examine_repeats
from covet_sql.lint._rules import RULES
from covet_sql.lint._schema import Schema, read_schema
from covet_sql.lint._sources import recorded, split
from covet_sql.lint._tree import named_tables

__all__ = [
    "LEVELS",
    "RULES",
    "Finding",
    "Level",
    "Rewrite",
    "Schema",
    "Source",
    "examine",
    "examine_plan",
    "examine_repeats",
    "named_tables",
    "read_schema",
    "recorded",
    "render",
    "split",
    "worst",
]
