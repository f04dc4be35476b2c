"""From a text with covet's parameters to a tree, and back."""

from __future__ import annotations

import logging

import sqlglot
from sqlglot import exp

from covet_sql.driver import parts_of

DIALECTS = {"postgresql": "postgres", "sqlite": "sqlite", "mysql": "mysql"}
"""What sqlglot calls the dialects of the SQL contract."""

# It warns of statements it only knows the first word of; that is no news to who runs them.
logging.getLogger("sqlglot").addFilter(lambda record: "unsupported syntax" not in record.msg)


def parsed(text: str, dialect: str) -> list[exp.Expr]:
    """The statements of a text.

    Args:
        text: With ``?`` or ``:name`` for parameters, as the contract has it.
        dialect: One of `DIALECTS`.

    Raises:
        SqlglotError: It cannot be read.
    """
    marks = 0
    pieces: list[str] = []
    found = parts_of(text)
    named = any(kind == "name" for kind, _ in found)
    for kind, part in found:
        if kind == "name":
            pieces.append(f":{part}")
        elif kind == "mark" and (named or part == "??"):
            pieces.append("?")
        elif kind == "mark":
            # A question mark alone may be an operator.
            marks += 1
            pieces.append(f":covet_{marks}")
        else:
            pieces.append(part)
    trees = sqlglot.parse("".join(pieces), read=DIALECTS.get(dialect, dialect))
    return [tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)]


def written(tree: exp.Expr, dialect: str) -> str:
    """A tree as a text, with parameters as the contract has them."""
    copy = tree.copy()
    for node in list(copy.find_all(exp.Placeholder)):
        node.replace(exp.Var(this=_mark(node)))
    return copy.sql(dialect=DIALECTS.get(dialect, dialect), comments=False)


def _mark(node: exp.Expr) -> str:
    name = node.name
    return "?" if name == "?" or name.startswith("covet_") else f":{name}"
