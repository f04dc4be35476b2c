"""All rules over one statement, and over its plan."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from sqlglot import exp
from sqlglot.errors import SqlglotError

from covet_sql.lint._extent import extent
from covet_sql.lint._filters import filters
from covet_sql.lint._finding import Finding, Rewrite, Source
from covet_sql.lint._rules import found
from covet_sql.lint._schema import Schema
from covet_sql.lint._tree import Statement, filtered_columns, named_tables, sources
from covet_sql.parse import parsed
from covet_sql.plan import Plan, Step

NOTHING = Schema()
HALF = 0.5
"""The share of what a scan reads that it may throw away."""
CAST = re.compile(r'\(+"?(?P<column>\w+)"?\)+::(?P<kind>[a-z ]+)')


def examine(source: Source, dialect: str, schema: Schema = NOTHING) -> list[Finding]:
    """What is wrong with a statement, as far as its text tells.

    Args:
        source: It.
        dialect: The database's.
        schema: What is known of its tables.
    """
    try:
        trees = parsed(source.text, dialect)
    except (SqlglotError, RecursionError) as error:
        return [found("unreadable", source, f"look whether it is right: {_first_line(error)}")]
    findings: list[Finding] = []
    for tree in trees:
        if isinstance(tree, exp.Command):
            continue
        statement = Statement(tree, dialect, schema)
        for one in (*extent(statement, source), *filters(statement, source)):
            if one not in findings:
                findings.append(one)
    return findings


def _first_line(error: Exception) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error)).partition("\n")[0].rstrip(".")


def examine_plan(
    source: Source, plan: Plan, schema: Schema = NOTHING, *, rows: float = 1000
) -> list[Finding]:
    """What is wrong with how a database runs a statement.

    Args:
        source: The statement.
        plan: How it is run.
        schema: What is known of its tables.
        rows: Rows from which on a table is not read as a whole.
    """
    findings: list[Finding] = []
    names = named_tables(source.text, plan.dialect)
    for step in plan.all():
        table = step.table.lower()
        called = replace(step, table=names.get(table, table))
        for one in _step(source, plan, called, schema, rows):
            if one not in findings:
                findings.append(one)
    return findings


def _step(source: Source, plan: Plan, step: Step, schema: Schema, rows: float) -> Iterator[Finding]:
    if step.reads_all and _reads_much(source, plan, step, schema, rows):
        yield _scan(source, plan, step, schema)
        yield from _cast(source, plan, step)
    if step.spilled:
        yield found(
            "spilled-sort",
            source,
            "give it an index in this order, fewer rows or columns, or the server more work_mem",
            more=f": {step.spilled >> 10} KiB",
        )
    elif step.sorts and (step.rows if step.rows is not None else step.expected or rows) >= rows:
        yield found("sort", source, "make an index in this order", _order_index(source, plan))


def _reads_much(source: Source, plan: Plan, step: Step, schema: Schema, rows: float) -> bool:
    size = schema.sizes.get(step.table, 0.0)
    if step.rows is not None:
        read = step.rows + step.removed
        return read >= rows and step.removed >= HALF * read
    if size < rows:
        return False
    if step.expected is not None:
        return bool(step.condition) and step.expected <= HALF * size
    # SQLite's plans say nothing of conditions; the statement does.
    return bool(_columns(source, plan, step))


def _columns(source: Source, plan: Plan, step: Step) -> list[str]:
    """Columns by which an index could find the rows that a scan looks for."""
    try:
        trees = parsed(source.text, plan.dialect)
    except SqlglotError:
        return []
    for tree in trees:
        for node in tree.find_all(exp.Select, exp.Update, exp.Delete):
            for each in sources(node).values():
                if isinstance(each, exp.Table) and each.name.lower() == step.table:
                    columns = filtered_columns(node, step.table)
                    if columns:
                        return columns
    return []


def _scan(source: Source, plan: Plan, step: Step, schema: Schema) -> Finding:
    if step.rows is not None:
        more = f": {step.removed:.0f} of {step.rows + step.removed:.0f} rows of {step.table}"
    else:
        size = schema.sizes.get(step.table, 0.0)
        more = f": {step.table} has about {size:.0f} rows"
    columns = _columns(source, plan, step)
    if not columns:
        return found(
            "sequential-scan", source, "give it a condition that an index serves", more=more
        )
    index = exp.Create(
        this=exp.Index(
            table=exp.to_table(step.table),
            params=exp.IndexParameters(columns=[exp.column(each) for each in columns]),
        ),
        kind="INDEX",
    )
    text = Statement(index, plan.dialect, schema).sql()
    if plan.dialect != "postgresql":  # elsewhere an index has to have a name
        name = "_".join(["ix", step.table, *columns])
        text = text.replace("CREATE INDEX ON", f"CREATE INDEX {name} ON", 1)
    return found(
        "sequential-scan",
        source,
        f"make an index of {', '.join(columns)}, the column that tells most rows apart first",
        Rewrite(text),
        more=more,
    )


def _cast(source: Source, plan: Plan, step: Step) -> Iterator[Finding]:
    for match in CAST.finditer(step.condition):
        column, kind = match["column"], match["kind"].strip()
        if f"{column}::" in source.text.replace(" ", "") or "CAST(" in source.text.upper():
            continue
        yield found(
            "implicit-cast",
            source,
            f"compare {column} with a value of its own type",
            more=f": to {kind}",
        )


def _order_index(source: Source, plan: Plan) -> Rewrite | None:
    for tree in parsed(source.text, plan.dialect):
        order = tree.args.get("order")
        if order is None or not isinstance(tree, exp.Select) or len(sources(tree)) != 1:
            continue
        (table,) = sources(tree).values()
        if not isinstance(table, exp.Table):
            continue
        columns = [each.this for each in order.expressions]
        if all(isinstance(each, exp.Column) for each in columns):
            names = [each.name for each in columns]
            listed = ", ".join(
                name + (" DESC" if each.args.get("desc") else "")
                for name, each in zip(names, order.expressions, strict=True)
            )
            return Rewrite(
                f"CREATE INDEX ix_{table.name}_{'_'.join(names)} ON {table.name} ({listed})"
            )
    return None
