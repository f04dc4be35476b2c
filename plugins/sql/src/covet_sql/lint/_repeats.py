"""The same statement again and again within one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from covet_sql.lint._finding import Finding, Rewrite, Source
from covet_sql.lint._rules import found
from covet_sql.parse import parsed, written

BLOCKS = frozenset(["BEGIN", "COMMIT", "ROLLBACK"])


def examine_repeats(
    issued: Iterable[Mapping[str, Any]], dialect: str, *, repeats: int = 10
) -> list[Finding]:
    """Statements that one call runs so often that one statement should do it.

    Args:
        issued: Of a report: who ran what, how often.
        dialect: The database's.
        repeats: From how many on.
    """
    findings = []
    for each in issued:
        if each["most"] < repeats or each["shape"] in BLOCKS:
            continue
        source = Source(each["text"], each["issuer"])
        instead, rewrite = _at_once(source, dialect)
        findings.append(
            found(
                "n-plus-one",
                source,
                instead,
                rewrite,
                more=f": up to {each['most']} times in a call of {each['issuer']}",
            )
        )
    return findings


def _at_once(source: Source, dialect: str) -> tuple[str, Rewrite | None]:
    try:
        (tree,) = parsed(source.text, dialect)
    except (SqlglotError, ValueError):
        return "run it once for all values", None
    if isinstance(tree, exp.Select):
        return "read for all values at once, or join", _for_all(tree, dialect)
    if isinstance(tree, exp.Insert):
        return "give all rows to execute_many", None
    return "give all values to execute_many, or change all rows with one statement", None


def _for_all(tree: exp.Select, dialect: str) -> Rewrite | None:
    """``WHERE key = :key`` as ``WHERE key IN (:keys)``, with the key in the rows."""
    if any(
        tree.args.get(each)
        for each in ("limit", "offset", "order", "group", "having", "distinct", "windows")
    ) or any(each.find(exp.AggFunc) for each in tree.expressions):
        return None
    where = tree.args.get("where")
    parameters = list(tree.find_all(exp.Placeholder))
    if where is None or len(parameters) != 1:
        return None
    node = parameters[0].parent
    if not isinstance(node, exp.EQ) or not all(
        isinstance(each, exp.And | exp.Where | exp.Paren) for each in _between(node, tree)
    ):
        return None
    column = node.left if node.right is parameters[0] else node.right
    if not isinstance(column, exp.Column):
        return None
    copy = tree.copy()
    (parameter,) = copy.find_all(exp.Placeholder)
    name = column.name
    changed = exp.In(this=column.copy(), expressions=[exp.Placeholder(this=f"{name}_list")])
    assert parameter.parent is not None
    parameter.parent.replace(changed)
    if not any(each.is_star or each.alias_or_name == name for each in copy.expressions):
        copy = copy.select(column.copy())
    return Rewrite(
        written(copy, dialect), f"all of them together, told apart by {name}; the list is expanded"
    )


def _between(node: exp.Expr, top: exp.Expr) -> Iterable[exp.Expr]:
    parent = node.parent
    while parent is not None and parent is not top:
        yield parent
        parent = parent.parent
