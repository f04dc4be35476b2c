"""What tables the service has, and what the database has instead."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Sequence
from typing import Any, Literal

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.runtime.migration import MigrationContext

from covet_kernel import ConfigurationError
from covet_kernel.contracts import Record
from covet_migrations._revisions import Revisions
from covet_migrations._sources import Source
from covet_sql.query import Choice, Duration, Exact, Moment


class Difference(Record):
    """What a source's tables lack, as the body of a revision.

    Attributes:
        source: Whose.
        upgrade: The Python of ``upgrade()``, indented behind its first line.
        downgrade: The same of ``downgrade()``.
        imports: Lines that both need.
    """

    source: Source
    upgrade: str
    downgrade: str
    imports: tuple[str, ...]


def tables_of(source: Source) -> sa.MetaData:
    """The tables a source leads to.

    Raises:
        ConfigurationError: It does not say, or what it says is not there.
    """
    module, colon, name = source.tables.partition(":")
    problem = ""
    if not (module and colon and name):
        problem = (
            "it does not say where its tables are"
            if not source.tables
            else "it is no 'module:name'"
        )
    else:
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            if isinstance(found, sa.MetaData):
                return found
            problem = f"{name!r} of {module!r} is no MetaData"
    raise ConfigurationError(
        "COVET-MIGRATION-TABLES",
        f"the tables of {source.name} cannot be found: {problem}.",
        place="[plugins.migrations] tables"
        if source.owner == "migrations"
        else f"Migrations of {source.owner}",
        valid=["shop.tables:metadata"],
        fix="Let tables name the MetaData of the tables as 'module:name'.",
    )


def difference(
    connection: sa.Connection, revisions: Revisions, source: Source
) -> Difference | None:
    """What is missing; ``None`` if nothing is.

    Only what belongs to the source is compared: a table that none of its migrations has made may be
    another's, or made by hand, and is left alone.
    """
    own = _made_by(revisions, source)

    def is_ours(_: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
        return kind != "table" or not reflected or other is not None or name in own

    context = MigrationContext.configure(
        connection,
        opts={
            "target_metadata": (tables := tables_of(source)),
            "include_object": is_ours,
            "render_as_batch": connection.dialect.name == "sqlite",
            "render_item": _render_type,
            "compare_type": _types_differ,
            "sqlalchemy_module_prefix": "sa.",
            "alembic_module_prefix": "op.",
            "user_module_prefix": None,
        },
    )
    script = produce_migrations(context, tables)
    up, down = script.upgrade_ops, script.downgrade_ops
    if up is None or down is None or up.is_empty():
        return None
    bodies = [
        # A type of a dialect that is not this one's is written by its own repr().
        render_python_code(
            body,
            render_as_batch=connection.dialect.name == "sqlite",
            render_item=_render_type,
            migration_context=context,
        ).replace("astext_type=Text()", "astext_type=sa.Text()")
        for body in (up, down)
    ]
    return Difference(
        source=source, upgrade=bodies[0], downgrade=bodies[1], imports=_imports("\n".join(bodies))
    )


def _imports(code: str) -> tuple[str, ...]:
    dialects = sorted(set(re.findall(r"\b(mysql|postgresql|sqlite)\.[A-Z]", code)))
    found = [f"from sqlalchemy.dialects import {name}" for name in dialects]
    if re.search(r"\bq\.[A-Z]", code):
        found.append("from covet_sql import query as q")
    return tuple(found)


def _made_by(revisions: Revisions, source: Source) -> set[str]:
    """The tables that the revisions of a source make, as far as their code says it."""
    return {
        node.args[0].value
        for each in revisions.by_id.values()
        if each.source == source.name
        for node in ast.walk(ast.parse(each.text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("create_table", "rename_table")
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def _render_type(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """The column types of models by names a migration can import, and that mean the same anywhere."""
    if kind != "type" or not isinstance(item, (Moment, Exact, Duration, Choice)):
        return False
    if isinstance(item, Choice):
        return f"sa.{item.kept!r}"
    arguments = f"{item.digits}, {item.places}" if isinstance(item, Exact) else ""
    return f"q.{type(item).__name__}({arguments})"


def _types_differ(
    context: MigrationContext, _: Any, kept: sa.Column[Any], found: Any, wanted: Any
) -> bool | None:
    """Whether a column's type has changed; ``None`` leaves it to Alembic."""
    dialect = context.dialect
    if dialect.name == "sqlite":
        if isinstance(found, sa.types.NullType):
            return False
        # What counts there is the affinity: VARCHAR(10) and TEXT are one type.
        return _affinity(found.compile(dialect)) != _affinity(wanted.compile(dialect))
    return None


def _affinity(name: str) -> str:
    """How SQLite keeps a column of a type of that name (its documentation, "datatypes", 3.1)."""
    upper = name.upper()
    for words, affinity in (
        (("INT",), "INTEGER"),
        (("CHAR", "CLOB", "TEXT"), "TEXT"),
        (("BLOB",), "BLOB"),
        (("REAL", "FLOA", "DOUB"), "REAL"),
    ):
        if any(word in upper for word in words):
            return affinity
    return "NUMERIC" if upper else "BLOB"


def all_differences(
    connection: sa.Connection, revisions: Revisions, sources: Sequence[Source]
) -> list[Difference]:
    """What is missing of every source that says where its tables are.

    Raises:
        ConfigurationError: None says it.
    """
    told = [each for each in sources if each.tables]
    if not told:
        tables_of(sources[0])
    found = (difference(connection, revisions, each) for each in told)
    return [each for each in found if each is not None]
