"""How much a statement reads, gives and changes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

from covet_sql.lint._finding import Finding, Rewrite, Source
from covet_sql.lint._rules import found
from covet_sql.lint._tree import Statement, conjuncts, joins, sources

CROSS = re.compile(r"\bCROSS\s+JOIN\b", re.IGNORECASE)
"""A comma is one to the parser as well, in some dialects."""
FEW = 100
"""Rows that a statement without a limit may give each time, where that was recorded."""


def extent(statement: Statement, source: Source) -> Iterator[Finding]:
    """Findings in what a statement reads, gives and changes."""
    yield from _every_row(statement, source)
    for select in statement.selects():
        yield from _star(statement, select, source)
        yield from _offset(statement, select, source)
        yield from _product(select, source)
    yield from _limit(statement, source)


def _every_row(statement: Statement, source: Source) -> Iterator[Finding]:
    for node in statement.tree.find_all(exp.Update, exp.Delete):
        where = node.args.get("where")
        if where is None and not isinstance(node.parent, exp.When):
            yield found(
                "every-row",
                source,
                "say which rows, or that all are meant: WHERE TRUE; a table is emptied by TRUNCATE",
            )


def _star(statement: Statement, select: exp.Select, source: Source) -> Iterator[Finding]:
    if isinstance(select.parent, exp.Exists):
        return
    stars = [each for each in select.expressions if each.is_star and not each.find(exp.Func)]
    if stars:
        yield found(
            "select-star", source, "name the columns", _named_columns(statement, select, source)
        )


def _named_columns(statement: Statement, select: exp.Select, source: Source) -> Rewrite | None:
    if select is not statement.tree:
        return None
    if any(join.args.get("using") or join.args.get("method") for join in joins(select)):
        return None
    tables = sources(select)
    columns: list[exp.Expr] = []
    for each in select.expressions:
        if not each.is_star:
            columns.append(each.copy())
            continue
        if each.args.get("except_") or each.args.get("replace") or each.args.get("rename"):
            return None
        wanted = each.table.lower() if isinstance(each, exp.Column) else ""
        for name, node in tables.items():
            if wanted and name != wanted:
                continue
            known = statement.schema.tables.get(node.name.lower())
            if known is None or not isinstance(node, exp.Table):
                return None
            columns += [
                exp.column(column, table=name if len(tables) > 1 else None, quoted=False)
                for column in known
            ]
    changed = select.copy()
    changed.set("expressions", columns)
    return Rewrite(statement.sql(changed))


def _limit(statement: Statement, source: Source) -> Iterator[Finding]:
    tree = statement.tree
    if not isinstance(tree, exp.Select) or tree.args.get("from_") is None:
        return
    if tree.args.get("limit") is not None or (source.rows is not None and source.rows < FEW):
        return
    aggregates = [each for each in tree.expressions if each.find(exp.AggFunc)]
    windows = any(each.find(exp.Window) for each in tree.expressions)
    if aggregates and not tree.args.get("group") and not windows:
        return
    if _finds_one(statement, tree):
        return
    yield found(
        "no-limit",
        source,
        "give it a LIMIT and read page by page, or stream it",
        level="warning" if source.rows is not None and source.rows >= 10 * FEW else None,
        more="" if source.rows is None else f": {source.rows:.0f} rows each time",
    )


def _finds_one(statement: Statement, select: exp.Select) -> bool:
    """Whether a key says which row it gives: that of the schema, else what is called ``id``."""
    if len(sources(select)) != 1:
        return False
    (node,) = sources(select).values()
    key = statement.schema.key_of(node.name) or frozenset(["id"])
    equal = {
        side.name.lower()
        for condition in conjuncts(select)
        if isinstance(condition, exp.EQ)
        for side in (condition.left, condition.right)
        if isinstance(side, exp.Column)
    }
    return key <= equal


def _offset(statement: Statement, select: exp.Select, source: Source) -> Iterator[Finding]:
    offset = select.args.get("offset")
    if offset is None:
        return
    by = offset.expression
    if isinstance(by, exp.Literal) and by.name == "0":
        return
    yield found(
        "offset-paging",
        source,
        "begin each page behind the last row of the one before",
        _keyset(statement, select),
    )


def _keyset(statement: Statement, select: exp.Select) -> Rewrite | None:
    order = select.args.get("order")
    if select is not statement.tree or order is None:
        return None
    if any(select.args.get(each) for each in ("group", "distinct", "having", "windows")):
        return None
    directions = {bool(each.args.get("desc")) for each in order.expressions}
    columns = [each.this for each in order.expressions]
    if len(directions) != 1 or not all(isinstance(each, exp.Column) for each in columns):
        return None
    last = [exp.Placeholder(this=f"last_{each.name}") for each in columns]
    kind = exp.LT if directions.pop() else exp.GT
    condition: exp.Expr = kind(
        this=_row([each.copy() for each in columns]), expression=_row(list(last))
    )
    changed = select.copy()
    changed.set("offset", None)
    changed = changed.where(condition)
    names = ", ".join(each.name for each in columns)
    return Rewrite(
        statement.sql(changed),
        f"where no two rows have the same {names}, and none of them is NULL;"
        " the values are those of the last row seen",
    )


def _row(parts: list[exp.Expr]) -> exp.Expr:
    return parts[0] if len(parts) == 1 else exp.Tuple(expressions=parts)


def _product(select: exp.Select, source: Source) -> Iterator[Finding]:
    tables = sources(select)
    if len(tables) < 2:
        return
    groups = {name: {name} for name in tables}

    def connect(names: set[str]) -> None:
        known = [name for name in names if name in groups]
        merged: set[str] = set().union(*(groups[name] for name in known)) if known else set()
        for name in merged:
            groups[name] = merged

    for condition in conjuncts(select):
        columns = list(condition.find_all(exp.Column))
        if len(columns) > 1 and not all(column.table for column in columns):
            return  # of which table they are, is not known here
        connect({column.table.lower() for column in columns})
    crossed = set()
    for join in joins(select):
        name = join.this.alias_or_name.lower()
        if join.args.get("using") or join.args.get("method") or not _is_rows(join.this):
            connect(set(tables))
        if join.kind == "CROSS" and CROSS.search(source.text):
            crossed.add(name)
    if any(not _is_rows(node) for node in tables.values()):
        return
    if len({id(group) for group in groups.values()}) == 1:
        return
    written = crossed and len({id(groups[name]) for name in tables if name not in crossed}) <= 1
    apart = sorted({min(group) for group in groups.values()})
    yield found(
        "cross-join" if written else "cartesian-join",
        source,
        "say which rows belong together: nothing joins " + " and ".join(apart),
    )


def _is_rows(node: exp.Expr) -> bool:
    """Whether it is a table or a query; what a function makes may depend on the other tables."""
    if isinstance(node, exp.Table):
        return isinstance(node.this, exp.Identifier)
    return isinstance(node, exp.Subquery)
