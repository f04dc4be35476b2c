"""A statement as a tree, and the questions rules ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import SqlglotError

from covet_sql.lint._schema import Schema
from covet_sql.parse import parsed, written

COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ)


@dataclass(frozen=True)
class Statement:
    """What rules look at.

    Attributes:
        tree: The statement.
        dialect: The database's.
        schema: What is known of its tables; empty if nobody was asked.
    """

    tree: exp.Expr
    dialect: str
    schema: Schema

    def sql(self, tree: exp.Expr | None = None) -> str:
        """A tree as a text."""
        return written(self.tree if tree is None else tree, self.dialect)

    def selects(self) -> Iterator[exp.Select]:
        """Every ``SELECT`` in it."""
        yield from self.tree.find_all(exp.Select)


def sources(select: exp.Expr) -> dict[str, exp.Expr]:
    """What a ``SELECT``, ``UPDATE`` or ``DELETE`` takes rows from, by the name it has there."""
    found: dict[str, exp.Expr] = {}
    first = select.args.get("from_")
    nodes = [first.this if first is not None else select.this, *_joined(select)]
    if first is not None and isinstance(select, exp.Update):
        nodes.insert(0, select.this)
    for node in nodes:
        if isinstance(node, exp.Expr):
            found[node.alias_or_name.lower()] = node
            for join in node.args.get("joins") or ():
                found[join.this.alias_or_name.lower()] = join.this
    return found


def named_tables(text: str, dialect: str) -> dict[str, str]:
    """The tables of a statement by what it calls them, both in lower case.

    SQLite's plans call tables what the statement does.
    """
    try:
        trees = parsed(text, dialect)
    except SqlglotError:
        return {}
    return {
        table.alias_or_name.lower(): table.name.lower()
        for tree in trees
        for table in tree.find_all(exp.Table)
    }


def _joined(select: exp.Expr) -> list[exp.Expr]:
    return [join.this for join in select.args.get("joins") or ()]


def joins(select: exp.Expr) -> list[exp.Join]:
    """The joins of a ``SELECT``, those inside parentheses aside."""
    first = select.args.get("from_")
    inner = first.this.args.get("joins") or () if first is not None else ()
    return [*inner, *(select.args.get("joins") or ())]


def conjuncts(select: exp.Expr) -> Iterator[exp.Expr]:
    """The conditions that all have to hold: of ``WHERE``, and of each ``ON``."""
    where = select.args.get("where")
    conditions = [where.this] if where is not None else []
    conditions += [join.args["on"] for join in joins(select) if join.args.get("on") is not None]
    for condition in conditions:
        yield from _split(condition)


def _split(node: exp.Expr) -> Iterator[exp.Expr]:
    node = node.unnest()
    if isinstance(node, exp.And):
        yield from _split(node.left)
        yield from _split(node.right)
    else:
        yield node


def table_of(select: exp.Expr, column: exp.Column) -> str:
    """The table that a column is of, empty if that is not sure."""
    known = sources(select)
    if column.table:
        node = known.get(column.table.lower())
    elif len(known) == 1:
        (node,) = known.values()
    else:
        return ""
    return node.name.lower() if isinstance(node, exp.Table) else ""


def enclosing(node: exp.Expr) -> exp.Expr | None:
    """The ``SELECT``, ``UPDATE`` or ``DELETE`` that a node is directly part of."""
    return node.find_ancestor(exp.Select, exp.Update, exp.Delete)


def is_value(node: exp.Expr | None) -> bool:
    """Whether a node is a literal or a parameter, or made of nothing else."""
    return node is not None and node.find(exp.Column, exp.Query) is None


def filtered_columns(select: exp.Expr, table: str) -> list[str]:
    """Columns of a table that an index could find its rows by: compared for equality first."""
    equal: list[str] = []
    ranges: list[str] = []
    for condition in conjuncts(select):
        for column, kind in _indexable(condition):
            if table_of(select, column) == table:
                chosen = equal if kind in (exp.EQ, exp.In, exp.Is) else ranges
                chosen.append(column.name)
    # After the first range no further column narrows the search.
    return list(dict.fromkeys([*equal, *ranges[:1]]))


def _indexable(condition: exp.Expr) -> Iterator[tuple[exp.Column, type[exp.Expr]]]:
    if isinstance(condition, COMPARISONS) and not isinstance(condition, exp.NEQ):
        for side, other in (
            (condition.left, condition.right),
            (condition.right, condition.left),
        ):
            if isinstance(side, exp.Column) and not (
                isinstance(other, exp.Column) and other.table == side.table
            ):
                yield side, type(condition)
    elif isinstance(condition, exp.In | exp.Between) and isinstance(condition.this, exp.Column):
        yield condition.this, type(condition)
